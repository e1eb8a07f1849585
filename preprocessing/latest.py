"""Cuts the window that ends at a stock's last bar, to forecast the days that have not come yet."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from preprocessing.dataset import load_bars
from preprocessing.formatting import EXACT, significant
from preprocessing.history import first_row
from preprocessing.indicators import add_indicators
from preprocessing.ohlcv import find_files
from preprocessing.spacing import period_of
from preprocessing.windows import Scale, fit_scale, is_defined, look_back
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import DATE, INDICATORS, STATISTICS, Window


@dataclass(frozen=True, slots=True)
class Latest:
    """A stock's last window, and the bars behind it."""

    window: Window
    bars: pd.DataFrame
    """Clean bars (`schema.BAR_COLUMNS`), oldest first."""


def latest_windows(
    data: DataConfig, scales: Mapping[str, Mapping[str, float] | None]
) -> tuple[list[Latest], dict[str, str]]:
    """Cuts the last window of every stock that `data` names.

    Args:
        data: which bars; with the settings that the model was trained with.
        scales: stock -> offset and unit that the training used (`dataset.json`); a stock without one gets a scale of
            its own, fitted on all its bars.

    Returns:
        (the stocks, symbol -> why another one is left out): one stock that cannot be forecast does not stop the others.

    Raises:
        DataError: files that were asked for by name cannot be used.
    """
    market, left_out = load_bars(data, find_files(data))
    found = []
    for bars in market:
        known = scales.get(bars.stock)
        try:
            scale = Scale(**known) if known else fit_scale(bars.frame, np.datetime64("9999-01-01"), data)
            found.append(Latest(last_window(bars.stock, bars.frame, data, scale), bars.frame))
        except DataError as reason:
            left_out[bars.stock] = str(reason)
    return found, left_out


def last_window(stock: str, bars: pd.DataFrame, data: DataConfig, scale: Scale | None) -> Window:
    """Cuts the window at the last bar, the very one that the dataset would hold if its target were known.

    Args:
        stock: the symbol.
        bars: clean bars, oldest first.
        data: window, warm-up, periods.
        scale: the stock's scale; None rebases.

    Raises:
        DataError: too few bars, or indicators or volatility are not defined at the last one.
    """
    needed = first_row(data) + data.window
    if len(bars) < needed:
        raise DataError(f"{stock}: {len(bars)} bars, and a window needs {needed}; give more history")
    frame, last = add_indicators(bars, data.periods), np.array([len(bars) - 1])
    if not is_defined(frame, data, last)[0]:
        raise DataError(f"{stock}: the last closes do not move, so indicators or volatility are not defined there")
    context, columns = look_back(frame, data, scale, last)
    # Numbers are rounded as in the dataset's files: the model is asked exactly what it would have been trained on.
    features = {name: float((v if name in EXACT else significant(v))[0]) for name, v in columns.items()}
    return Window(
        stock=stock,
        date=str(frame[DATE].iloc[-1].date()),
        context=tuple(significant(context)[0].tolist()),
        indicators={name: features[name] for name in INDICATORS},
        statistics={name: features[name] for name in STATISTICS},
        volatility=features["volatility"],
        price_offset=features["price_offset"],
        price_unit=features["price_unit"],
        period=period_of(frame[DATE].to_numpy(), data),
    )
