"""Adj Close: single wrong values, filled ones, and real dividends and splits, which are none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ohlcv import Bars, read_bars
from preprocessing.units import PRICES
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE, DATE, OPEN

STOCKNET = Path("../shared/data/stocknet/prices")
real_bars = pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")
BARS, DAY = 120, 60


def bars(adjusted: pd.Series | None = None, price: float = 100.0) -> pd.DataFrame:
    """Bars in cents, with an Adj Close: the close itself if none is given."""
    rng = np.random.default_rng(3)
    closes = (price * np.exp(np.cumsum(rng.normal(0, 0.01, BARS)))).round(2)
    opens = (closes * np.exp(rng.normal(0, 0.003, BARS))).round(2)
    frame = pd.DataFrame({DATE: pd.bdate_range("2021-01-04", periods=BARS), OPEN: opens})
    frame["high"] = (np.maximum(opens, closes) * 1.01).round(2)
    frame["low"] = (np.minimum(opens, closes) * 0.99).round(2)
    frame[CLOSE], frame["volume"] = closes, 1000
    return frame.assign(**{"Adj Close": closes if adjusted is None else adjusted})


def wrong(rows: slice | int, times: float) -> pd.DataFrame:
    frame = bars()
    frame.loc[rows, "Adj Close"] *= times
    return frame


def read(folder: Path, frame: pd.DataFrame, **data: object) -> Bars:
    frame.to_csv(folder / "A.csv", index=False)
    return read_bars(folder / "A.csv", DataConfig.model_validate(data))


@pytest.mark.parametrize("times", [1.45, 0.7, 1.05, 0.98])
@pytest.mark.parametrize("last", [DAY, DAY + 1])
def test_check_adjustment_refuses_a_factor_that_leaves_and_comes_back(tmp_path, times, last):
    with pytest.raises(
        DataError, match=rf"A\.csv, line {DAY + 2}: Adj Close / Close of 2021-03-29 is {times:g}"
    ) as said:
        read(tmp_path, wrong(slice(DAY, last), times))
    assert "soon back, as after no dividend or split" in str(said.value)
    assert "correct it, or set data.adjust to false" in str(said.value)
    assert ("and 1 more" in str(said.value)) == (last > DAY)
    assert read(tmp_path, wrong(slice(DAY, last), times), adjust=False).adjusted is False


@pytest.mark.parametrize(("row", "line"), [(0, 3), (BARS - 1, BARS + 1)])
def test_check_adjustment_refuses_a_large_step_that_the_close_does_not_show(tmp_path, row, line):
    with pytest.raises(DataError, match=rf"line {line}: .* shows no dividend or split of that size"):
        read(tmp_path, wrong(row, 1.45))


@pytest.mark.parametrize(
    "factor",
    [
        lambda rows: np.where(rows < 30, 0.97, np.where(rows < 60, 0.98, np.where(rows < 90, 0.99, 1.0))),
        lambda rows: np.where(rows < DAY, 0.5, 1.0),
        lambda rows: np.where(rows < DAY, 3.0, 1.0),
        lambda rows: np.where(rows < DAY, 0.5, np.where(rows < DAY + 3, 0.995, 1.0)),
    ],
    ids=["dividends", "split", "reverse split", "split and dividend"],
)
def test_check_adjustment_takes_dividends_and_splits(tmp_path, factor):
    steps, frame = factor(np.arange(BARS)), bars()
    raw = frame.copy()
    for name in PRICES:
        raw[name] = frame[name] / steps
    found = read(tmp_path, raw)
    np.testing.assert_allclose(found.frame[list(PRICES)], frame[list(PRICES)], rtol=1e-9)
    assert found.adjusted and found.repairs == ()


def test_check_adjustment_takes_cents_of_a_price_of_cents_for_rounding(tmp_path):
    # A close of 90 and an Adj Close of 0.13: half a cent is 4 % of it.
    frame = bars(price=90.0)
    assert read(tmp_path, frame.assign(**{"Adj Close": (frame[CLOSE] / 700).round(2)}), split_ratio=3.0).adjusted


@pytest.mark.parametrize("first", [0, 50])
def test_check_adjustment_refuses_an_adj_close_that_was_filled_in(tmp_path, first):
    frame = bars()
    frame.loc[first:, "Adj Close"] = frame[CLOSE][first]
    count = BARS - first
    with pytest.raises(DataError, match=rf"line {first + 2}: Adj Close stays at .* for {count} bars while"):
        read(tmp_path, frame)


def test_adjust_makes_the_close_the_adj_close_to_the_last_bit(tmp_path):
    frame = bars()
    frame["Adj Close"] = frame[CLOSE] * 0.3
    frame.loc[10:14, [*PRICES, "Adj Close"]] = [50.1, 50.1, 50.1, 50.1, 15.03]
    found = read(tmp_path, frame, split_ratio=3.0).frame
    assert found[CLOSE].tolist() == pd.read_csv(tmp_path / "A.csv")["Adj Close"].tolist()
    assert set(found.loc[10:14, list(PRICES)].to_numpy().ravel()) == {15.03}


@real_bars
def test_check_adjustment_refuses_no_day_of_real_bars_and_finds_the_wrong_ones_put_into_them(tmp_path):
    files, found = sorted(STOCKNET.glob("*.csv")), 0
    for number, path in enumerate(files):
        assert read_bars(path, DataConfig(split_ratio=2.0)).adjusted, path.name
        frame = pd.read_csv(path).dropna()
        row = 20 + 9 * number
        frame.iloc[row, frame.columns.get_loc("Adj Close")] *= 0.985
        try:
            read(tmp_path, frame, split_ratio=2.0)
        except DataError as error:
            assert f"Adj Close / Close of {frame['Date'].iloc[row]} is 0.9" in str(error)
            found += 1
    # One falls on the day before a dividend of just that size.
    assert found >= len(files) - 1
