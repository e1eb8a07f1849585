"""Computes technical indicators of daily bars, each known at the close of its bar.

The `ta` library computes them, except two that it computes in Python loops: CCI and ADX are the same formulas,
vectorised (`tests/unit/bars/test_indicators.py` holds them to `ta` within 1e-9).
"""

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from ta.momentum import RSIIndicator, StochasticOscillator, WilliamsRIndicator
from ta.trend import MACD, EMAIndicator, SMAIndicator
from ta.volatility import BollingerBands

from stonk_pipeline.config.data import IndicatorPeriods
from stonk_pipeline.schema import CLOSE, HIGH, INDICATORS, LOW

STILL = 1e-9
"""Range, as a share of the price, below which prices stand still: adjusted ones may differ in their last bits."""
CCI_CONSTANT = 0.015
"""Lambert's scaling: puts most values of the CCI between -100 and 100."""


def add_indicators(frame: pd.DataFrame, periods: IndicatorPeriods) -> pd.DataFrame:
    """Adds the indicators to bars.

    Args:
        frame: clean bars (`schema.BAR_COLUMNS`), oldest first, T rows.
        periods: look-back periods in bars.

    Returns:
        A new frame of T rows on a RangeIndex: the bars' columns, then `schema.INDICATORS`. Levels and differences are
        in units of price; `stoch_k`, `stoch_d`, `rsi` and `adx` lie within 0 and 100, `willr` within -100 and 0. Row t
        depends on rows up to t alone. Where an indicator is not defined (its warm-up, or no price change in its whole
        look-back) it is NaN, never filled.
    """
    # ta labels some of its results by position: any other index misaligns them, and makes them slow.
    bars = frame.reset_index(drop=True)
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    stochastic = StochasticOscillator(high, low, close, window=periods.stoch, smooth_window=periods.stoch_smooth)
    bands = BollingerBands(close, window=periods.bbands, window_dev=periods.bbands_width)
    columns = {
        "sma": SMAIndicator(close, window=periods.sma).sma_indicator(),
        "ema": EMAIndicator(close, window=periods.ema).ema_indicator(),
        "mom": close.diff(periods.mom),
        "stoch_k": stochastic.stoch(),
        "stoch_d": stochastic.stoch_signal(),
        "rsi": RSIIndicator(close, window=periods.rsi).rsi(),
        "macd": MACD(close, window_slow=periods.macd_slow, window_fast=periods.macd_fast).macd(),
        "willr": WilliamsRIndicator(high, low, close, lbp=periods.willr).williams_r(),
        "cci": cci(high, low, close, periods.cci),
        "adx": adx(high, low, close, periods.adx),
        "bbands_upper": bands.bollinger_hband(),
        "bbands_middle": bands.bollinger_mavg(),
        "bbands_lower": bands.bollinger_lband(),
    }
    for name, period in (("stoch_k", periods.stoch), ("willr", periods.willr)):
        top, bottom = high.rolling(period).max(), low.rolling(period).min()
        columns[name] = columns[name].where(top - bottom > STILL * top)
    smoothed = columns["stoch_k"].notna().rolling(periods.stoch_smooth).min() == 1
    columns["stoch_d"] = columns["stoch_d"].where(smoothed)
    values = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in INDICATORS])
    return pd.concat([bars, pd.DataFrame(values, columns=list(INDICATORS))], axis=1)


def defined_from(periods: IndicatorPeriods) -> dict[str, int]:
    """Maps each period to the row, counted from 0, from which on its indicator is defined."""
    averages = ("sma", "ema", "rsi", "macd_slow", "willr", "cci", "bbands")
    rows = {name: getattr(periods, name) - 1 for name in averages}
    stochastic = periods.stoch + periods.stoch_smooth - 2
    longer = "stoch" if periods.stoch >= periods.stoch_smooth else "stoch_smooth"
    return rows | {"mom": periods.mom, longer: stochastic, "adx": 2 * periods.adx - 1}


def cci(high: pd.Series, low: pd.Series, close: pd.Series, period: int) -> np.ndarray:
    """Computes the commodity channel index, as `ta.trend.CCIIndicator` does.

    (typical - mean) / (0.015 * mean absolute deviation), both over the last `period` typical prices (H + L + C) / 3
    (Lambert, 1980).

    Returns:
        (T,); NaN in the first `period - 1` rows and where no price changed in the look-back.
    """
    typical = ((high + low + close) / 3.0).to_numpy()
    out = np.full(len(typical), np.nan)
    if len(typical) < period:
        return out
    view = sliding_window_view(typical, period)
    mean = view.mean(axis=1)
    deviation = np.abs(view - mean[:, None]).mean(axis=1)
    # The mean of equal numbers can miss them by one bit, which would pass for a deviation.
    flat = view.max(axis=1) - view.min(axis=1) <= STILL * view.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out[period - 1 :] = np.where(flat, np.nan, (typical[period - 1 :] - mean) / (CCI_CONSTANT * deviation))
    return out


def adx(high: pd.Series, low: pd.Series, close: pd.Series, period: int) -> np.ndarray:
    """Computes the average directional index, as `ta.trend.ADXIndicator` does after its warm-up.

    Wilder, New Concepts in Technical Trading Systems (1978): directional movement and true range are summed with
    Wilder's smoothing, and so is the directional index that follows from them.

    Returns:
        (T,), within 0 and 100; NaN in the first `2 * period - 1` rows, where `ta` has zeros.
    """
    top, bottom, last = high.to_numpy(), low.to_numpy(), close.to_numpy()
    out = np.full(len(last), np.nan)
    if len(last) < 2 * period:
        return out
    up, down = np.diff(top), -np.diff(bottom)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    true_range = np.maximum(top[1:], last[:-1]) - np.minimum(bottom[1:], last[:-1])
    total, plus, minus = (_wilder_sum(values, period) for values in (true_range, plus, minus))
    with np.errstate(divide="ignore", invalid="ignore"):
        plus, minus = 100 * plus / total, 100 * minus / total
        index = 100 * np.abs((plus - minus) / (plus + minus))
    index[~np.isfinite(index)] = 0.0
    out[2 * period - 1 :] = _wilder_sum(index, period) / period
    return out


def _wilder_sum(values: np.ndarray, period: int) -> np.ndarray:
    """Sum of the first `period` values, then each next sum is the last one less its `period`-th part plus the value."""
    seeded = np.concatenate([[values[:period].mean()], values[period:]])
    return period * pd.Series(seeded).ewm(alpha=1 / period, adjust=False).mean().to_numpy()
