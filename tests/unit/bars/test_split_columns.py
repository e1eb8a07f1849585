"""The file's own column of splits against its closes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ohlcv import Bars, read_bars
from preprocessing.split_columns import _ratio
from preprocessing.units import PRICES
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import CLOSE

DAY = 150


def file(folder: Path, ratio: float, column: str, none: object, cell: object, unadjusted: bool) -> Path:
    """Bars of a stock with a split of `ratio`, said in `column`."""
    frame = generate(MarketConfig(tickers=1, days=300))["SIM01"]
    if unadjusted:
        frame.loc[: DAY - 1, list(PRICES)] *= ratio
    frame[column] = pd.Series([none] * len(frame), dtype=object)
    frame.loc[DAY, column] = cell
    frame.to_csv(folder / "A.csv", index=False)
    return folder / "A.csv"


def read(path: Path, **data: object) -> Bars:
    return read_bars(path, DataConfig.model_validate(data))


@pytest.mark.parametrize(
    ("column", "none"),
    [("split_coefficient", 1.0), ("8. split coefficient", "1.0"), ("splitFactor", 1), ("Stock Splits", 0.0)],
)
@pytest.mark.parametrize("ratio", [1.1, 1.25, 1.5, 1.75, 0.75])
def test_check_splits_refuses_closes_that_fall_as_the_column_says(tmp_path, column, none, ratio):
    path = file(tmp_path, ratio, column, none, ratio, unadjusted=True)
    closes = pd.read_csv(path)["close"]
    moved = closes[DAY] / closes[DAY - 1]
    message = rf"A\.csv, line {DAY + 2}: the file names a split of {ratio:g} on 2018-07-31, .* {moved:.4g}"
    with pytest.raises(DataError, match=message + " times the one before: .*Adj Close, .*empty that cell"):
        read(path)
    found = read(file(tmp_path, ratio, column, none, ratio, unadjusted=False))
    assert len(found.frame) == 300 and found.repairs == ()


def test_check_splits_names_a_small_split_that_the_closes_show(tmp_path):
    (told,) = read(file(tmp_path, 1.05, "Stock Splits", 0, 1.05, unadjusted=True)).repairs
    assert (told.kind, told.dates, told.changed) == ("split_suspected", ("2018-07-31",), False)
    assert read(file(tmp_path, 1.05, "Stock Splits", 0, 1.05, unadjusted=False)).repairs == ()


def test_check_splits_takes_bars_that_an_adj_close_mends(tmp_path):
    path = file(tmp_path, 1.25, "splitFactor", 1, 1.25, unadjusted=True)
    frame = pd.read_csv(path)
    right = np.where(np.arange(len(frame)) < DAY, frame[CLOSE] / 1.25, frame[CLOSE])
    frame.assign(adjClose=right).to_csv(path, index=False)
    np.testing.assert_allclose(read(path).frame[CLOSE], right)
    with pytest.raises(DataError, match=r"set data\.adjust to true"):
        read(path, adjust=False)


@pytest.mark.parametrize(
    ("cell", "ratio"),
    [("2:1", 2), ("3/2", 1.5), ("1 for 10", 0.1), ("2.000000/1.000000", 2), (0, 1), ("", 1), ("none", 1), ("1/0", 1)],
)
def test_ratio_reads_the_ways_a_split_is_written(cell, ratio):
    assert _ratio(cell) == ratio
