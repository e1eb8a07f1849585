"""Prices that are wrong in themselves: outliers of one column, changes of the currency's unit, sizes no price has."""

import datetime
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ohlcv import Bars, read_bars
from preprocessing.suspicions import suspect_splits
from preprocessing.units import PRICES
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

STOCKNET = Path("../shared/data/stocknet/prices")
real_bars = pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")
GOOD = pd.DataFrame(
    {
        DATE: ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07", "2020-01-08", "2020-01-09"],
        OPEN: [10.0, 10.5, 10.8, 10.3, 10.2, 10.0],
        HIGH: [10.6, 10.9, 11.0, 10.4, 10.3, 10.4],
        LOW: [9.9, 10.4, 10.2, 10.0, 9.8, 9.9],
        CLOSE: [10.5, 10.8, 10.3, 10.1, 10.0, 10.2],
        VOLUME: [100, 110, 120, 130, 140, 150],
    }
)


def read(tmp_path: Path, frame: pd.DataFrame, **data) -> Bars:
    frame.to_csv(tmp_path / "AAPL.csv", index=False)
    return read_bars(tmp_path / "AAPL.csv", DataConfig(**data))


def having(row: int, **prices: float) -> pd.DataFrame:
    frame = GOOD.copy()
    for name, value in prices.items():
        frame.loc[row, name] = value
    return frame


def in_pence(rows: slice, times: float = 100.0) -> pd.DataFrame:
    frame = GOOD.copy()
    frame.loc[rows, list(PRICES)] *= times
    return frame


@pytest.mark.parametrize(
    ("name", "value", "times"),
    [
        (HIGH, 1100.0, "101.9"),
        (HIGH, 0.11, "0.01019"),
        (LOW, 0.102, "0.0099"),
        (LOW, 1020.0, "99.03"),
        (OPEN, 30, "2."),
    ],
)
def test_read_bars_refuses_an_outlier_in_one_column(tmp_path, name, value, times):
    message = rf"AAPL\.csv, line 4: {name} is {times}.* times what its own bar and the close before allow; correct it, "
    with pytest.raises(DataError, match=message + r"or set data\.repair_outliers to true .*data\.outlier_factor above"):
        read(tmp_path, having(2, **{name: value, HIGH: value if name != LOW else 11.0}))


@pytest.mark.parametrize(
    ("name", "value", "right"), [(HIGH, 1100.0, 10.8), (HIGH, 0.11, 10.8), (LOW, 0.102, 10.3), (LOW, 1020.0, 10.3)]
)
def test_read_bars_pulls_an_outlier_back_on_request_and_reports_it(tmp_path, name, value, right):
    bars = read(tmp_path, having(2, **{name: value}), repair_outliers=True)
    assert bars.frame.loc[2, name] == right
    pd.testing.assert_frame_equal(
        bars.frame.drop(columns=[DATE, name]), GOOD.drop(columns=[DATE, name]), check_dtype=False
    )
    assert bars.frame[name].drop(2).tolist() == GOOD[name].drop(2).tolist()
    assert [(repair.kind, repair.dates, repair.changed) for repair in bars.repairs] == [
        ("outlier", ("2020-01-06",), True)
    ]
    assert bars.repairs[0].detail.startswith(f"1 row (2020-01-06, line 4) with {name} {value:.6g}, ")
    assert bars.repairs[0].detail.endswith(f"; pulled back to {right:g}")


def test_read_bars_pulls_an_open_back_before_the_high_that_went_with_it(tmp_path):
    bars = read(tmp_path, having(2, open=1080.0, high=1100.0), repair_outliers=True)
    # The close before is 10.8, its own 10.3.
    assert bars.frame.loc[2, list(PRICES)].tolist() == [10.8, 10.8, 10.2, 10.3]
    assert [repair.kind for repair in bars.repairs] == ["outlier", "outlier"]


@pytest.mark.parametrize(("value", "moved", "right"), [(0.162, 1.5, 15.3), (720.0, 0.7, 7.7)])
def test_read_bars_pulls_an_open_back_into_its_own_bar_after_a_jump(tmp_path, value, moved, right):
    # The close before, 10.8, is outside of the bar: below its low of 15.3, or above its high of 7.7.
    frame = GOOD.copy()
    frame.loc[2:, list(PRICES)] *= moved
    frame.loc[2, OPEN] = value
    bars = read(tmp_path, frame, repair_outliers=True)
    assert bars.frame.loc[2, list(PRICES)].tolist() == pytest.approx([right, *frame.loc[2, [HIGH, LOW, CLOSE]]])
    assert [repair.kind for repair in bars.repairs] == ["outlier"]


