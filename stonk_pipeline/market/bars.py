"""Generates bars by a known formula, so that the best possible forecast is known and can be compared with.

For each ticker, with d[t] the log close minus its own 50-day exponential mean:

    r[t]   = MOMENTUM * r[t-1] - REVERSION * d[t-1] + v[t] * e[t]      log return
    d[t]   = DECAY * (d[t-1] + r[t])                                   DECAY = 1 - 2 / 51
    v[t]^2 = (1 - 0.08 - 0.90) * daily_sd^2 + 0.08 * (v[t-1] e[t-1])^2 + 0.90 * v[t-1]^2

The shocks e[t] are standard normal, with a correlation of CORRELATION between tickers on the same day; the last line is
GARCH(1,1) (Bollerslev 1986), the usual description of volatility that comes in clusters. The first two make a price
that continues yesterday's move and is pulled back to its 50-day mean: over ten days the best possible forecast has a
skill of about 0.2 over persistence in mean absolute error. The random-walk twin has MOMENTUM = REVERSION = 0, the same
volatility and the same shocks; nothing can forecast it better than persistence does.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

MOMENTUM = 0.3
REVERSION = 0.3
MEAN_SPAN = 50
DECAY = 1 - 2 / (MEAN_SPAN + 1)
ARCH, GARCH = 0.08, 0.90
CORRELATION = 0.3
FIRST_DAY = "2018-01-02"

Floats = npt.NDArray[np.float64]


def generate(config: MarketConfig) -> dict[str, pd.DataFrame]:
    """Generates the bars of every ticker; the same settings always give the same bars.

    Returns:
        Symbol -> frame with `schema.BAR_COLUMNS`, `config.days` rows, prices rounded to 4 decimals.
    """
    rng = np.random.default_rng(config.seed)
    days, tickers = config.days, config.tickers
    common = rng.standard_normal((days, 1))
    own = rng.standard_normal((days, tickers))
    shocks = np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * own
    returns, volatility = _returns(shocks, config)
    start = rng.uniform(20.0, 200.0, tickers)
    close = start * np.exp(np.cumsum(returns, axis=0))
    dates = pd.Series(pd.bdate_range(FIRST_DAY, periods=days))
    return {
        f"SIM{number + 1:02d}": _bars(dates, close[:, number], returns[:, number], volatility[:, number], rng)
        for number in range(tickers)
    }


def _returns(shocks: Floats, config: MarketConfig) -> tuple[Floats, Floats]:
    """Log returns and volatilities, each (days, tickers), from standard normal shocks."""
    momentum, reversion = (MOMENTUM, REVERSION) if config.kind == "predictable" else (0.0, 0.0)
    returns, volatility = np.empty_like(shocks), np.empty_like(shocks)
    tickers = shocks.shape[1]
    previous, deviation, shock = np.zeros(tickers), np.zeros(tickers), np.zeros(tickers)
    variance = np.full(tickers, config.daily_sd**2)
    for day, row in enumerate(shocks):
        variance = (1 - ARCH - GARCH) * config.daily_sd**2 + ARCH * shock**2 + GARCH * variance
        shock = np.sqrt(variance) * row
        previous = momentum * previous - reversion * deviation + shock
        deviation = DECAY * (deviation + previous)
        returns[day], volatility[day] = previous, np.sqrt(variance)
    return returns, volatility


def _bars(
    dates: pd.Series, close: Floats, returns: Floats, volatility: Floats, rng: np.random.Generator
) -> pd.DataFrame:
    """One ticker's bars: a small gap at the open, a range that grows with volatility, volume that grows with moves."""
    days = len(close)
    previous = np.concatenate([[close[0]], close[:-1]])
    open_ = previous * np.exp(0.2 * volatility * rng.standard_normal(days))
    reach = np.abs(rng.standard_normal((2, days))) * 0.5 * volatility
    high = np.maximum(open_, close) * np.exp(reach[0])
    low = np.minimum(open_, close) * np.exp(-reach[1])
    volume = np.round(1e6 * np.exp(0.3 * rng.standard_normal(days) + np.abs(returns) / volatility * 0.3))
    columns = {OPEN: open_.round(4), HIGH: high.round(4), LOW: low.round(4), CLOSE: close.round(4), VOLUME: volume}
    return pd.DataFrame({DATE: dates.to_numpy(), **columns})[list(BAR_COLUMNS)]


def best_possible(bars: pd.DataFrame, config: MarketConfig, horizon: int) -> Floats:
    """Computes the best possible forecast of the generated bars: the conditional median of each coming close.

    Future shocks are symmetric around zero, so the median path is the one without them. No forecaster that sees only
    past bars can expect a smaller absolute error.

    Args:
        bars: one ticker's bars from its first day on, as `generate` made them.
        config: the settings that made them.
        horizon: closes to forecast.

    Returns:
        (rows, horizon) prices; row t follows from bars up to and including row t.
    """
    close = bars[CLOSE].to_numpy(dtype=float)
    if config.kind == "random_walk":
        return np.repeat(close[:, None], horizon, axis=1)
    log_close = np.log(close)
    returns = np.diff(log_close, prepend=log_close[0])
    mean = pd.Series(log_close).ewm(span=MEAN_SPAN, adjust=False).mean().to_numpy()
    deviation, path, total = log_close - mean, np.empty((len(close), horizon)), np.zeros(len(close))
    for day in range(horizon):
        returns = MOMENTUM * returns - REVERSION * deviation
        deviation = DECAY * (deviation + returns)
        total = total + returns
        path[:, day] = close * np.exp(total)
    return path
