"""Computes forecasts that need no language model: drift, smoothing, theta, ridge regression, boosted trees.

They see what a model sees, the bars up to the decision date, and the training part; never a target of another part.
Every baseline is fitted on the training part alone and applied to each window from what was known on its date.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.schema import (
    DIFFERENCE_INDICATORS,
    INDICATORS,
    LEVEL_INDICATORS,
    STATISTICS,
    History,
    Target,
    Window,
)

POOLED = "*"
"""Key of the mean over all training windows, for stocks without any of their own."""
LEVEL_STATISTICS = ("min", "max", "mean", "median")
"""Statistics that are prices; `trend_slope` is a difference of prices, and the others have no unit."""
ENOUGH = 50
"""Training closes below which nothing is fitted to a stock's history; persistence is taken then."""


Histories = Mapping[str, History]
"""By stock."""


def persistence(windows: Sequence[Window], horizon: int) -> Floats:
    """Forecasts the last close for every day: (N, H) on each window's prompt scale."""
    last = np.array([window.last for window in windows], dtype=np.float64)
    return np.repeat(last[:, None], horizon, axis=1)


def all_baselines(
    windows: Sequence[Window],
    horizon: int,
    train: tuple[Sequence[Window], Sequence[Target]],
    histories: Histories,
    seed: int,
) -> dict[str, Floats]:
    """Computes every baseline but persistence, by name: (N, H) each, on each window's prompt scale.

    Args:
        windows: what to forecast from.
        horizon: days ahead.
        train: training windows and their targets.
        histories: of every stock; only closes up to a window's date are used for it.
        seed: of the gradient-boosted trees.
    """
    last_day = max((target.end for target in train[1]), default="")
    rates = daily_drift(*train)
    out = {
        "drift": growth(windows, horizon, np.array([_past_rate(window, histories) for window in windows])),
        "mean_return": growth(
            windows, horizon, np.array([rates.get(window.stock, rates[POOLED]) for window in windows])
        ),
        "exp_smoothing": smoothing(windows, horizon, histories, last_day),
        "theta": theta(windows, horizon, histories, last_day),
    }
    if train[0]:
        out |= {"ridge": ridge(windows, *train), "boosted_trees": boosted_trees(windows, *train, seed=seed)}
    return out


def daily_drift(windows: Sequence[Window], targets: Sequence[Target]) -> dict[str, float]:
    """Computes the mean daily log-return of each stock's training windows, and pooled under `POOLED`.

    Each window contributes the mean over its context and target, all of which lie in the training part.

    Raises:
        ValueError: windows and targets differ in number.
    """
    returns: dict[str, list[float]] = defaultdict(list)
    for window, target in zip(windows, targets, strict=True):
        first = window.price_offset + window.price_unit * window.context[0]
        final = window.price_offset + window.price_unit * target.values[-1]
        days = len(window.context) - 1 + len(target.values)
        returns[window.stock].append(float(np.log(final / first)) / days)
    means = {stock: float(np.mean(values)) for stock, values in returns.items()}
    pooled = [value for values in returns.values() for value in values]
    means[POOLED] = float(np.mean(pooled)) if pooled else 0.0
    return means


def _past_rate(window: Window, histories: Histories) -> float:
    """Mean daily log-return from the first bar to the decision date."""
    closes = _until(histories[window.stock], window.date)
    return float(np.log(closes[-1] / closes[0])) / (len(closes) - 1) if len(closes) > 1 else 0.0


def _until(history: History, day: str) -> Floats:
    """Closes up to a date, that date included."""
    return np.array(history.closes[: bisect_right(history.dates, day)], dtype=np.float64)


def growth(windows: Sequence[Window], horizon: int, rates: Floats) -> Floats:
    """Forecasts the last close growing by a daily log-return: (N, H) on each window's prompt scale.

    Args:
        windows: what to forecast from.
        horizon: days ahead.
        rates: (N,) daily log-returns.
    """
    offset, unit = _scale(windows)
    price = offset + unit * persistence(windows, horizon)
    return np.asarray((price * np.exp(rates[:, None] * np.arange(1, horizon + 1)) - offset) / unit)


def smoothing(windows: Sequence[Window], horizon: int, histories: Histories, last_day: str) -> Floats:
    """Forecasts by simple exponential smoothing, its weight fitted to each stock's training part: (N, H)."""
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    weights = {}
    for stock in {window.stock for window in windows}:
        closes = _until(histories[stock], last_day)
        if len(closes) >= ENOUGH:
            fitted = SimpleExpSmoothing(closes, initialization_method="estimated").fit()
            weights[stock] = float(np.clip(fitted.params["smoothing_level"], 1e-3, 1.0))
    levels = _levels(windows, histories, weights)
    offset, unit = _scale(windows)
    return np.repeat((levels[:, None] - offset) / unit, horizon, axis=1)