def test_read_bars_does_not_repair_a_column_that_is_wrong_throughout(tmp_path):
    frame = GOOD.assign(high=GOOD[HIGH] * 100)
    with pytest.raises(DataError, match=r"line 2: high is .*and 5 more.*so many are no single errors: correct the col"):
        read(tmp_path, frame, repair_outliers=True)


def test_read_bars_does_not_take_a_wrong_close_for_right(tmp_path):
    for close in (1030.0, 0.103, 103.0):
        with pytest.raises(DataError, match=r"AAPL\.csv, line 4: (high is below|low is above) open or close"):
            read(tmp_path, having(2, close=close), repair_outliers=True, repair_units=True)


def test_read_bars_judges_a_bar_without_the_ones_after_it(tmp_path):
    # The next bars reach as high as the outlier does: what is known of its own day stays the same.
    later = GOOD.assign(**{name: GOOD[name] * 2.9 for name in PRICES}).iloc[3:]
    frames = [having(2, high=30.0)[:3], pd.concat([having(2, high=30.0)[:3], later])]
    before, after = (read(tmp_path, frame, repair_outliers=True, split_ratio=5.0) for frame in frames)
    assert before.frame.loc[2, HIGH] == 10.8
    pd.testing.assert_frame_equal(before.frame, after.frame[:3])
    assert before.repairs == after.repairs


def test_read_bars_takes_a_crash_for_real(tmp_path):
    # A low two fifths below both closes; then an open at 0.45 of the close before, with trades at yesterday's price.
    crash = having(2, low=6.2)
    crash.iloc[3, 1:5] = [4.6, 10.2, 4.5, 4.7]
    crash.iloc[4:, 1:5] = [4.7, 4.9, 4.6, 4.8]
    assert read(tmp_path, crash, split_ratio=2.5).repairs == ()


@real_bars
def test_read_bars_finds_no_outlier_in_real_bars():
    for path in sorted(STOCKNET.glob("*.csv")):
        bars = read_bars(path, DataConfig(split_ratio=2.0, outlier_factor=1.4, repair_outliers=True))
        assert not [repair for repair in bars.repairs if repair.kind in ("outlier", "unit")], path.name


@pytest.mark.parametrize("name", ["sp500", "nasdaq"])
def test_read_bars_finds_no_outlier_in_two_crashes_of_an_index(tmp_path, name):
    # Twenty years of days, with 2000, 2008 and the afternoon of 2010-05-06 among them, come with a dependency.
    frame = importlib.import_module(f"arch.data.{name}").load()
    frame.to_csv(tmp_path / "INDEX.csv")
    bars = read_bars(tmp_path / "INDEX.csv", DataConfig(outlier_factor=1.4, repair_outliers=True, repair_units=True))
    assert len(bars.frame) == len(frame) > 5000
    assert [repair.kind for repair in suspect_splits([bars])[0].repairs if repair.kind != "zero_volume"] == []


def test_read_bars_refuses_a_change_of_the_currency_unit_by_its_name(tmp_path):
    message = (
        r"AAPL\.csv, line 5: the prices change by a factor of about 100 on 2020-01-07, as pence and pounds do; "
        r"beside the last bars, 3 rows \(2020-01-02 to 2020-01-06\) 100 times as large; set data\.repair_units to true"
    )
    with pytest.raises(DataError, match=message):
        read(tmp_path, in_pence(slice(0, 2)))
    with pytest.raises(DataError, match=r"line 4: .* 2 rows \(2020-01-06 to 2020-01-07\) 100 times as small;"):
        read(tmp_path, in_pence(slice(2, 3), 0.01))


@pytest.mark.parametrize("times", [100.0, 0.01, 1000.0, 0.001])
@pytest.mark.parametrize(
    ("rows", "said"), [(slice(0, 2), "3 rows (2020-01-02 to 2020-01-06)"), (slice(1, 1), "1 row (2020-01-03)")]
)
def test_read_bars_gives_all_bars_the_unit_of_the_last_on_request(tmp_path, times, rows, said):
    bars = read(tmp_path, in_pence(rows, times), repair_units=True)
    np.testing.assert_allclose(bars.frame[list(PRICES)], GOOD[list(PRICES)], rtol=1e-12)
    assert bars.frame[VOLUME].tolist() == GOOD[VOLUME].tolist()
    assert [(repair.kind, repair.rows, repair.changed) for repair in bars.repairs] == [
        ("unit", rows.stop - rows.start + 1, True)
    ]
    assert bars.repairs[0].detail.startswith(f"{said} in another unit of the currency, ")


def test_read_bars_scales_earlier_bars_where_the_last_ones_changed(tmp_path):
    bars = read(tmp_path, in_pence(slice(4, 5)), repair_units=True)
    np.testing.assert_allclose(bars.frame[list(PRICES)], GOOD[list(PRICES)] * 100, rtol=1e-12)


