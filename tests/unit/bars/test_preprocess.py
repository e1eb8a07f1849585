"""The preprocessing stage as a whole: its files, its numbers, and what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.dataset import STAGE, preprocess
from preprocessing.formatting import csv_lines, significant
from preprocessing.history import days_needed
from preprocessing.ohlcv import find_files
from preprocessing.reading import read_histories, read_split
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.errors import DataError
from stonk_pipeline.market.bars import best_possible, generate
from stonk_pipeline.runs import manifest
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, SPLITS, X_COLUMNS, Y_COLUMNS

MARKET = MarketConfig(tickers=3, days=400)
STOCKNET = Path("../shared/data/stocknet/prices")
real_bars = pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")


def stage(**data) -> PreprocessStage:
    return PreprocessStage(data=DataConfig(**({"market": MARKET, "warm_up": 50} | data)), seed=0)


def run(config: PreprocessStage, out: Path) -> dict:
    out.mkdir(exist_ok=True)
    return preprocess(config, find_files(config.data), out, lambda *_: None)


def record(out: Path) -> dict:
    return json.loads((out / "dataset.json").read_text(encoding="utf-8"))


def write_bars(folder: Path, **frames: pd.DataFrame) -> str:
    folder.mkdir(exist_ok=True)
    for stock, frame in frames.items():
        frame.to_csv(folder / f"{stock}.csv", index=False)
    return str(folder)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("embedded")
    run(stage(), out)
    return out


def test_preprocess_writes_the_files_of_the_contract(embedded):
    expected = {"dataset.json", "best_possible.csv"}
    for stock in ("SIM01", "SIM02", "SIM03"):
        expected |= {f"{stock}_{part}_{letter}.csv" for part in SPLITS for letter in "xy"} | {f"{stock}_bars.csv"}
    assert {path.name for path in embedded.iterdir()} == expected


@pytest.mark.parametrize("part", SPLITS)
def test_preprocess_writes_the_columns_of_the_contract(embedded, part):
    for letter, columns in (("x", X_COLUMNS), ("y", Y_COLUMNS)):
        with (embedded / f"SIM02_{part}_{letter}.csv").open(newline="", encoding="utf-8") as stream:
            header, *lines = csv.reader(stream)
        assert tuple(header) == columns
        assert len(lines) == record(embedded)["stocks"]["SIM02"]["windows"][part]
        assert all(len(line) == len(columns) and line[0] == "SIM02" for line in lines)


def test_preprocess_writes_sequences_that_read_as_json(embedded):
    x, y = (pd.read_csv(embedded / f"SIM01_train_{letter}.csv") for letter in "xy")
    closes = generate(MARKET)["SIM01"][CLOSE].to_numpy()
    np.testing.assert_allclose(json.loads(x["sequence"][0]), 100 * closes[50:60] / closes[59], rtol=1e-7)
    np.testing.assert_allclose(json.loads(y["sequence"][0]), 100 * closes[60:70] / closes[59], rtol=1e-7)
    assert x["price_unit"][0] == closes[59] / 100
    assert x["sequence"].str.match(r"\[-?[\d.e-]+(, -?[\d.e-]+){9}\]").all()


def test_preprocess_cuts_the_parts_from_full(embedded):
    for letter in "xy":
        full = (embedded / f"SIM03_full_{letter}.csv").read_text().splitlines()
        position = 1
        for part in ("train", "val", "test"):
            header, *lines = (embedded / f"SIM03_{part}_{letter}.csv").read_text().splitlines()
            assert header == full[0]
            start = full.index(lines[0])
            assert start >= position
            assert full[start : start + len(lines)] == lines
            position = start + len(lines)


def test_preprocess_writes_clean_bars(embedded):
    frame = pd.read_csv(embedded / "SIM01_bars.csv")
    assert tuple(frame.columns) == BAR_COLUMNS
    bars = generate(MARKET)["SIM01"]
    assert frame["date"].tolist() == bars["date"].dt.strftime("%Y-%m-%d").tolist()
    for name in BAR_COLUMNS[1:]:
        np.testing.assert_allclose(frame[name], bars[name], rtol=1e-9)


def test_preprocess_writes_the_best_possible_forecast_of_each_window(embedded):
    best, full = (pd.read_csv(embedded / name) for name in ("best_possible.csv", "SIM01_full_x.csv"))
    mine = best[best["stock"] == "SIM01"].reset_index(drop=True)
    assert mine["date"].tolist() == full["date"].tolist()
    bars = generate(MARKET)["SIM01"]
    row = bars["date"].dt.strftime("%Y-%m-%d").tolist().index(full["date"][7])
    prices = best_possible(bars, MARKET, 10)[row]
    np.testing.assert_allclose(json.loads(mine["sequence"][7]), prices / full["price_unit"][7], rtol=1e-7)


def test_preprocess_writes_no_best_possible_forecast_of_a_random_walk(tmp_path):
    run(stage(market=MarketConfig(kind="random_walk", tickers=1, days=400)), tmp_path)
    assert not (tmp_path / "best_possible.csv").exists()


def test_preprocess_returns_and_records_the_same_numbers(tmp_path):
    seen = []
    numbers = preprocess(stage(), {}, tmp_path, lambda *step: seen.append(step))
    written = record(tmp_path)
    assert numbers["stocks"] == 3
    assert (numbers["val_start"], numbers["test_start"]) == (written["val_start"], written["test_start"])
    for part in SPLITS:
        assert numbers["windows"][part] == sum(stock["windows"][part] for stock in written["stocks"].values()) > 0
    assert seen == [(1, 3, "SIM01"), (2, 3, "SIM02"), (3, 3, "SIM03")]
    assert json.loads(json.dumps(numbers)) == numbers
    for name, stock in written["stocks"].items():
        assert stock["bars_sha256"] == manifest.file_digest(tmp_path / f"{name}_bars.csv")


def test_preprocess_gives_the_same_bytes_again(tmp_path):
    config = stage(normalisation="standard")
    run(config, tmp_path / "a")
    run(config, tmp_path / "b")
    assert manifest.output_files(tmp_path / "a") == manifest.output_files(tmp_path / "b")


def test_preprocess_selects_stocks_of_the_embedded_market(tmp_path):
    run(stage(stocks=["sim02"]), tmp_path)
    assert list(record(tmp_path)["stocks"]) == ["SIM02"]
    with pytest.raises(DataError, match=r"SIM09: no bars of this stock in the embedded market; did you mean SIM0"):
        run(stage(stocks=["SIM09"]), tmp_path)


def test_stage_is_done_once_and_noticed_when_damaged(tmp_path):
    bars = generate(MARKET)
    config = stage(data_dir=write_bars(tmp_path / "bars", AAA=bars["SIM01"], BBB=bars["SIM02"]))
    inputs, out = find_files(config.data), tmp_path / "out"
    result = manifest.execute(STAGE, config, inputs, out)
    assert manifest.finished(STAGE, config, inputs, out) == result
    (out / "AAA_train_x.csv").write_text("spoiled")
    assert manifest.finished(STAGE, config, inputs, out) is None
    assert manifest.execute(STAGE, config, inputs, out).digest == result.digest


def test_preprocess_uses_one_calendar_and_what_each_stock_has_of_it(tmp_path):
    bars = generate(MARKET)
    data_dir = write_bars(tmp_path / "bars", LONG=bars["SIM01"], YOUNG=bars["SIM02"].iloc[260:])
    numbers = run(stage(data_dir=data_dir), tmp_path / "out")
    written = record(tmp_path / "out")
    assert numbers["val_start"] == str(bars["SIM01"]["date"].iloc[280])[:10]
    assert written["stocks"]["YOUNG"]["windows"]["train"] == 0
    assert written["stocks"]["YOUNG"]["windows"]["test"] > 0
    assert (tmp_path / "out" / "YOUNG_train_x.csv").read_text() == ",".join(X_COLUMNS) + "\n"


def test_preprocess_keeps_ampersands_and_underscores_of_symbols(tmp_path):
    bars = generate(MARKET)
    data_dir = write_bars(tmp_path / "bars", **{"M&M.NS": bars["SIM01"], "BRK": bars["SIM02"], "BRK_B": bars["SIM03"]})
    run(stage(data_dir=data_dir), tmp_path / "out")
    windows, _ = read_split(tmp_path / "out", "test")
    assert {window.stock for window in windows} == {"M&M.NS", "BRK", "BRK_B"}
    closes = read_histories(tmp_path / "out")
    assert closes["BRK"].closes != closes["BRK_B"].closes


def test_preprocess_leaves_out_and_reports_a_stock_that_is_too_short(tmp_path):
    bars = generate(MARKET)
    data_dir = write_bars(tmp_path / "bars", LONG=bars["SIM01"], SHORT=bars["SIM02"].iloc[-60:])
    numbers = run(stage(data_dir=data_dir), tmp_path / "out")
    assert numbers["stocks"] == 1
    assert list(numbers["left_out"]) == ["SHORT"] == list(record(tmp_path / "out")["left_out"])
    assert "60 bars give no window" in numbers["left_out"]["SHORT"]
    assert "50 bars come before the first window, and 20 bars" in numbers["left_out"]["SHORT"]
    assert not list((tmp_path / "out").glob("SHORT*"))


def test_preprocess_leaves_out_a_stock_that_cannot_be_standardised(tmp_path):
    bars = generate(MARKET)
    data_dir = write_bars(tmp_path / "bars", LONG=bars["SIM01"], YOUNG=bars["SIM02"].iloc[285:])
    numbers = run(stage(data_dir=data_dir, normalisation="standard", warm_up=30), tmp_path / "out")
    assert "no two different closes before" in numbers["left_out"]["YOUNG"]


@pytest.mark.parametrize("settings", [{"warm_up": 50}, {"warm_up": 100}, {"warm_up": 0}, {"periods": {"sma": 90}}])
def test_preprocess_names_the_bars_that_a_short_history_lacks(tmp_path, settings):
    needed = days_needed(stage(**settings).data)
    frame = generate(MarketConfig(tickers=1, days=300))["SIM01"]
    data_dir = write_bars(tmp_path / "bars", AAA=frame.head(needed - 1))
    with pytest.raises(DataError, match=f"AAA: no window in the .* give at least {needed} bars"):
        run(stage(data_dir=data_dir, **settings), tmp_path / "out")
    write_bars(tmp_path / "bars", AAA=frame.head(needed))
    assert min(run(stage(data_dir=data_dir, **settings), tmp_path / "out")["windows"].values()) >= 1


def test_preprocess_names_the_dates_when_a_part_is_empty(tmp_path):
    config = stage(val_start="2030-01-01", test_start="2030-06-01")
    with pytest.raises(DataError, match=r"no window in the val and test part.*move data\.val_start \(2030-01-01\)"):
        run(config, tmp_path)


def test_preprocess_names_every_file_that_cannot_be_used(tmp_path):
    bars = generate(MARKET)
    broken = bars["SIM02"].assign(close=-1.0)
    data_dir = write_bars(tmp_path / "bars", AAA=bars["SIM01"], BBB=broken, CCC=bars["SIM03"].drop(columns="low"))
    with pytest.raises(DataError, match=r"(?s)BBB\.csv, line 2: close is -1.*CCC\.csv: no column low"):
        run(stage(data_dir=data_dir, stocks=["AAA", "BBB", "CCC"]), tmp_path / "out")


def test_preprocess_leaves_out_and_reports_a_stock_that_was_not_asked_for_by_name(tmp_path):
    bars = generate(MARKET)
    broken = bars["SIM02"].assign(close=-1.0)
    data_dir = write_bars(tmp_path / "bars", AAA=bars["SIM01"], BBB=broken)
    numbers = run(stage(data_dir=data_dir), tmp_path / "out")
    assert numbers["stocks"] == 1
    assert "BBB.csv, line 2: close is -1" in numbers["left_out"]["BBB"]
    write_bars(tmp_path / "bars", AAA=broken)
    with pytest.raises(DataError, match=r"(?s)AAA\.csv, line 2.*BBB\.csv, line 2"):
        run(stage(data_dir=data_dir), tmp_path / "out2")


def test_preprocess_refuses_to_run_without_files(tmp_path):
    with pytest.raises(DataError, match="no files of bars were given"):
        preprocess(stage(data_dir=str(tmp_path)), {}, tmp_path, lambda *_: None)


@real_bars
def test_preprocess_reports_the_repairs_of_real_bars(tmp_path):
    config = stage(data_dir=str(STOCKNET), stocks=["PTR", "AAPL", "GMRE"], warm_up=100)
    numbers = run(config, tmp_path)
    written = record(tmp_path)["stocks"]
    assert numbers["repaired_rows"] == 1
    assert [repair["kind"] for repair in written["PTR"]["repairs"]] == ["null", "zero_volume"]
    assert written["PTR"]["repairs"][0]["dates"] == ["2016-06-29"]
    assert (written["GMRE"]["bars"], written["GMRE"]["windows"]["train"]) == (297, 0)
    assert written["GMRE"]["windows"]["test"] > 0


def test_csv_lines_leaves_cells_without_a_number_empty():
    header, lines = csv_lines(
        {"day": np.array(["2020-01-02"], "datetime64[D]"), "lag": np.array([np.nan]), "one": [1.0]}
    )
    assert (header, lines) == (b"day,lag,one\n", [b"2020-01-02,,1\n"])


def test_significant_rounds_to_digits_whatever_the_size():
    values = np.array([123456789.123, -0.000123456789, 0.0, np.nan, 1e-300, 99999999.6, 100.00000000000001])
    rounded = significant(values, 8)
    assert [repr(float(value)) for value in rounded] == [
        "123456790.0",
        "-0.00012345679",
        "0.0",
        "nan",
        "0.0",
        "100000000.0",
        "100.0",
    ]
    rng = np.random.default_rng(0)
    many = rng.normal(size=5000) * 10.0 ** rng.integers(-12, 12, 5000)
    assert all(float(f"{value:.7e}") == result for value, result in zip(many, significant(many, 8), strict=True))