def theta(windows: Sequence[Window], horizon: int, histories: Histories, last_day: str) -> Floats:
    """Forecasts by the theta method (Assimakopoulos and Nikolopoulos 2000), fitted to each training part: (N, H).

    Exponential smoothing with half the slope of the training part's straight line (Hyndman and Billah 2003).
    """
    from statsmodels.tsa.forecasting.theta import ThetaModel

    weights, slopes = {}, {}
    for stock in {window.stock for window in windows}:
        closes = _until(histories[stock], last_day)
        if len(closes) >= ENOUGH:
            fitted = ThetaModel(closes, period=1, deseasonalize=False).fit()
            weights[stock] = float(np.clip(fitted.params["alpha"], 1e-3, 1.0))
            slopes[stock] = float(fitted.params["b0"])
    levels = _levels(windows, histories, weights)
    slope = np.array([slopes.get(window.stock, 0.0) for window in windows])
    # Far from the start of a history the method's drift term is (slope / 2) * (h - 1 + 1 / weight).
    lead = np.array([1 / weights.get(window.stock, 1.0) - 1 for window in windows])
    days = np.arange(1, horizon + 1)
    price = levels[:, None] + slope[:, None] / 2 * (days + lead[:, None])
    offset, unit = _scale(windows)
    return np.asarray((price - offset) / unit)


def _levels(windows: Sequence[Window], histories: Histories, weights: Mapping[str, float]) -> Floats:
    """Exponentially smoothed close at each window's date, (N,); the last close where a stock has no weight."""
    import pandas as pd

    levels = []
    smooth = {
        stock: pd.Series(histories[stock].closes).ewm(alpha=weight, adjust=False).mean().to_numpy()
        for stock, weight in weights.items()
    }
    for window in windows:
        history = histories[window.stock]
        series = smooth.get(window.stock, history.closes)
        levels.append(series[bisect_right(history.dates, window.date) - 1])
    return np.array(levels, dtype=np.float64)


def ridge(windows: Sequence[Window], train: Sequence[Window], targets: Sequence[Target]) -> Floats:
    """Forecasts by ridge regression of the coming moves on the window's features, all stocks together: (N, H).

    The penalty is chosen by leave-one-out within the training part.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 4, 11)))
    model.fit(features(train), _moves(train, targets))
    return _paths(windows, model.predict(features(windows)))


def boosted_trees(
    windows: Sequence[Window], train: Sequence[Window], targets: Sequence[Target], *, seed: int
) -> Floats:
    """Forecasts by gradient-boosted trees on the same features, one model a day ahead, absolute loss: (N, H)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    known, asked, moves = features(train), features(windows), _moves(train, targets)
    predicted = [
        HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=80, learning_rate=0.08, max_leaf_nodes=15, random_state=seed
        )
        .fit(known, moves[:, day])
        .predict(asked)
        for day in range(moves.shape[1])
    ]
    return _paths(windows, np.column_stack(predicted))


def features(windows: Sequence[Window]) -> Floats:
    """Lists a window's features for regressions, (N, F): closes, indicators and statistics.

    Prices as their distance from the last close and differences of prices are divided by the volatility, so that
    stocks and scales are alike; what has no unit stays as it is; an undefined correlation is 0.
    """
    rows = []
    for window in windows:
        size = max(window.volatility, 1e-9)
        row = [(value - window.last) / size for value in window.context[:-1]]
        row += [_plain(name, window.indicators[name], window, size, LEVEL_INDICATORS) for name in INDICATORS]
        row += [_plain(name, window.statistics[name], window, size, LEVEL_STATISTICS) for name in STATISTICS]
        rows.append([*row, size * window.price_unit / _last_price(window)])
    return np.nan_to_num(np.array(rows, dtype=np.float64))


def _plain(name: str, value: float, window: Window, size: float, levels: Sequence[str]) -> float:
    if name in levels:
        return (value - window.last) / size
    return value / size if name in (*DIFFERENCE_INDICATORS, "trend_slope") else value


def _last_price(window: Window) -> float:
    return window.price_offset + window.price_unit * window.last


def _moves(windows: Sequence[Window], targets: Sequence[Target]) -> Floats:
    """Coming moves in volatilities, (N, H)."""
    return np.array(
        [
            [(value - window.last) / max(window.volatility, 1e-9) for value in target.values]
            for window, target in zip(windows, targets, strict=True)
        ]
    )


def _paths(windows: Sequence[Window], moves: Floats) -> Floats:
    size = np.array([[max(window.volatility, 1e-9)] for window in windows])
    return np.asarray(persistence(windows, moves.shape[1]) + size * moves)


def _scale(windows: Sequence[Window]) -> tuple[Floats, Floats]:
    """(offset, unit), (N, 1) each: price = offset + unit * value."""
    offset = np.array([[window.price_offset] for window in windows], dtype=np.float64)
    unit = np.array([[window.price_unit] for window in windows], dtype=np.float64)
    return offset, unit
