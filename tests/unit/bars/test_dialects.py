"""The dialects that files of bars come in: each by a small file, with the values that it means."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.dataset import load_bars
from preprocessing.ingest.sources import make_source, source_symbols
from preprocessing.ohlcv import Bars, find_files, read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

PRICES = [(100.5, 101.25, 99.75, 100.61), (100.6, 102.5, 100.25, 101.5), (101.5, 113.75, 101.25, 112.5)]
"""Open, high, low, close."""
DAYS = ["2021-01-04", "2021-01-05", "2021-01-13"]
VOLUMES = [1_200_000, 950_000, 2_000_000]


def read(path: Path, text: str | bytes, **data) -> Bars:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bars(path, DataConfig(max_gap_days=30, **data))


def said(bars: Bars) -> str:
    """The one line that tells the dialect."""
    told = [repair for repair in bars.repairs if repair.kind == "dialect"]
    assert len(told) == 1
    assert not told[0].changed
    return told[0].detail


def assert_same(bars: Bars, volumes: list[int] | None = None) -> None:
    frame = bars.frame
    assert [str(day.date()) for day in frame[DATE]] == DAYS
    assert frame[[OPEN, HIGH, LOW, CLOSE]].to_numpy().tolist() == [list(row) for row in PRICES]
    assert frame[VOLUME].tolist() == (volumes or VOLUMES)


def rows(dates: list[str], form: str) -> str:
    """One line a bar; `form` names d, o, h, l, c, v."""
    return "".join(
        form.format(d=date, o=o, h=h, l=low, c=c, v=v) + "\n"
        for date, (o, h, low, c), v in zip(dates, PRICES, VOLUMES, strict=True)
    )


def commas(text: str) -> str:
    return text.replace(".", ",")


STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n" + rows(
    ["20210104", "20210105", "20210113"], "AAPL.US,D,{d},000000,{o},{h},{l},{c},{v},0"
)
METATRADER = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n" + rows(
    ["2021.01.04", "2021.01.05", "2021.01.13"], "{d}\t{o}\t{h}\t{l}\t{c}\t77\t{v}\t1"
)
METATRADER_4 = rows(["2021.01.04", "2021.01.05", "2021.01.13"], "{d},00:00,{o},{h},{l},{c},{v}")
ALPHA_VANTAGE = "timestamp,1. open,2. high,3. low,4. close,5. volume\n" + rows(DAYS, "{d},{o},{h},{l},{c},{v}")
INVESTING = '"Date","Price","Open","High","Low","Vol.","Change %"\n' + (
    '"Jan 13, 2021","112.50","101.50","113.75","101.25","2.00M","10.84%"\n'
    '"Jan 05, 2021","101.50","100.60","102.50","100.25","950.00K","0.88%"\n'
    '"Jan 04, 2021","100.61","100.50","101.25","99.75","1.20M","-0.10%"\n'
)
NASDAQ = "Date,Close/Last,Volume,Open,High,Low\n" + rows(
    ["01/04/2021", "01/05/2021", "01/13/2021"], "{d},${c},{v},${o},${h},${l}"
)
GERMAN = "Date;Open;High;Low;Close;Volume\n" + commas(
    rows(["04_01_2021", "05_01_2021", "13_01_2021"], "{d};{o};{h};{l};{c};{v:_}")
).replace("_", ".")
SLASHES = "Date,Open,High,Low,Close,Volume\n" + rows(
    ["04/01/2021", "05/01/2021", "13/01/2021"], "{d},{o},{h},{l},{c},{v}"
)
SERIALS = "Date,Open,High,Low,Close,Volume\n" + rows(["44200", "44201", "44209"], "{d},{o},{h},{l},{c},{v}")
MILLISECONDS = [str(pd.Timestamp(day).value // 10**6) for day in DAYS]
BINANCE = rows(
    [MILLISECONDS[0], MILLISECONDS[1], MILLISECONDS[2] + "000"],
    "{d},{o},{h},{l},{c},{v},1609804799999,121000000.5,900,600000,60000000.5,0",
)
EXCEL_SEP = "sep=;\nDate;Open;High;Low;Close;Volume\n" + rows(DAYS, "{d};{o};{h};{l};{c};{v}")
TABS = "Date\tOpen\tHigh\tLow\tClose\tVolume\n" + rows(DAYS, "{d}\t{o}\t{h}\t{l}\t{c}\t{v}")
DASHED = "Date,Open,High,Low,Close,Volume\n" + rows(
    ["04-Jan-2021", "05-Jan-2021", "13-JAN-2021"], "{d},{o},{h},{l},{c},{v}"
)
SWISS = "Date;Open;High;Low;Close;Volume\n" + rows(DAYS, "{d};{o};{h};{l};{c};{v:_}").replace("_", "'")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("AAPL.US.txt", STOOQ, "'<VOL>' is volume; dates as 20210104"),
        ("AAPL.csv", METATRADER, "tabs between the columns; '<VOL>' is volume; dates as 2021/01/04"),
        ("EURUSD.csv", METATRADER_4, "no header, taken for MetaTrader's history; dates as 2021/01/04"),
        (
            "AAPL.csv",
            INVESTING,
            "'Price' is close; 'Vol.' is volume; month names in the dates; volumes as 1.2M",
        ),
        ("AAPL.csv", NASDAQ, "'Close/Last' is close; dates with the month first; $ signs"),
        (
            "AAPL.csv",
            GERMAN,
            "semicolons between the columns; dates with the day first; decimal commas; thousands separators",
        ),
        ("AAPL.csv", SLASHES, "dates with the day first"),
        ("AAPL.csv", SERIALS, "dates as Excel's serial days"),
        (
            "BTCUSDT.csv",
            BINANCE,
            "no header, taken for Binance's klines; 'opentime' is date; "
            "dates as microseconds and milliseconds since 1970 (UTC)",
        ),
        ("AAPL.csv", EXCEL_SEP, "semicolons between the columns"),
        ("AAPL.tsv", TABS, "tabs between the columns"),
        ("AAPL.csv", TABS.encode("utf-16"), "UTF-16 text; tabs between the columns"),
        ("AAPL.csv", DASHED, "month names in the dates"),
        ("AAPL.csv", SWISS, "semicolons between the columns; thousands separators"),
    ],
)
def test_read_bars_reads_a_dialect_and_says_so_in_one_line(tmp_path, name, text, line):
    bars = read(tmp_path / name, text)
    assert_same(bars)
    assert said(bars) == f"read as: {line}"
    assert not any(repair.changed for repair in bars.repairs)


def test_read_bars_reads_alpha_vantages_names_as_they_are(tmp_path):
    bars = read(tmp_path / "AAPL.csv", ALPHA_VANTAGE)
    assert_same(bars)
    assert bars.repairs == ()


def test_read_bars_reads_packed_files(tmp_path):
    (tmp_path / "A.csv.gz").write_bytes(gzip.compress(STOOQ.encode()))
    for name in ("B.zip", "C.csv.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("__MACOSX/._bars.csv", "")
            archive.writestr("bars.csv", GERMAN)
    found = find_files(DataConfig(data_dir=str(tmp_path)))
    assert list(found) == ["A", "B", "C"]
    for path in found.values():
        assert_same(read_bars(path, DataConfig()))


def test_read_bars_refuses_archives_of_several_files_and_of_endless_ones(tmp_path):
    with zipfile.ZipFile(tmp_path / "AAPL.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", STOOQ)
        archive.writestr("b.csv", STOOQ)
    with pytest.raises(DataError, match=r"AAPL\.zip: an archive must hold exactly one .* it holds 'a\.csv', 'b\.csv'"):
        read_bars(tmp_path / "AAPL.zip", DataConfig())
    with pytest.raises(DataError, match=r"AAPL\.csv\.gz: unpacks to more than 200 times its size"):
        read(tmp_path / "AAPL.csv.gz", gzip.compress(b"," * 50_000_000))
    for content in (gzip.compress(STOOQ.encode())[:-20], b"no archive", b"\x1f\x8b\x08"):
        with pytest.raises(DataError, match=r"AAPL\.csv\.gz: cannot be read"):
            read(tmp_path / "AAPL.csv.gz", content)
        with pytest.raises(DataError, match=r"AAPL\.zip: cannot be read"):
            read(tmp_path / "AAPL.zip", content)


ADJUSTED_NAMES = ["Adjusted_close", "adjusted_close", "adj_close", "adjClose", "5. adjusted close", "Adj. Close",
                  "Adj Close**", "closeadj"]  # fmt: skip


@pytest.mark.parametrize("name", ADJUSTED_NAMES)
def test_read_bars_knows_an_adjusted_close_by_its_usual_names(tmp_path, name):
    text = f"Date,Open,High,Low,Close,{name},Volume\n2021-01-04,168.5,170.0,168.0,169.31,100.02,5\n"
    bars = read(tmp_path / "AAPL.csv", text)
    assert bars.adjusted
    assert bars.frame[CLOSE].tolist() == pytest.approx([100.02])
    assert bars.frame[OPEN].tolist() == pytest.approx([168.5 * 100.02 / 169.31])
    assert not read(tmp_path / "AAPL.csv", text, adjust=False).adjusted


@pytest.mark.parametrize("form", ["adj{}", "Adj. {}"])
def test_read_bars_takes_a_whole_set_of_adjusted_columns(tmp_path, form):
    names = [form.format(name) for name in ("Close", "High", "Low", "Open", "Volume")]
    text = f"date,close,high,low,open,volume,{','.join(names)},divCash,splitFactor\n"
    text += "2021-01-04T00:00:00.000Z,200,204,198,202,50,100,102,99,101,100,0.0,1.0\n"
    bars = read(tmp_path / "AAPL.csv", text)
    assert bars.adjusted
    assert bars.frame.iloc[0, 1:].tolist() == [101, 102, 99, 100, 100]
    assert "the file's own adjusted open, high, low and close" in said(bars)
    raw = read(tmp_path / "AAPL.csv", text, adjust=False)
    assert not raw.adjusted
    assert raw.frame.iloc[0, 1:].tolist() == [202, 204, 198, 200, 50]


def test_read_bars_names_a_column_that_looks_adjusted_and_is_not_used(tmp_path):
    text = "Date,Open,High,Low,Close,Close (split adj),Volume,splitadjfactor\n2021-01-04,10,10,10,10,5,1,2\n"
    bars = read(tmp_path / "AAPL.csv", text)
    assert [repair.kind for repair in bars.repairs] == ["not_used"]
    assert "'Close (split adj)'" in bars.repairs[0].detail
    assert "splitadjfactor" not in bars.repairs[0].detail
    assert not bars.repairs[0].changed
    assert read(tmp_path / "AAPL.csv", text, adjust=False).repairs == ()
    part = "Date,Open,High,Low,Close,adjOpen,Volume\n2021-01-04,10,10,10,10,5,1\n"
    assert "'adjOpen'" in read(tmp_path / "AAPL.csv", part).repairs[0].detail


def test_read_bars_refuses_two_adjusted_closes(tmp_path):
    with pytest.raises(DataError, match="column adjclose is there more than once"):
        read(tmp_path / "AAPL.csv", "Date,Open,High,Low,Close,Adj Close,adj_close\n2021-01-04,1,1,1,1,1,1\n")


def test_read_bars_reads_bars_without_a_volume_and_says_so(tmp_path):
    bars = read(tmp_path / "EURUSD.csv", "Date,Open,High,Low,Close\n2021-01-04,1.22,1.23,1.21,1.225\n")
    assert bars.frame[VOLUME].tolist() == [0]
    assert [(repair.kind, repair.changed) for repair in bars.repairs] == [("no_volume", False)]


AMBIGUOUS = 'Date,Open,High,Low,Close,Volume\n2021-01-04,"100,500","101,250","99,750","100,607",1200\n'


def test_read_bars_refuses_three_digits_behind_one_comma_unless_told(tmp_path):
    path = tmp_path / "AAPL.csv"
    with pytest.raises(DataError, match=r"line 2: open is '100,500', which may be 100\.500 or 100500; set data\.decim"):
        read(path, AMBIGUOUS)
    assert read(path, AMBIGUOUS, decimal="comma").frame[CLOSE].tolist() == [100.607]
    assert read(path, AMBIGUOUS, decimal="point").frame[CLOSE].tolist() == [100607]


def test_read_bars_takes_a_comma_for_what_the_other_numbers_show(tmp_path):
    more = AMBIGUOUS + '2021-01-05,"100,5","101,25","99,75","100,607",1200\n'
    assert read(tmp_path / "AAPL.csv", more).frame[CLOSE].tolist() == [100.607, 100.607]
    more = AMBIGUOUS.replace("1200", '"1,200,000"')
    assert read(tmp_path / "AAPL.csv", more).frame[CLOSE].tolist() == [100607]


def test_read_bars_reads_points_as_thousands_where_commas_are_decimal(tmp_path):
    text = "Date;Open;High;Low;Close;Volume\n2021-01-04;13.700,5;13.800,25;13.600,5;13.718,78;123.456\n"
    frame = read(tmp_path / "DAX.csv", text).frame
    assert frame[CLOSE].tolist() == [13718.78]
    assert frame[VOLUME].tolist() == [123456]


def test_read_bars_refuses_a_point_among_decimal_commas(tmp_path):
    text = "Date;Open;High;Low;Close\n2021-01-04;10,5;10,75;10,25;10,5\n2021-01-05;10,5;10.75;10,25;10,5\n"
    with pytest.raises(DataError, match=r"line 3: high is '10\.75', not a number.*set data\.decimal to point"):
        read(tmp_path / "AAPL.csv", text)


def test_read_bars_refuses_two_currencies(tmp_path):
    text = "Date,Open,High,Low,Close\n2021-01-04,$10,$10,$10,$10\n2021-01-05,€10,$10,$10,$10\n"
    with pytest.raises(DataError, match="line 3: open in €, not in \\$ as above"):
        read(tmp_path / "AAPL.csv", text)


def test_read_bars_refuses_an_ambiguous_order_of_day_and_month_unless_told(tmp_path):
    text = "Date,Open,High,Low,Close,Volume\n01/04/2021,10,10,10,10,1\n01/05/2021,10,10,10,10,1\n"
    path = tmp_path / "AAPL.csv"
    with pytest.raises(DataError, match=r"line 2: date '01/04/2021': day and month may be either; set data\.dates to"):
        read(path, text)
    months = {
        order: read(path, text, dates=order).frame[DATE].dt.month.tolist() for order in ("month_first", "day_first")
    }
    assert months == {"month_first": [1, 1], "day_first": [4, 5]}
    with pytest.raises(DataError, match="in some dates the day can only be first, in others only second"):
        read(path, text + "13/01/2021,10,10,10,10,1\n01/14/2021,10,10,10,10,1\n")
    with pytest.raises(DataError, match="line 4: date '13/01/2021' cannot be read"):
        read(path, text + "13/01/2021,10,10,10,10,1\n", dates="month_first")


@pytest.mark.parametrize(
    "date", ["today", "now", "2021-02-30", "30.02.2021", "20210230", "Feb 30, 2021", "2021-01-04 25:00", "31/04/21"]
)
def test_read_bars_refuses_days_that_no_calendar_has(tmp_path, date):
    with pytest.raises(DataError, match=r"line 2: date '.*' cannot be read"):
        read(tmp_path / "AAPL.csv", f'Date,Open,High,Low,Close\n"{date}",10,10,10,10\n')


LONG = "Date,Ticker,Open,High,Low,Close,Volume\n" + "".join(
    f"{day},{ticker},{price},{price},{price},{price},{price}\n"
    for day in DAYS
    for ticker, price in (("AAPL", 10), ("msft", 20), ("M&M.NS", 30))
)


def test_find_files_takes_the_tickers_of_one_long_file(tmp_path):
    path = tmp_path / "prices of all.csv"
    path.write_text(LONG)
    for place in (path, tmp_path):
        data = DataConfig(data_dir=str(place), max_gap_days=30)
        assert find_files(data) == {"AAPL": path, "M&M.NS": path, "MSFT": path}
        bars, left_out = load_bars(data, find_files(data))
        assert {stock.stock: stock.frame[CLOSE].tolist() for stock in bars} == {
            "AAPL": [10, 10, 10], "M&M.NS": [30, 30, 30], "MSFT": [20, 20, 20]
        }  # fmt: skip
        assert left_out == {}
        assert said(bars[0]) == "read as: the rows of AAPL among those of 3 tickers"
        named = DataConfig(data_dir=str(place), stocks=["MSFT"])
        assert find_files(named) == {"MSFT": path}
        with pytest.raises(DataError, match="GE: no bars of this stock"):
            find_files(DataConfig(data_dir=str(place), stocks=["GE"]))


def test_find_files_refuses_a_stock_that_two_files_hold(tmp_path):
    (tmp_path / "all.csv").write_text(LONG)
    (tmp_path / "AAPL.csv").write_text(SLASHES)
    with pytest.raises(DataError, match=r"are both bars of AAPL; keep one"):
        find_files(DataConfig(data_dir=str(tmp_path)))


def test_find_files_takes_the_tickers_side_by_side_in_one_file(tmp_path):
    path = tmp_path / "download.csv"
    header = "Price,Close,Close,High,High,Low,Low,Open,Open\nTicker,AAPL,GE,AAPL,GE,AAPL,GE,AAPL,GE\nDate,,,,,,,,\n"
    path.write_text(header + "2021-01-04,10,20,10,20,10,20,10,20\n")
    data = DataConfig(data_dir=str(path))
    assert {stock.stock: stock.frame[CLOSE].tolist() for stock in load_bars(data, find_files(data))[0]} == {
        "AAPL": [10], "GE": [20]
    }  # fmt: skip


def test_read_bars_says_what_ticker_a_file_of_another_name_has(tmp_path):
    one = "".join(line + "\n" for line in LONG.splitlines() if "AAPL" in line or "Date" in line)
    assert said(read(tmp_path / "MSFT.csv", one)) == "read as: its ticker column says AAPL"


def test_read_bars_reads_tickers_and_dates_in_the_index_of_a_parquet_file(tmp_path):
    frame = pd.read_csv(io.StringIO(LONG), parse_dates=["Date"])
    path = tmp_path / "prices.parquet"
    for index in (["Ticker", "Date"], ["Date", "Ticker"]):
        frame.set_index(index).to_parquet(path)
        data = DataConfig(data_dir=str(path), max_gap_days=30)
        assert list(find_files(data)) == ["AAPL", "M&M.NS", "MSFT"]
        bars = load_bars(data, find_files(data))[0]
        assert [stock.frame[CLOSE].tolist() for stock in bars] == [[10] * 3, [30] * 3, [20] * 3]


def test_read_bars_turns_unusable_parquet_into_a_data_error(tmp_path):
    path = tmp_path / "AAPL.parquet"
    good = pd.DataFrame({"Date": pd.to_datetime(DAYS), **{n: [10.0] * 3 for n in ("Open", "High", "Low", "Close")}})
    for name, column in {
        "Open": [b"10.5"] * 3,
        "High": [[1.0, 2.0]] * 3,
        "Low": [True, False, True],
        "Close": [{"a": 1}] * 3,
        "Date": [1.5, 2.5, 1e300],
    }.items():
        good.assign(**{name: pd.Series(column)}).to_parquet(path)
        with pytest.raises(DataError, match=r"AAPL\.parquet, row 1: (date|open|high|low|close)"):
            read_bars(path, DataConfig())
    zone = pa.array(good["Date"], pa.timestamp("us")).cast(pa.timestamp("us", tz="Nowhere/Atlantis"), safe=False)
    pq.write_table(pa.Table.from_pandas(good.drop(columns="Date")).append_column("Date", zone), path)
    with pytest.raises(DataError, match=r"AAPL\.parquet: not readable as Parquet .*Atlantis"):
        read_bars(path, DataConfig())
    good.to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"AAPL\.parquet: not readable as Parquet"):
        read_bars(path, DataConfig())


def test_read_bars_reads_epochs_and_compact_dates_of_parquet(tmp_path):
    prices = {n: [10.0] * 3 for n in ("Open", "High", "Low", "Close")}
    for dates in (
        [int(text) for text in MILLISECONDS],
        [20210104, 20210105, 20210113],
        np.array([44200.0, 44201, 44209]),
    ):
        pd.DataFrame({"Date": dates, **prices}).to_parquet(tmp_path / "AAPL.parquet")
        bars = read_bars(tmp_path / "AAPL.parquet", DataConfig())
        assert [str(day.date()) for day in bars.frame[DATE]] == DAYS


def test_read_bars_tells_of_midnight_in_a_zone_in_one_line(tmp_path):
    text = "Date,Open,High,Low,Close,Volume\n" + rows([f"{d} 00:00:00-05:00" for d in DAYS], "{d},{o},{h},{l},{c},{v}")
    bars = read(tmp_path / "AAPL.csv", text)
    assert_same(bars)
    assert [(repair.kind, repair.rows, repair.changed) for repair in bars.repairs] == [("time_of_day", 3, False)]


def test_read_bars_joins_a_column_of_times_to_its_dates(tmp_path):
    text = STOOQ.replace("000000", "153000")
    bars = read(tmp_path / "AAPL.txt", text)
    assert [(r.kind, r.rows, r.changed) for r in bars.repairs if r.kind == "time_of_day"] == [("time_of_day", 3, True)]


def test_read_bars_keeps_control_characters_of_a_file_out_of_messages(tmp_path):
    with pytest.raises(DataError, match="no column date") as caught:
        read(tmp_path / "AAPL.csv", "Open\x1b[2J,Close\n1,2\n")
    assert "\x1b" not in str(caught.value)


def test_folder_source_reads_dialects_as_the_settings_of_the_ingest_say(tmp_path):
    (tmp_path / "AAPL.csv").write_text(AMBIGUOUS)
    (tmp_path / "all of them.csv.gz").write_bytes(gzip.compress(LONG.replace("AAPL", "GE").encode()))
    config = IngestConfig(folder=str(tmp_path), decimal="comma")
    assert source_symbols(config) == ["AAPL", "GE", "M&M.NS", "MSFT"]
    fetch = make_source(config)
    assert fetch("AAPL", None).frame[CLOSE].tolist() == [100.607]
    assert fetch("GE", None).frame[CLOSE].tolist() == [10, 10, 10]
    with pytest.raises(DataError, match=r"set data\.decimal"):
        make_source(IngestConfig(folder=str(tmp_path)))("AAPL", None)


def test_read_bars_reads_binances_header_and_thousands_of_investing(tmp_path):
    header = "open_time,open,high,low,close,volume,close_time,quote_volume\n"
    bars = read(tmp_path / "BTC.csv", header + rows(MILLISECONDS, "{d},{o},{h},{l},{c},{v},1,2"))
    assert_same(bars)
    assert said(bars) == "read as: 'open_time' is date; dates as milliseconds since 1970 (UTC)"
    text = '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    text += '"12/31/2021","4,766.18","4,775.21","4,786.83","4,765.75","","-0.26%"\n'
    frame = read(tmp_path / "SPX.csv", text).frame
    assert frame[CLOSE].tolist() == [4766.18]
    assert str(frame[DATE][0].date()) == "2021-12-31"
