"""Which files there are, and the shapes of file that can be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.dataset import load_bars
from preprocessing.ohlcv import find_files, read_bars
from stonk_pipeline.config.data import EMBEDDED, DataConfig, MarketConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

STOCKNET = Path("../shared/data/stocknet/prices")
real_bars = pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")


def yahoo() -> pd.DataFrame:
    """Forty generated bars under Yahoo's names, with an Adj Close of 0.9 times the close."""
    bars = generate(MarketConfig(tickers=1, days=300))["SIM01"].head(40)
    frame = bars.rename(columns={name: name.title() for name in BAR_COLUMNS})
    frame.insert(5, "Adj Close", frame["Close"] * 0.9)
    return frame


def folder(path: Path, *names: str) -> DataConfig:
    for name in names:
        (path / name).write_text("Date,Open,High,Low,Close,Volume\n2020-01-02,1,2,1,2,5\n")
    return DataConfig(data_dir=str(path))


def test_find_files_takes_every_file_of_the_folder(tmp_path):
    data = folder(tmp_path, "msft.csv", "AAPL.csv", "BRK-A.parquet", "^GSPC.CSV", ".hidden.csv")
    (tmp_path / "notes.txt").write_text("Date of the last download: today\n")
    assert list(find_files(data)) == ["AAPL", "BRK-A", "MSFT", "^GSPC"]
    assert find_files(data)["MSFT"] == tmp_path / "msft.csv"


def test_find_files_takes_the_named_stocks_in_any_case(tmp_path):
    folder(tmp_path, "AAPL.csv", "MSFT.csv", "GE.csv")
    assert list(find_files(DataConfig(data_dir=str(tmp_path), stocks=["msft", " AAPL ", "MSFT"]))) == ["AAPL", "MSFT"]


def test_find_files_takes_a_single_file(tmp_path):
    folder(tmp_path, "AAPL.csv", "MSFT.csv")
    file = tmp_path / "AAPL.csv"
    assert find_files(DataConfig(data_dir=str(file))) == {"AAPL": file}
    with pytest.raises(DataError, match="MSFT: no bars of this stock"):
        find_files(DataConfig(data_dir=str(file), stocks=["MSFT"]))


def test_find_files_is_empty_for_the_embedded_market():
    assert find_files(DataConfig(data_dir=EMBEDDED)) == {}


@pytest.mark.parametrize(
    "symbol",
    ["../../etc/passwd", "/etc/passwd", "..", "A/B", "A\\B", "", ".AAPL", "-A", "A B", "A\0", "ABCDEFGHIJKLMNOP", "Ä"],
)
def test_find_files_refuses_what_is_no_symbol(tmp_path, symbol):
    folder(tmp_path, "AAPL.csv")
    with pytest.raises(DataError, match="is not a stock symbol"):
        find_files(DataConfig(data_dir=str(tmp_path), stocks=[symbol]))


def test_find_files_names_the_folder_and_close_matches_of_an_unknown_symbol(tmp_path):
    folder(tmp_path, "AAPL.csv", "BRK-A.csv")
    with pytest.raises(DataError, match=rf"APPL: no bars of this stock in {tmp_path}; did you mean AAPL\?"):
        find_files(DataConfig(data_dir=str(tmp_path), stocks=["APPL"]))
    with pytest.raises(DataError, match=r"XYZ: .* it has AAPL, BRK-A"):
        find_files(DataConfig(data_dir=str(tmp_path), stocks=["XYZ"]))


def test_find_files_refuses_two_files_of_one_stock(tmp_path):
    folder(tmp_path, "AAPL.csv", "aapl.parquet", "GE.csv")
    with pytest.raises(DataError, match="both bars of AAPL"):
        find_files(DataConfig(data_dir=str(tmp_path)))
    assert list(find_files(DataConfig(data_dir=str(tmp_path), stocks=["GE"]))) == ["GE"]


