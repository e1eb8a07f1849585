"""How a text becomes rows and numbers: stray quotes, empty cells and lines, points between thousands, indices."""

import re

import pandas as pd
import pytest

from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE, DATE

HEADER = "Date,Open,High,Low,Close,Volume"
DAYS = [str(day.date()) for day in pd.bdate_range("2021-01-04", periods=6)]
ROWS = [f"{day},10,11,9,{10 + row / 10},5" for row, day in enumerate(DAYS)]
CLOSES = [10 + row / 10 for row in range(len(DAYS))]


def read(folder, lines, **data):
    path = folder / "AAPL.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_bars(path, DataConfig(**data))


def closes(bars):
    return bars.frame[CLOSE].tolist()


@pytest.mark.parametrize("end", ['done"', "done"])
def test_read_bars_refuses_a_quote_that_swallows_rows_by_its_line(tmp_path, end):
    lines = [f"{HEADER},Note", *(f"{row},ok" for row in ROWS)]
    lines[2], lines[5] = lines[2].replace("ok", '"split'), lines[5].replace("ok", end)
    with pytest.raises(DataError, match=r"AAPL\.csv, line 3: a quotation mark opens a cell that goes on in the next"):
        read(tmp_path, lines)


def test_read_bars_refuses_a_break_within_the_header(tmp_path):
    with pytest.raises(DataError, match=r"no header of a CSV file .*a quotation mark opens a cell"):
        read(tmp_path, [f'{HEADER},"No', 'te"', *(f"{row},ok" for row in ROWS)])


def test_read_bars_reads_quotes_that_stay_in_their_line(tmp_path):
    lines = [f"{HEADER},Note", *(f'{row},"ok, ""fine"""' for row in ROWS)]
    assert closes(read(tmp_path, lines)) == CLOSES


@pytest.mark.parametrize("empty", [",", ",,", ",,,,", ", ,", ',"",'])
@pytest.mark.parametrize("first", [0, 3])
def test_read_bars_passes_over_empty_cells_beyond_the_header(tmp_path, empty, first):
    lines = [HEADER, *ROWS[:first], *(row + empty for row in ROWS[first:])]
    bars = read(tmp_path, lines)
    assert closes(bars) == CLOSES
    assert [str(day.date()) for day in bars.frame[DATE]] == DAYS


@pytest.mark.parametrize("row", [0, 3])
def test_read_bars_names_the_line_with_values_beyond_the_header(tmp_path, row):
    lines = [HEADER, *(text + ",," for text in ROWS)]
    lines[row + 1] += "9"
    with pytest.raises(DataError, match=rf"AAPL\.csv, line {row + 2}: more values than the header has columns"):
        read(tmp_path, lines)


@pytest.mark.parametrize("before", [[""], ["", "  ", ""], ["", "sep=,"]])
def test_read_bars_passes_over_blank_lines_before_the_header(tmp_path, before):
    assert closes(read(tmp_path, [*before, HEADER, *ROWS])) == CLOSES
    wrong = [*before, HEADER, ROWS[0], ROWS[1].replace("11", "x")]
    with pytest.raises(DataError, match=rf"line {len(wrong)}: high is 'x', not a number"):
        read(tmp_path, wrong)


GERMAN = [
    "Date;Open;High;Low;Close",
    "2021-01-04;27.981;28.175;27.944;28.097",
    "2021-01-05;28.050;28.340;27.976;28.329",
]
POINTS = [line.replace(";", ",") for line in GERMAN]


@pytest.mark.parametrize(
    "lines",
    [
        GERMAN,
        [re.sub(r"(\.\d{3})", r"\1 €", line) for line in GERMAN],
        [line.replace("2021-01-04", "04.01.2021").replace("2021-01-05", "15.01.2021") for line in POINTS],
        [HEADER, "2021-01-04,998,1.005,997,1.002,5", "2021-01-05,1.001,1.011,998,1.011,5"],
    ],
    ids=["semicolons", "euro signs", "day first with points", "prices on either side of 1000"],
)
def test_read_bars_refuses_points_that_may_stand_between_thousands_unless_told(tmp_path, lines):
    with pytest.raises(DataError, match=r"which may be .*; set data\.decimal to point \(the first\) or to comma"):
        read(tmp_path, lines)
    told = closes(read(tmp_path, lines, decimal="comma", max_gap_days=30))
    assert told in ([28097, 28329], [1002, 1011])
    if "998" not in lines[1]:
        assert closes(read(tmp_path, lines, decimal="point", max_gap_days=30)) == [28.097, 28.329]


@pytest.mark.parametrize(
    "lines",
    [
        POINTS,
        [line.replace(",", "\t").replace("-", ".") for line in POINTS],
        [*GERMAN, "2021-01-06;28.5;28.7;28.1;28.4"],
        [line + extra for line, extra in zip(POINTS, [",Volume", ",316924", ",7030762"], strict=True)],
    ],
    ids=["commas", "tabs and the year first", "a price of one digit behind", "volumes"],
)
def test_read_bars_takes_a_point_for_decimal_in_files_of_english_form(tmp_path, lines):
    assert closes(read(tmp_path, lines))[:2] == [28.097, 28.329]


def test_read_bars_needs_a_sign_where_there_is_no_volume(tmp_path):
    text = ["Date,Open,High,Low,Close", '2021-01-04,"100,500","101,250","99,750","100,607"']
    with pytest.raises(DataError, match=r"set data\.decimal to comma"):
        read(tmp_path, text)


def test_read_bars_refuses_two_currencies_in_two_columns(tmp_path):
    lines = ["Date,Open,High,Low,Close", "2021-01-04,$10,€10,€10,€10", "2021-01-05,$10,€10,€10,€10"]
    with pytest.raises(DataError, match=r"line 2: high in €, not in \$ as open .*one currency"):
        read(tmp_path, lines)
    assert closes(read(tmp_path, [lines[0], *(line.replace("€", "$") for line in lines[1:])])) == [10, 10]


def frame():
    prices = dict.fromkeys(("Open", "High", "Low"), 10.0)
    return pd.DataFrame({**prices, "Close": CLOSES, "Volume": 5.0}, index=pd.DatetimeIndex(DAYS, name="Date")).clip(10)


@pytest.mark.parametrize("column", ["timestamp", "day", "datetime", "time"])
@pytest.mark.parametrize("name", ["Date", None])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_read_bars_takes_an_index_of_dates_before_a_column_of_another_name(tmp_path, column, name, form):
    bars = frame().assign(High=11.0, **{column: pd.DatetimeIndex(DAYS) + pd.Timedelta("1D")})
    if column == "day":
        bars["day"] = bars.index.dayofweek
    bars.index.name = name
    path = tmp_path / f"AAPL.{form}"
    if form == "csv":
        bars.drop(columns="time", errors="ignore").to_csv(path)
    else:
        bars.to_parquet(path)
    read = read_bars(path, DataConfig())
    assert [str(day.date()) for day in read.frame[DATE]] == DAYS
    assert closes(read) == CLOSES


def test_read_bars_shows_no_more_of_a_cell_than_a_line(tmp_path):
    for cell in ("1" * 200_000, "1." * 100_000, "x" * 200_000):
        with pytest.raises(DataError, match=r"line 5: open is .*…', not a number") as caught:
            read(tmp_path, [HEADER, *ROWS[:3], f"2021-01-07,{cell},11,9,10,5"])
        assert len(str(caught.value)) < 1000
