"""One file of several tickers: no row and no ticker of it is lost unsaid."""

import pandas as pd
import pytest

from preprocessing.dataset import load_bars
from preprocessing.ingest.sources import make_source, source_symbols
from preprocessing.ohlcv import find_files, read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import CLOSE

DAYS = [str(day.date()) for day in pd.bdate_range("2021-01-04", periods=5)]


def write(folder, tickers, column="Ticker", name="prices"):
    """Bars of each ticker, all at one price: 10, 20, …."""
    path = folder / f"{name}.csv"
    rows = [
        f"{day},{price},{price},{price},{price},1,{ticker}"
        for price, ticker in zip(range(10, 1000, 10), tickers, strict=False)
        for day in DAYS
    ]
    path.write_text("\n".join([f"Date,Open,High,Low,Close,Volume,{column}", *rows]) + "\n")
    return path


def loaded(place):
    data = DataConfig(data_dir=str(place))
    bars, left_out = load_bars(data, find_files(data))
    return {stock.stock: stock.frame[CLOSE].iloc[0] for stock in bars}, left_out


ODD = ["BRK/B", "7203 JP", "VODAFONE GROUP PLC"]


@pytest.mark.parametrize("good", [["AAPL", "^GSPC"], ["^GSPC"]])
def test_load_bars_leaves_out_tickers_that_are_no_symbols_and_says_so(tmp_path, good):
    path = write(tmp_path, [*good, *ODD])
    for place in (path, tmp_path):
        found, left_out = loaded(place)
        assert found == {ticker: 10 * row for row, ticker in enumerate(good, start=1)}
        assert sorted(left_out) == sorted(ODD)
        assert left_out["BRK/B"] == f"{path}: ticker 'BRK/B' is no stock symbol; rename it there"


def test_find_files_refuses_a_file_of_no_symbol_and_names_its_tickers(tmp_path):
    path = write(tmp_path, ODD)
    for place in (path, tmp_path):
        with pytest.raises(DataError, match=r"none of its tickers is a stock symbol \(7203 JP, BRK/B, VODA"):
            find_files(DataConfig(data_dir=str(place)))


def test_load_bars_names_the_first_of_many_odd_tickers_and_counts_the_rest(tmp_path):
    path = write(tmp_path, ["AAPL", *(f"no {row}" for row in range(30))])
    _, left_out = loaded(path)
    assert len(left_out) == 21
    assert "10 more tickers" in left_out["prices.csv"]


def test_ingest_is_told_of_every_ticker_in_the_folder(tmp_path):
    write(tmp_path, ["AAPL", *ODD])
    config = IngestConfig(folder=str(tmp_path))
    assert source_symbols(config) == sorted(["AAPL", *ODD])
    with pytest.raises(DataError, match="'BRK/B' is not a stock symbol"):
        make_source(config)("BRK/B", None)


def test_read_bars_reports_rows_without_a_ticker(tmp_path):
    path = write(tmp_path, ["AAA", "BBB"])
    lines = path.read_text().splitlines()
    lines[2], lines[7] = lines[2].replace("AAA", ""), lines[7].replace("BBB", " ")
    path.write_text("\n".join([*lines, ",,,,,,", ""]) + "\n")
    bars = read_bars(path, DataConfig(), "AAA")
    assert len(bars.frame) == len(DAYS) - 1
    told = [repair for repair in bars.repairs if repair.kind == "no_ticker"]
    assert [(repair.rows, repair.changed) for repair in told] == [(2, True)]
    assert told[0].detail == "2 rows without a ticker left out of every stock (line 3, 8)"


def test_read_bars_takes_a_column_of_names_for_tickers_only_where_they_are_symbols(tmp_path):
    path = write(tmp_path, ["AAA", "BBB"], "Name")
    assert loaded(path)[0] == {"AAA": 10, "BBB": 20}
    path = write(tmp_path, ["aaa", "bbb"], "name")
    assert loaded(path)[0] == {"AAA": 10, "BBB": 20}
    for first, second in (("Facebook Inc", "Meta Platforms"), ("Facebook", "Meta")):
        (tmp_path / "one").mkdir(exist_ok=True)
        renamed = write(tmp_path / "one", [first], "Name", "META")
        more = renamed.read_text().replace("2021-01-", "2021-10-").replace(first, second).split("\n", 1)[1]
        renamed.write_text(renamed.read_text() + more)
        assert len(read_bars(renamed, DataConfig()).frame) == 2 * len(DAYS)
        assert list(find_files(DataConfig(data_dir=str(tmp_path / "one")))) == ["META"]