def test_find_files_names_a_folder_without_bars_and_points_below(tmp_path):
    (tmp_path / "prices").mkdir()
    folder(tmp_path / "prices", "AAPL.csv")
    with pytest.raises(DataError, match="its folder 'prices' has some"):
        find_files(DataConfig(data_dir=str(tmp_path)))
    with pytest.raises(DataError, match="no such folder or file"):
        find_files(DataConfig(data_dir=str(tmp_path / "none")))


def test_find_files_leaves_out_a_file_whose_name_is_no_symbol_and_reports_it(tmp_path):
    data = folder(tmp_path, "AAPL.csv", "my prices.csv")
    assert list(find_files(data)) == ["AAPL"]
    bars, left_out = load_bars(data, find_files(data))
    assert [stock.stock for stock in bars] == ["AAPL"]
    assert list(left_out) == ["my prices.csv"]
    assert "not named after a stock symbol; rename it" in left_out["my prices.csv"]
    named = DataConfig(data_dir=str(tmp_path), stocks=["AAPL"])
    assert load_bars(named, find_files(named))[1] == {}
    (tmp_path / "AAPL.csv").unlink()
    with pytest.raises(DataError, match=r"my prices\.csv.* is not named after a stock symbol"):
        find_files(data)


@pytest.mark.parametrize("symbol", ["M&M.NS", "BRK_B", "AAPL_1D"])
def test_find_files_takes_ampersands_and_underscores_in_symbols(tmp_path, symbol):
    data = folder(tmp_path, f"{symbol}.csv")
    assert list(find_files(data)) == [symbol]
    assert read_bars(find_files(data)[symbol], data).stock == symbol


def test_read_bars_adjusts_open_high_low_and_close_alike(tmp_path):
    frame = yahoo()
    frame.to_csv(tmp_path / "AAPL.csv", index=False)
    bars = read_bars(tmp_path / "AAPL.csv", DataConfig())
    assert (bars.stock, bars.adjusted, bars.repairs) == ("AAPL", True, ())
    assert tuple(bars.frame.columns) == BAR_COLUMNS
    for name in (OPEN, HIGH, LOW, CLOSE):
        np.testing.assert_allclose(bars.frame[name], 0.9 * frame[name.title()], rtol=1e-12)
    np.testing.assert_array_equal(bars.frame[VOLUME], frame["Volume"])
    np.testing.assert_array_equal(bars.frame[DATE].dt.strftime("%Y-%m-%d"), frame["Date"].dt.strftime("%Y-%m-%d"))
    assert all(bars.frame[name].dtype == np.float64 for name in BAR_COLUMNS[1:])
    assert bars.frame.index.equals(pd.RangeIndex(len(frame)))


def test_read_bars_leaves_prices_alone_when_adjusting_is_off(tmp_path):
    frame = yahoo()
    frame.to_csv(tmp_path / "AAPL.csv", index=False)
    bars = read_bars(tmp_path / "AAPL.csv", DataConfig(adjust=False))
    assert not bars.adjusted
    np.testing.assert_allclose(bars.frame[CLOSE], frame["Close"], rtol=1e-15)


def levels(frame: pd.DataFrame, *tickers: str) -> pd.DataFrame:
    """As `yfinance.download` gives it now: the date is the index, fields and tickers are two levels of columns."""
    fields = frame.drop(columns="Adj Close").set_index("Date")[["Close", "High", "Low", "Open", "Volume"]]
    joined = pd.concat({ticker: fields * (1 + 4 * place) for place, ticker in enumerate(tickers)}, axis=1)
    return joined.swaplevel(axis=1).rename_axis(columns=["Price", "Ticker"])


