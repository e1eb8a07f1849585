"""Bad bars: each kind is repaired with a report, or refused with file, row and remedy."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocessing.ohlcv import Bars, read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE, DATE, HIGH, LOW, VOLUME

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"
GOOD = [
    "2020-01-02,10.0,10.6,9.9,10.5,10.5,100",
    "2020-01-03,10.5,10.9,10.4,10.8,10.8,110",
    "2020-01-06,10.8,11.0,10.2,10.3,10.3,120",
    "2020-01-07,10.3,10.4,10.0,10.1,10.1,130",
]


def read(tmp_path, rows: list[str], header: str = HEADER, **data) -> Bars:
    path = tmp_path / "AAPL.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_bars(path, DataConfig(**data))


def replaced(row: int, text: str) -> list[str]:
    return [*GOOD[:row], text, *GOOD[row + 1 :]]


def kinds(bars: Bars) -> list[tuple[str, int, tuple[str, ...], bool]]:
    return [(repair.kind, repair.rows, repair.dates, repair.changed) for repair in bars.repairs]


def test_read_bars_reports_nothing_for_good_bars(tmp_path):
    bars = read(tmp_path, GOOD)
    assert bars.repairs == ()
    assert len(bars.frame) == 4


@pytest.mark.parametrize(
    "row", ["2020-01-03,null,null,null,null,null,null", "2020-01-03,,,,,,", "2020-01-03,10.5,10.9,,10.8,10.8,1"]
)
def test_read_bars_drops_and_reports_rows_of_nulls(tmp_path, row):
    bars = read(tmp_path, replaced(1, row))
    assert kinds(bars) == [("null", 1, ("2020-01-03",), True)]
    assert bars.repairs[0].detail == (
        "1 row (2020-01-03) without one of open, high, low, close, Adj Close; dropped (line 3)"
    )
    assert bars.frame[DATE].dt.day.tolist() == [2, 6, 7]


def test_read_bars_counts_blank_lines_when_it_names_a_line(tmp_path):
    with pytest.raises(DataError, match="line 5: open is -1"):
        read(tmp_path, [GOOD[0], "", GOOD[1], "2020-01-06,-1,11,10,10.3,10.3,1"])


def test_read_bars_refuses_a_file_of_nulls_alone(tmp_path):
    with pytest.raises(DataError, match="no row has all of open"):
        read(tmp_path, ["2020-01-03,null,null,null,null,null,null"])


def test_read_bars_drops_and_reports_equal_rows_of_one_day(tmp_path):
    bars = read(tmp_path, [*GOOD[:2], GOOD[1], *GOOD[2:]])
    assert kinds(bars) == [("duplicate", 1, ("2020-01-03",), True)]
    assert len(bars.frame) == 4


def test_read_bars_refuses_different_rows_of_one_day(tmp_path):
    with pytest.raises(
        DataError, match=r"AAPL\.csv, line 4: a second, different row of 2020-01-03; keep the right one"
    ):
        read(tmp_path, [*GOOD[:2], "2020-01-03,10.5,10.9,10.4,10.7,10.7,110", *GOOD[2:]])


def test_read_bars_sorts_and_reports_unsorted_dates(tmp_path):
    bars = read(tmp_path, [GOOD[1], GOOD[0], *GOOD[2:]])
    assert kinds(bars) == [("unsorted", 1, ("2020-01-02",), True)]
    assert bars.frame[CLOSE].tolist() == [10.5, 10.8, 10.3, 10.1]


def test_read_bars_sorts_newest_first(tmp_path):
    bars = read(tmp_path, GOOD[::-1])
    assert bars.frame[CLOSE].tolist() == [10.5, 10.8, 10.3, 10.1]
    assert kinds(bars) == [("newest_first", 4, (), False)]


@pytest.mark.parametrize("price", ["0", "-10.5", "inf"])
def test_read_bars_refuses_prices_that_are_none(tmp_path, price):
    with pytest.raises(DataError, match=r"AAPL\.csv, line 3: open is .*, not a price above zero; correct it"):
        read(tmp_path, replaced(1, f"2020-01-03,{price},10.9,10.4,10.8,10.8,110"))


def test_read_bars_refuses_a_negative_adj_close_only_where_it_is_used(tmp_path):
    rows = replaced(1, "2020-01-03,10.5,10.9,10.4,10.8,-0.3,110")
    with pytest.raises(DataError, match=r"line 3: Adj Close is -0\.3.*set data\.adjust to false"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, adjust=False).repairs == ()


def test_read_bars_widens_and_reports_ranges_that_miss_by_rounding(tmp_path):
    bars = read(tmp_path, replaced(1, "2020-01-03,10.5,10.79,10.52,10.8,10.8,110"))
    assert kinds(bars) == [("range", 1, ("2020-01-03",), True)]
    assert bars.frame.loc[1, [HIGH, LOW]].tolist() == [10.8, 10.5]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("2020-01-03,10.5,10.6,10.4,10.8,10.8,110", "high is below open or close"),
        ("2020-01-03,10.5,10.9,10.7,10.8,10.8,110", "low is above open or close"),
        ("2020-01-03,10.5,10.4,10.9,10.8,10.8,110", "high is below open or close"),
    ],
)
def test_read_bars_refuses_ranges_that_miss_by_more(tmp_path, row, what):
    with pytest.raises(DataError, match=rf"AAPL\.csv, line 3: {what}"):
        read(tmp_path, replaced(1, row))


def split_by(ratio: float) -> list[str]:
    return [*GOOD[:2], *(f"2020-01-0{day},{10 * ratio},{10 * ratio},{10 * ratio},{10 * ratio},,1" for day in (6, 7))]


@pytest.mark.parametrize("ratio", [0.5, 2.0, 0.1, 10.0])
def test_read_bars_refuses_an_unadjusted_split(tmp_path, ratio):
    message = r"AAPL\.csv, line 4: the close of 2020-01-06 is .* times the one before.*data\.split_ratio above 1\.8"
    with pytest.raises(DataError, match=message):
        read(tmp_path, split_by(ratio), adjust=False)


def test_read_bars_accepts_a_large_move_below_the_split_ratio(tmp_path):
    assert read(tmp_path, split_by(0.65), adjust=False).repairs == ()
    assert read(tmp_path, split_by(0.5), adjust=False, split_ratio=3.0).repairs == ()


def test_read_bars_accepts_a_split_that_adj_close_makes_good(tmp_path):
    rows = [
        "2020-01-02,20.0,21.2,19.8,21.0,10.5,100",
        "2020-01-03,21.0,21.8,20.8,21.6,10.8,110",
        *GOOD[2:],
    ]
    assert read(tmp_path, rows).frame[CLOSE].tolist() == pytest.approx([10.5, 10.8, 10.3, 10.1])
    with pytest.raises(DataError, match="looks like a split"):
        read(tmp_path, rows, adjust=False)


def test_read_bars_reports_gaps_and_zero_volume_and_keeps_the_rows(tmp_path):
    bars = read(tmp_path, [*GOOD[:3], "2020-02-07,10.3,10.4,10.0,10.1,10.1,0"])
    assert kinds(bars) == [("zero_volume", 1, ("2020-02-07",), False), ("gap", 1, ("2020-02-07",), False)]
    assert "at most 32" in bars.repairs[1].detail
    assert len(bars.frame) == 4


def test_read_bars_takes_a_missing_volume_as_zero_and_reports_it(tmp_path):
    bars = read(tmp_path, replaced(1, "2020-01-03,10.5,10.9,10.4,10.8,10.8,"))
    assert kinds(bars) == [("no_volume", 1, ("2020-01-03",), True)]
    assert bars.frame[VOLUME].tolist() == [100, 0, 120, 130]


def test_read_bars_refuses_a_negative_volume(tmp_path):
    with pytest.raises(DataError, match="line 3: volume is -5"):
        read(tmp_path, replaced(1, "2020-01-03,10.5,10.9,10.4,10.8,10.8,-5"))


def test_read_bars_reads_and_reports_thousands_separators(tmp_path):
    rows = [f'2020-01-0{day},"1,000.5","1,001.0","1,000.0","1,000.5","1,000.5","1,234,567"' for day in (2, 3)]
    bars = read(tmp_path, rows)
    assert bars.frame[CLOSE].tolist() == [1000.5, 1000.5]
    assert bars.frame[VOLUME].tolist() == [1234567, 1234567]
    assert kinds(bars) == [("dialect", 2, (), False)]
    assert bars.repairs[0].detail == "read as: thousands separators"


@pytest.mark.parametrize("text", ["abc", '"1,2"', '"10,5"', "#10.5", "10.5.1", "1_0", "-"])
def test_read_bars_refuses_what_is_no_number(tmp_path, text):
    with pytest.raises(DataError, match=r"AAPL\.csv, line 3: open is .*, not a number; write numbers as 1234\.5"):
        read(tmp_path, replaced(1, f"2020-01-03,{text},10.9,10.4,10.8,10.8,110"))


@pytest.mark.parametrize("date", ["03/01/2020", "2020-13-01", "yesterday", "20200103", "2020-01", "1577923200"])
def test_read_bars_refuses_dates_that_cannot_be_read(tmp_path, date):
    with pytest.raises(DataError, match=r"AAPL\.csv, line 3: date '.*' cannot be read; write dates as 2016-06-29"):
        read(tmp_path, replaced(1, f"{date},10.5,10.9,10.4,10.8,10.8,110"))


def test_read_bars_refuses_prices_without_a_date(tmp_path):
    with pytest.raises(DataError, match="line 3: a row without a date"):
        read(tmp_path, replaced(1, ",10.5,10.9,10.4,10.8,10.8,110"))


def test_read_bars_refuses_dates_in_the_future_and_before_1800(tmp_path):
    later = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3)
    with pytest.raises(DataError, match=f"line 6: date {later} is in the future"):
        read(tmp_path, [*GOOD, f"{later},10.3,10.4,10.0,10.1,10.1,130"])
    with pytest.raises(DataError, match="line 2: date 0202-01-02 is before 1800"):
        read(tmp_path, replaced(0, "0202-01-02,10.0,10.6,9.9,10.5,10.5,100"))


def test_read_bars_removes_and_reports_times_of_day(tmp_path):
    bars = read(tmp_path, replaced(1, "2020-01-03 23:30:00-05:00,10.5,10.9,10.4,10.8,10.8,110"))
    assert kinds(bars) == [("time_of_day", 1, ("2020-01-03",), True)]
    assert bars.frame[DATE].dt.day.tolist() == [2, 3, 6, 7]


def test_read_bars_names_missing_and_found_columns(tmp_path):
    with pytest.raises(DataError, match=r"AAPL\.csv: no column close .*found Date, Open, High, Low"):
        read(tmp_path, ["2020-01-02,1,2,3"], header="Date,Open,High,Low")


def test_read_bars_refuses_a_column_that_is_there_twice(tmp_path):
    with pytest.raises(DataError, match="column close is there more than once"):
        read(tmp_path, ["2020-01-02,1,2,1,2,2,5"], header="Date,Open,High,Low,Close,CLOSE,Volume")


@pytest.mark.parametrize("extra", [",9", ",9,9"])
def test_read_bars_refuses_rows_with_too_many_values(tmp_path, extra):
    with pytest.raises(DataError, match=r"AAPL\.csv.* line 4.*repair or delete"):
        read(tmp_path, [*GOOD[:2], GOOD[2] + extra, GOOD[3]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"," * 3_000_000, "a line of more than 10000 columns"),
        (f"{HEADER}\n".encode(), "no rows under the header"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file in UTF-8"),
        (b"PAR1\x00\x00PAR1", "a binary file"),
        (HEADER.encode("utf-16"), "no rows under the header"),
        (HEADER.encode("utf-16")[:-1], "not a text file in UTF-8"),
        (b"<html><body>Too Many Requests</body></html>\n", "no column date"),
        (b'Date,"Open\n', "no column|repair"),
        (b"a" * 200_000, "no header of a CSV file"),
    ],
)
def test_read_bars_refuses_files_that_are_no_csv(tmp_path, content, message):
    (tmp_path / "AAPL.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"AAPL\.csv: .*({message})"):
        read_bars(tmp_path / "AAPL.csv", DataConfig())


def test_read_bars_refuses_files_that_are_no_parquet(tmp_path):
    for content in (b"PAR1 garbage PAR1", HEADER.encode(), b"\0"):
        (tmp_path / "AAPL.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"AAPL\.parquet: not readable as Parquet"):
            read_bars(tmp_path / "AAPL.parquet", DataConfig())


def test_read_bars_names_the_row_of_a_parquet_file(tmp_path):
    frame = pd.DataFrame([row.split(",") for row in GOOD], columns=HEADER.split(","))
    numbers = frame.drop(columns="Date").astype(float)
    numbers.loc[2, "Low"] = -1.0
    numbers.assign(Date=pd.to_datetime(frame["Date"])).to_parquet(tmp_path / "AAPL.parquet")
    with pytest.raises(DataError, match=r"AAPL\.parquet, row 3: low is -1"):
        read_bars(tmp_path / "AAPL.parquet", DataConfig())


def test_read_bars_reports_how_many_rows_and_the_first_days(tmp_path):
    days = pd.bdate_range("2020-01-02", periods=30).strftime("%Y-%m-%d")
    bars = read(tmp_path, [f"{day},10,10,10,10,10,0" for day in days])
    assert [(repair.kind, repair.rows, len(repair.dates)) for repair in bars.repairs] == [("zero_volume", 30, 5)]
    assert bars.repairs[0].detail.startswith("30 rows (2020-01-02, 2020-01-03, 2020-01-06, 2020-01-07, 2020-01-08, …)")
    assert np.isfinite(bars.frame[CLOSE]).all()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_read_bars_gives_bars_or_a_data_error_for_any_content(tmp_path, content):
    (tmp_path / "AAPL.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"AAPL\.csv"):
        read_bars(tmp_path / "AAPL.csv", DataConfig())


CELLS = st.sampled_from(
    ["", "0", "-1", "null", "1e400", "inf", "nan", "10.5", "10.4", "x", '"', '"1,000"', "2020-01-03", "é"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(GOOD), min_size=1, max_size=6),
    row=st.integers(0, 5),
    place=st.integers(0, 6),
    cell=CELLS,
    header=st.sampled_from([HEADER, HEADER.upper(), HEADER + ",Dividends"]),
)
def test_read_bars_accounts_for_every_row_of_damaged_bars(tmp_path, rows, row, place, cell, header):
    cells = rows[row % len(rows)].split(",")
    cells[place] = cell
    rows = [*rows[: row % len(rows)], ",".join(cells), *rows[row % len(rows) + 1 :]]
    try:
        bars = read(tmp_path, rows, header=header)
    except DataError as error:
        assert "AAPL.csv" in str(error)
        return
    frame = bars.frame
    dropped = sum(repair.rows for repair in bars.repairs if repair.kind in ("null", "duplicate", "two_volumes"))
    assert len(frame) + dropped == len(rows)
    assert (frame[DATE].diff().dropna() > pd.Timedelta(0)).all()
    prices = frame[["open", HIGH, LOW, CLOSE]]
    assert (np.isfinite(prices) & (prices > 0)).all(axis=None)
    assert (frame[HIGH] == prices.max(axis=1)).all()
    assert (frame[LOW] == prices.min(axis=1)).all()
    assert np.isfinite(frame[VOLUME]).all()