def test_read_bars_repairs_several_stretches_each_with_its_own_report(tmp_path):
    frame = in_pence(slice(1, 1))
    frame.loc[3, list(PRICES)] /= 100
    bars = read(tmp_path, frame, repair_units=True)
    np.testing.assert_allclose(bars.frame[list(PRICES)], GOOD[list(PRICES)], rtol=1e-12)
    assert [repair.dates for repair in bars.repairs] == [("2020-01-03",), ("2020-01-07",)]


def test_read_bars_finds_a_unit_in_adjusted_prices_alone(tmp_path):
    # Adj Close makes a split of 100 for 1 good: no unit changes. Where only Adj Close changes its unit, one does.
    split = in_pence(slice(0, 2)).assign(**{"Adj Close": GOOD[CLOSE]})
    assert read(tmp_path, split).repairs == ()
    changed = GOOD.assign(**{"Adj Close": in_pence(slice(0, 2))[CLOSE]})
    with pytest.raises(DataError, match="as pence and pounds do"):
        read(tmp_path, changed)
    bars = read(tmp_path, changed, repair_units=True)
    np.testing.assert_allclose(bars.frame[list(PRICES)], GOOD[list(PRICES)], rtol=1e-12)


def test_read_bars_still_calls_other_jumps_a_split(tmp_path):
    for times in (10.0, 50.0, 0.1):
        with pytest.raises(DataError, match="which looks like a split"):
            read(tmp_path, in_pence(slice(0, 2), times), repair_units=True)


@pytest.mark.parametrize("price", [1e-300, 5e-324, 1e300])
def test_read_bars_refuses_sizes_that_no_price_has(tmp_path, price):
    with pytest.raises(DataError, match=r"line 4: low is .*, not a price above zero that can be: 1e-09 to 1e\+12; cor"):
        read(tmp_path, having(2, low=price))
    with pytest.raises(
        DataError, match=r"line 4: Adj Close is .* can be: 1e-09 to 1e\+12; .*set data\.adjust to false"
    ):
        read(tmp_path, GOOD.assign(**{"Adj Close": GOOD[CLOSE].where(GOOD.index != 2, price)}))


def test_read_bars_refuses_prices_that_adjustment_makes_too_small(tmp_path):
    frame = GOOD.assign(**{"Adj Close": 2e-9})
    frame.loc[2, list(PRICES)] = [1.0, 11.0, 0.2, 10.3]
    # 1 * 2e-9 / 10.3 is below any price, though open and Adj Close are prices.
    with pytest.raises(DataError, match=r"line 4: open is 1\.9.*e-10, not a price above zero that can be"):
        read(tmp_path, frame)


@pytest.mark.parametrize("volumes", [(150, 170), (170, 150), (None, 170)])
def test_read_bars_keeps_the_larger_volume_of_a_session_that_is_there_twice(tmp_path, volumes):
    twice = pd.concat([GOOD.iloc[:5], GOOD.iloc[5:].assign(volume=volumes[0]), GOOD.iloc[5:].assign(volume=volumes[1])])
    bars = read(tmp_path, twice)
    assert bars.frame[VOLUME].tolist() == [100, 110, 120, 130, 140, 170]
    assert bars.frame[list(BAR_COLUMNS[1:5])].to_numpy().tolist() == GOOD[list(BAR_COLUMNS[1:5])].to_numpy().tolist()
    assert [(repair.kind, repair.detail) for repair in bars.repairs] == [
        ("two_volumes", "1 row (2020-01-09) repeated with the same prices; the larger volume kept")
    ]


def test_read_bars_takes_prices_of_a_session_that_is_there_twice_for_the_same_but_for_rounding(tmp_path):
    again = GOOD.iloc[5:].assign(close=10.199999809265137, volume=170)  # 10.2 in single precision
    assert read(tmp_path, pd.concat([GOOD, again])).frame[VOLUME].tolist() == [100, 110, 120, 130, 140, 170]
    with pytest.raises(DataError, match=r"line 8: a second, different row of 2020-01-09"):
        read(tmp_path, pd.concat([GOOD, again.assign(close=10.2001)]))


def test_read_bars_drops_and_reports_a_row_of_tomorrow_without_prices(tmp_path):
    later = str(datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3))
    empty = pd.DataFrame({DATE: [later], VOLUME: [0]})
    bars = read(tmp_path, pd.concat([GOOD, GOOD.iloc[5:].assign(volume=170), empty]))
    assert [(repair.kind, repair.dates) for repair in bars.repairs] == [
        ("null", (later,)),
        ("two_volumes", ("2020-01-09",)),
    ]
    assert len(bars.frame) == 6
