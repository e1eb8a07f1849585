"""Cuts bars with indicators into windows and their targets, all windows of a stock at once."""

import zlib
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from preprocessing.statistics import window_statistics
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE, DATE, DIFFERENCE_INDICATORS, INDICATORS, LEVEL_INDICATORS, STATISTICS


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of prices in prompts: value = (price - offset) / unit."""

    offset: float
    unit: float


@dataclass(frozen=True, slots=True)
class Windows:
    """N windows of one stock, oldest first. Numbers are on the prompt scale."""

    last: np.ndarray
    """(N,) row of each window's last bar in the stock's frame."""
    date: np.ndarray
    """(N,) day of the last bar (datetime64[D]): the decision date."""
    context_start: np.ndarray
    """(N,) day of the first bar."""
    target_start: np.ndarray
    """(N,) day of the first close to forecast."""
    target_end: np.ndarray
    """(N,) day of the last close to forecast."""
    context: np.ndarray
    """(N, L) closes."""
    target: np.ndarray
    """(N, H) closes to forecast."""
    features: dict[str, np.ndarray]
    """Name -> (N,): the indicators, the statistics, `volatility`, `price_offset` and `price_unit`."""
    undefined: int
    """Windows left out because an indicator or the volatility is not defined there."""

    def __len__(self) -> int:
        """Counts the windows."""
        return len(self.last)


STILL = 1e-9
"""Deviation of returns, as a share of the price, below which prices stand still and only arithmetic moves them."""
OTHER = ("features", "undefined")
"""Fields of `Windows` that are no arrays."""


def fit_scale(frame: pd.DataFrame, val_start: np.datetime64, data: DataConfig) -> Scale | None:
    """Fits the stock's own scale on the bars before the validation part alone.

    Returns:
        Mean and deviation (ddof 0) of the training closes for `standard`, the unit scale for `raw`; None for
        `rebased`, where each window has its own.

    Raises:
        DataError: `standard`, and the stock has no two different closes before `val_start`.
    """
    if data.normalisation == "rebased":
        return None
    if data.normalisation == "raw":
        return Scale(0.0, 1.0)
    closes = frame.loc[frame[DATE] < val_start, CLOSE].to_numpy()
    if len(closes) < 2 or closes.min() == closes.max():
        raise DataError(f"no two different closes before {val_start} to fit data.normalisation: standard on")
    return Scale(float(closes.mean()), float(closes.std()))


def cut_windows(frame: pd.DataFrame, data: DataConfig, scale: Scale | None) -> Windows:
    """Cuts every window that has its target.

    Args:
        frame: T bars with indicators, oldest first (`indicators.add_indicators`).
        data: window, horizon, stride, warm-up, volatility window.
        scale: the stock's scale; None rebases each window to 100 at its last close.

    Returns:
        The windows whose first bar comes after the warm-up. A window whose indicators or volatility are not defined
        at its last bar (prices that stand still, periods longer than the warm-up) is left out and counted.
    """
    length, horizon = data.window, data.horizon
    closes, days = frame[CLOSE].to_numpy(), frame[DATE].to_numpy().astype("datetime64[D]")
    last = np.arange(data.warm_up + length - 1, max(len(closes) - horizon, 0), data.stride)
    defined = is_defined(frame, data, last)
    undefined, last = int((~defined).sum()), last[defined]
    context, features = look_back(frame, data, scale, last)
    offset, unit = features["price_offset"], features["price_unit"]
    target = (closes[last[:, None] + np.arange(1, horizon + 1)] - offset[:, None]) / unit[:, None]
    return Windows(
        last=last,
        date=days[last],
        context_start=days[last - length + 1],
        target_start=days[last + 1],
        target_end=days[last + horizon],
        context=context,
        target=target,
        features=features,
        undefined=undefined,
    )


def is_defined(frame: pd.DataFrame, data: DataConfig, last: np.ndarray) -> np.ndarray:
    """Tells whether indicators and volatility are defined at the rows `last` (N,): (N,) bool."""
    deviation = _return_deviation(frame[CLOSE].to_numpy(), data.volatility_window)
    return np.isfinite(frame[list(INDICATORS)].to_numpy()[last]).all(axis=1) & (deviation[last] > STILL)


def still_bars(frame: pd.DataFrame, data: DataConfig) -> np.ndarray:
    """Tells whether the closes have not moved over the volatility's look-back: (T,) bool."""
    return _return_deviation(frame[CLOSE].to_numpy(), data.volatility_window) <= STILL


def look_back(
    frame: pd.DataFrame, data: DataConfig, scale: Scale | None, last: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns what may be known at the rows `last` (N,): (closes (N, L), features as in `Windows.features`)."""
    closes = frame[CLOSE].to_numpy()
    final = closes[last]
    offset = np.full(len(last), 0.0 if scale is None else scale.offset)
    unit = final / 100.0 if scale is None else np.full(len(last), scale.unit)
    context = (closes[last[:, None] + np.arange(1 - data.window, 1)] - offset[:, None]) / unit[:, None]
    features = dict(zip(INDICATORS, frame[list(INDICATORS)].to_numpy()[last].T, strict=True))
    features |= {name: (features[name] - offset) / unit for name in LEVEL_INDICATORS}
    features |= {name: features[name] / unit for name in DIFFERENCE_INDICATORS}
    features |= window_statistics(context)
    volatility = _return_deviation(closes, data.volatility_window)[last] * final / unit
    return context, features | {"volatility": volatility, "price_offset": offset, "price_unit": unit}


def age_features(windows: Windows, count: int) -> Windows:
    """Gives each window the indicators and statistics of an earlier one, so that they keep their form but tell nothing.

    Args:
        windows: of one stock.
        count: how many windows earlier; so many at the beginning are left out.
    """
    arrays = {field.name: getattr(windows, field.name)[count:] for field in fields(windows) if field.name not in OTHER}
    aged = {name: windows.features[name][: max(len(windows) - count, 0)] for name in (*INDICATORS, *STATISTICS)}
    features = {name: values[count:] for name, values in windows.features.items()} | aged
    return Windows(**arrays, features=features, undefined=windows.undefined)


def shuffle_targets(windows: Windows, part: slice, stock: str) -> Windows:
    """Gives each window of a part the coming moves of another one, scaled by volatility: nothing is left to learn.

    Args:
        windows: of one stock.
        part: which of them.
        stock: its symbol, which the order is drawn from.
    """
    last, size = windows.context[part, -1:], windows.features["volatility"][part, None]
    moves = (windows.target[part] - last) / size
    order = np.random.default_rng(zlib.crc32(stock.encode())).permutation(len(moves))
    target = windows.target.copy()
    target[part] = last + size * moves[order]
    return replace(windows, target=target)


def _return_deviation(closes: np.ndarray, count: int) -> np.ndarray:
    """(T,) standard deviation (ddof 1) of the last `count` daily log returns; NaN where there are fewer."""
    out = np.full(len(closes), np.nan)
    if len(closes) > count:
        out[count:] = sliding_window_view(np.diff(np.log(closes)), count).std(axis=1, ddof=1)
    return out
