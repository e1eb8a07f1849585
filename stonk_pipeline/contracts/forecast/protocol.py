"""Scores forecasts by the protocol of a published table, so that results can be put beside it.

`vta` scores as "Reasoning on Time-Series for Financial Technical Analysis" (arXiv 2511.08616) and its code do: adjusted
closes standardised with mean and deviation of the first 70 % of a stock's rows, the last 20 % of the rows for the test,
10 closes in and 10 out from every row, errors averaged over a stock's windows and then over stocks. Its table has no
row for repeating the last price; here it always stands beside the forecasts.

This is a protocol for comparison with that table and no more: rows are split by their number in each file, so that
stocks share no dates, and errors of overlapping windows are averaged as if they were independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stonk_pipeline.errors import DataError
from stonk_pipeline.evaluation.metrics import Floats

CONTEXT = HORIZON = 10
TRAIN_SHARE, TEST_SHARE = 0.7, 0.2
Closes = Mapping[str, pd.Series]
"""Stock -> adjusted closes, (T,), by ISO date, oldest first."""


@dataclass(frozen=True)
class ProtocolRow:
    """One forecaster's errors, in squared and plain training deviations, averaged over stocks."""

    name: str
    mse: float
    mae: float
    windows: int
    """Windows with a forecast of its own; the others count as persistence."""
    share: float
    """The same as a share of all test windows, 0 to 1."""


@dataclass(frozen=True)
class TestPart:
    """The test windows of one stock, standardised."""

    dates: list[str]
    """Decision dates: of the last context row, (N,)."""
    last: Floats
    """(N, 1)."""
    truth: Floats
    """(N, HORIZON)."""
    step: float
    """Mean daily step over the training rows."""
    mean: float
    deviation: float


def test_part(closes: pd.Series) -> TestPart:
    """Cuts one stock's test windows.

    Raises:
        DataError: too few rows, or the training rows do not vary.
    """
    rows = len(closes)
    train, test = int(rows * TRAIN_SHARE), int(rows * TEST_SHARE)
    if train < 2 or test < HORIZON:
        raise DataError(f"{rows} rows are too few for the protocol: the test part needs at least {HORIZON}")
    values = closes.to_numpy(dtype=np.float64)
    mean, deviation = float(values[:train].mean()), float(values[:train].std())
    if not deviation > 0:
        raise DataError(f"the first {train} closes do not vary, so that they cannot be standardised")
    scaled = (values - mean) / deviation
    # The first context lies in the rows before the test part, as in the published code.
    first = rows - test - CONTEXT
    spans = np.lib.stride_tricks.sliding_window_view(scaled[first:], CONTEXT + HORIZON)
    last = first + CONTEXT - 1 + np.arange(len(spans))
    return TestPart(
        dates=[str(date) for date in closes.index[last]],
        last=spans[:, CONTEXT - 1 : CONTEXT],
        truth=spans[:, CONTEXT:],
        step=float(np.diff(scaled[:train]).mean()),
        mean=mean,
        deviation=deviation,
    )


def test_parts(closes: Closes) -> dict[str, TestPart]:
    """Cuts the test windows of each stock.

    Raises:
        DataError: names the stock that has none.
    """
    parts = {}
    for stock, series in closes.items():
        try:
            parts[stock] = test_part(series)
        except DataError as error:
            raise DataError(f"{stock}: {error}") from error
    return parts


def vta(closes: Closes, forecasts: Mapping[str, Mapping[tuple[str, str], Floats]] | None = None) -> list[ProtocolRow]:
    """Scores persistence, drift and given forecasts as the published table does.

    Args:
        closes: adjusted closes of each stock.
        forecasts: name -> (stock, decision date) -> prices, (HORIZON,).

    Returns:
        A row for each forecast, then persistence and drift.

    Raises:
        DataError: names the stock that the protocol cannot be applied to.
    """
    parts = test_parts(closes)
    days = np.arange(1, HORIZON + 1)
    rows = [_given(name, given, parts) for name, given in (forecasts or {}).items()]
    every = sum(len(part.dates) for part in parts.values())
    flat = {stock: np.repeat(part.last, HORIZON, axis=1) for stock, part in parts.items()}
    drifting = {stock: part.last + part.step * days for stock, part in parts.items()}
    return [*rows, _row("persistence", flat, parts, every), _row("drift", drifting, parts, every)]


def _given(name: str, given: Mapping[tuple[str, str], Floats], parts: Mapping[str, TestPart]) -> ProtocolRow:
    values, windows = {}, 0
    for stock, part in parts.items():
        values[stock] = np.repeat(part.last, HORIZON, axis=1)
        for row, date in enumerate(part.dates):
            prices = given.get((stock, date))
            if prices is not None:
                values[stock][row] = (prices - part.mean) / part.deviation
                windows += 1
    return _row(name, values, parts, windows)


def _row(name: str, values: Mapping[str, Floats], parts: Mapping[str, TestPart], windows: int) -> ProtocolRow:
    errors = [values[stock] - part.truth for stock, part in parts.items()]
    return ProtocolRow(
        name,
        mse=float(np.mean([np.mean(error**2) for error in errors])),
        mae=float(np.mean([np.mean(np.abs(error)) for error in errors])),
        windows=windows,
        share=windows / sum(len(part.dates) for part in parts.values()),
    )