def shapes(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    flat = frame.drop(columns="Adj Close")
    return {
        "lower case": frame.rename(columns=str.lower),
        "upper case, underscores": frame.rename(columns=lambda name: name.upper().replace(" ", "_")),
        "other order, more columns": flat[flat.columns[::-1]].assign(Dividends=0.0, **{"Stock Splits": 0.0}),
        "date as index": flat.set_index("Date"),
        "date as index without a name": flat.set_index("Date").rename_axis(None),
        "two levels": levels(frame, "AAPL"),
        "two levels, ticker first": levels(frame, "AAPL").swaplevel(axis=1),
        "two levels, several tickers": levels(frame, "AAPL", "MSFT"),
        "two levels without names": levels(frame, "AAPL").rename_axis(columns=[None, None]),
    }


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("shape", shapes(yahoo()))
def test_read_bars_reads_every_shape_alike(tmp_path, shape, suffix):
    frame, path = yahoo(), tmp_path / f"AAPL.{suffix}"
    given = shapes(frame)[shape]
    if suffix == "parquet":
        given.to_parquet(path)
    else:
        given.to_csv(path, index=isinstance(given.index, pd.DatetimeIndex))
    bars = read_bars(path, DataConfig(adjust=False))
    for name in BAR_COLUMNS[1:]:
        np.testing.assert_allclose(bars.frame[name], frame[name.title()], rtol=1e-12, err_msg=name)
    assert bars.frame[DATE].tolist() == frame["Date"].tolist()
    assert bars.repairs == ()


def test_read_bars_reads_the_header_that_yfinance_writes(tmp_path):
    rows = "2024-01-02,185.6,188.4,183.9,187.2,82488700\n2024-01-03,184.3,185.9,183.4,184.2,58414500\n"
    for header in (
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n",
        "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL\nPrice,Close,High,Low,Open,Volume\nDate,,,,,\n",
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\n",
        ",Close,High,Low,Open,Volume\n,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n",
        "\ufeffDate,Close,High,Low,Open,Volume\n",
    ):
        (tmp_path / "AAPL.csv").write_text(header + rows, encoding="utf-8")
        frame = read_bars(tmp_path / "AAPL.csv", DataConfig()).frame
        assert frame[CLOSE].tolist() == [185.6, 184.3], header
        assert frame[OPEN].tolist() == [187.2, 184.2], header
        assert frame[DATE].dt.strftime("%Y-%m-%d").tolist() == ["2024-01-02", "2024-01-03"], header


def test_read_bars_refuses_several_tickers_without_the_stock(tmp_path):
    levels(yahoo(), "MSFT", "GE").to_csv(tmp_path / "AAPL.csv")
    with pytest.raises(DataError, match=r"AAPL\.csv: holds GE, MSFT, but not AAPL"):
        read_bars(tmp_path / "AAPL.csv", DataConfig())


def test_read_bars_keeps_local_dates_of_zoned_times(tmp_path):
    frame = yahoo()
    frame["Date"] = frame["Date"].dt.tz_localize("Asia/Tokyo")
    frame.to_csv(tmp_path / "AAPL.csv", index=False)
    frame.to_parquet(tmp_path / "MSFT.parquet")
    for name in ("AAPL.csv", "MSFT.parquet"):
        bars = read_bars(tmp_path / name, DataConfig())
        assert bars.frame[DATE].tolist() == yahoo()["Date"].tolist()
        told = [(repair.kind, repair.rows, repair.changed) for repair in bars.repairs]
        assert told == [("time_of_day", 40, False)]


@real_bars
def test_read_bars_drops_and_reports_the_null_row_of_ptr():
    bars = read_bars(STOCKNET / "PTR.csv", DataConfig())
    null = [repair for repair in bars.repairs if repair.kind == "null"]
    assert len(bars.frame) == 1257
    assert [(repair.rows, repair.dates) for repair in null] == [(1, ("2016-06-29",))]
    assert "line 962" in null[0].detail


@real_bars
def test_read_bars_names_the_day_of_a_large_real_move():
    with pytest.raises(DataError, match=r"AGFS\.csv, line 498: .* 2016-11-09 is 0\.5106 times"):
        read_bars(STOCKNET / "AGFS.csv", DataConfig())
    assert len(read_bars(STOCKNET / "AGFS.csv", DataConfig(split_ratio=2.0)).frame) == 701
