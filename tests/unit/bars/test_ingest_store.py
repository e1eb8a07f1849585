"""The store of bars: appended, restated, refused, recorded."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ingest import store
from preprocessing.ingest.restatement import compare
from preprocessing.ingest.sources import make_source
from preprocessing.ohlcv import read_bars
from stonk_pipeline import cli
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import DataError, StageError
from stonk_pipeline.records import ingests
from stonk_pipeline.runs.manifest import file_digest

NOW = datetime(2026, 11, 20, 22, tzinfo=UTC)
FINAL = date(2026, 11, 20)
PRICES = ["open", "high", "low", "close"]


@pytest.fixture
def config(tmp_path) -> IngestConfig:
    (tmp_path / "in").mkdir()
    return IngestConfig(folder=str(tmp_path / "in"), data_dir=str(tmp_path / "bars"))


def deliver(config, frame, symbol="AAPL"):
    """Puts bars into the watched folder, as of long ago, and ingests that stock."""
    path = Path(config.folder) / f"{symbol}.csv"
    frame.to_csv(path, index=False)
    os.utime(path, (0, 0))
    with store.alone(Path(config.data_dir)):
        change = store.update(config, make_source(config), symbol, FINAL)
        store.record(Path(config.data_dir), "test", [change], NOW)
    return change


def kept(config, symbol="AAPL") -> pd.DataFrame:
    return read_bars(Path(config.data_dir) / f"{symbol}.csv", DataConfig()).frame


def scaled(frame, factor, rows):
    out = frame.copy()
    out.loc[rows, PRICES] = out.loc[rows, PRICES] * factor
    return out


# --- comparison ------------------------------------------------------------------------------------------------------


def test_compare_tells_new_days_from_the_same_ones(ohlcv):
    found = compare(ohlcv.head(300), ohlcv.iloc[250:310].reset_index(drop=True), 1e-4)
    assert (found.added, found.unchanged, found.restated) == (10, 50, None)


def test_compare_lets_rounding_pass(ohlcv):
    rounded = ohlcv.assign(**{name: ohlcv[name] * (1 + 5e-5) for name in PRICES})
    assert compare(ohlcv, rounded, 1e-4).restated is None


@pytest.mark.parametrize("factor", [0.5, 0.9975, 10.0])
def test_compare_finds_the_factor_of_a_split_or_dividend(ohlcv, factor):
    new = scaled(ohlcv, factor, slice(0, 199))
    restated = compare(ohlcv, new, 1e-4).restated
    assert (restated.kind, restated.rows) == ("scaled", 200)
    assert restated.ratio == pytest.approx(factor)
    assert (restated.first, restated.last) == tuple(str(ohlcv["date"][row].date()) for row in (0, 199))


def test_compare_calls_single_rows_corrected(ohlcv):
    restated = compare(ohlcv, scaled(ohlcv, 1.01, [120, 130]), 1e-4).restated
    assert (restated.kind, restated.rows, restated.ratio) == ("corrected", 2, None)


def test_compare_calls_rows_gone_and_rows_between_corrected(ohlcv):
    known, new = ohlcv.drop(index=[50]), ohlcv.drop(index=[60])
    found = compare(known.reset_index(drop=True), new.reset_index(drop=True), 1e-4)
    assert (found.restated.kind, found.restated.rows) == ("corrected", 2)


# --- store -----------------------------------------------------------------------------------------------------------


def test_update_appends_and_leaves_what_is_known_byte_for_byte(config, ohlcv, tmp_path):
    deliver(config, ohlcv.head(300))
    path = tmp_path / "bars" / "AAPL.csv"
    before = path.read_bytes()
    jitter = ohlcv.head(310).assign(close=ohlcv["close"] * (1 + 1e-6), high=ohlcv["high"] * (1 + 2e-6))
    change = deliver(config, jitter)
    assert (change.added, change.unchanged, change.rows) == (10, 300, 310)
    assert path.read_bytes().startswith(before)
    assert change.after == file_digest(path) != change.before
    assert not (tmp_path / "bars" / "history").exists()


def test_update_of_the_same_bars_changes_nothing(config, ohlcv, tmp_path):
    deliver(config, ohlcv)
    stamp = (tmp_path / "bars" / "AAPL.csv").stat().st_mtime_ns
    change = deliver(config, ohlcv)
    assert (change.added, change.unchanged, change.changed) == (0, 400, False)
    assert (tmp_path / "bars" / "AAPL.csv").stat().st_mtime_ns == stamp


def test_update_follows_a_source_from_pence_to_pounds_on_request(config, ohlcv):
    deliver(config, scaled(ohlcv.head(300), 100, slice(None)))
    mixed = scaled(ohlcv.head(302), 100, slice(0, 299))
    assert "as pence and pounds do" in deliver(config, mixed).failed
    change = deliver(config.model_copy(update={"repair_units": True}), mixed)
    assert (change.added, change.restated.kind, change.restated.rows) == (2, "scaled", 300)
    assert change.restated.ratio == pytest.approx(0.01)
    assert "in another unit of the currency" in change.repairs[0]
    np.testing.assert_allclose(kept(config)[PRICES], ohlcv.head(302)[PRICES], rtol=1e-9)


def test_update_pulls_an_outlier_back_on_request_and_records_it(config, ohlcv):
    wrong = ohlcv.head(300).copy()
    wrong.loc[200, "high"] *= 100
    assert "high is" in deliver(config, wrong).failed
    change = deliver(config.model_copy(update={"repair_outliers": True}), wrong)
    assert "pulled back" in change.repairs[0]
    assert kept(config)["high"][200] == pytest.approx(ohlcv.loc[200, ["open", "close"]].max())


def test_update_takes_a_split_and_keeps_the_file_before(config, ohlcv, tmp_path):
    before = deliver(config, ohlcv.head(300)).after
    change = deliver(config, scaled(ohlcv.head(302), 0.5, slice(None)))
    assert (change.restated.kind, change.restated.ratio) == ("scaled", pytest.approx(0.5))
    assert change.added == 2
    assert kept(config)["close"][0] == pytest.approx(ohlcv["close"][0] / 2)
    assert file_digest(tmp_path / "bars" / "history" / f"AAPL.{before}.csv") == before


def test_update_refuses_a_restatement_where_settings_say_so(config, ohlcv):
    deliver(config, ohlcv)
    before = kept(config)
    refusing = config.model_copy(update={"restated": "refuse"})
    change = deliver(refusing, scaled(ohlcv, 0.5, slice(0, None)))
    assert "restated" in change.failed
    assert not change.changed
    pd.testing.assert_frame_equal(kept(config), before)


def test_update_refuses_a_restatement_whose_beginning_is_not_given(config, ohlcv):
    deliver(config, ohlcv.head(300))
    part = scaled(ohlcv, 0.9, slice(None)).iloc[280:310]
    assert "before" in deliver(config, part).failed
    assert len(kept(config)) == 300


def test_update_takes_a_correction_from_a_part_of_history(config, ohlcv):
    deliver(config, ohlcv.head(300))
    part = scaled(ohlcv, 1.01, [290]).iloc[280:305]
    change = deliver(config, part)
    assert (change.restated.kind, change.added) == ("corrected", 5)
    frame = kept(config)
    assert len(frame) == 305
    assert frame["close"][290] == pytest.approx(ohlcv["close"][290] * 1.01)
    assert frame["close"][289] == ohlcv["close"][289]


def test_update_refuses_new_bars_after_a_split_that_history_does_not_know(config, ohlcv):
    deliver(config, ohlcv.head(300))
    change = deliver(config, scaled(ohlcv, 0.25, slice(300, None)).iloc[300:305])
    assert "split" in change.failed
    assert "AAPL.csv with the new bars" in change.failed
    assert len(kept(config)) == 300


def test_update_leaves_out_bars_of_an_unfinished_session(config, ohlcv):
    days = pd.bdate_range(end="2026-11-23", periods=400)  # the last one is after FINAL
    change = deliver(config, ohlcv.assign(date=days).query("date <= '2026-11-21'").pipe(_with_today, ohlcv))
    assert (change.waiting, change.last) == (1, "2026-11-20")
    only_today = _with_today(ohlcv.head(0), ohlcv)
    change = deliver(config, only_today)
    assert (change.failed, change.waiting, change.changed) == (None, 1, False)


def _with_today(frame, ohlcv):
    return pd.concat([frame, ohlcv.tail(1).assign(date=pd.Timestamp("2026-11-21"))])


def test_update_reports_a_failing_stock_and_its_reason(config, ohlcv, tmp_path):
    deliver(config, ohlcv)
    change = deliver(config, ohlcv.assign(close=-1.0))
    assert "not a price above zero" in change.failed
    assert change.before == change.after == file_digest(tmp_path / "bars" / "AAPL.csv")


def test_update_reports_an_unforeseen_fault_of_a_source(config, ohlcv):
    deliver(config, ohlcv)

    def fetch(symbol, after):
        raise ZeroDivisionError("inside a library")

    assert store.update(config, fetch, "AAPL", FINAL).failed == "ZeroDivisionError: inside a library"


@pytest.mark.parametrize("symbol", ["../../etc/passwd", "", "A B", "x/y"])
def test_update_refuses_what_is_no_symbol(config, symbol):
    assert "not a stock symbol" in store.update(config, make_source(config), symbol, FINAL).failed


def test_update_refuses_to_write_beside_a_file_of_another_form(config, ohlcv, tmp_path):
    (tmp_path / "bars").mkdir()
    ohlcv.to_parquet(tmp_path / "bars" / "AAPL.parquet")
    assert "AAPL.parquet" in deliver(config, ohlcv).failed


def test_alone_keeps_out_a_second_ingest(tmp_path):
    with store.alone(tmp_path), pytest.raises(StageError, match="another ingest"), store.alone(tmp_path):
        pass


def test_wanted_symbols_are_those_of_the_folder_or_of_the_store(config, ohlcv, tmp_path):
    deliver(config, ohlcv, "MSFT")
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "in" / "ibm.csv").touch()
    assert store.wanted_symbols(config) == ["IBM", "MSFT"]
    http = IngestConfig(source="http", address="https://host/{symbol}.csv", data_dir=config.data_dir)
    assert store.wanted_symbols(http) == ["MSFT"]
    with pytest.raises(DataError, match="name symbols"):
        store.wanted_symbols(http.model_copy(update={"data_dir": str(tmp_path / "none")}))


# --- record ----------------------------------------------------------------------------------------------------------


def test_record_names_files_as_a_manifest_does(config, ohlcv, tmp_path):
    deliver(config, ohlcv.head(300))
    deliver(config, ohlcv.head(310))
    first, second = ingests.read(tmp_path / "bars")
    assert second.files == {"AAPL": file_digest(tmp_path / "bars" / "AAPL.csv")}
    assert first.digest != second.digest
    (found,) = ingests.find(tmp_path / "bars", first.files["AAPL"])
    assert found[0] == first
    assert first.files["AAPL"] in ingests.describe(tmp_path / "bars", first.files["AAPL"][:12])


def test_record_tells_of_a_file_that_something_else_changed(config, ohlcv, tmp_path):
    deliver(config, ohlcv.head(300))
    path = tmp_path / "bars" / "AAPL.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-5]))
    deliver(config, ohlcv.head(295))
    last = ingests.read(tmp_path / "bars")[-1]
    assert last.changed == ["AAPL"]
    assert last.changes[0].repairs == ("changed outside of an ingest",)
    deliver(config, ohlcv.head(295))
    assert ingests.read(tmp_path / "bars")[-1].changed == []


def test_restore_gives_back_every_earlier_file(config, ohlcv, tmp_path):
    halved = scaled(ohlcv, 0.5, slice(None))
    versions = [ohlcv.head(300), ohlcv.head(310), halved.head(310), halved.head(320)]
    digests = [deliver(config, frame).after for frame in versions]
    for rows, digest in zip((300, 310, 310, 320), digests, strict=True):
        content = ingests.restore(tmp_path / "bars", "AAPL", digest)
        assert content is not None
        assert content.count(b"\n") == rows + 1
    assert ingests.restore(tmp_path / "bars", "AAPL", "0" * 64) is None


def test_append_cuts_off_a_torn_line(config, ohlcv, tmp_path):
    deliver(config, ohlcv.head(300))
    path = tmp_path / "bars" / ingests.LOG
    with path.open("ab") as stream:
        stream.write(b'{"time":"20')
    assert len(ingests.read(tmp_path / "bars")) == 1
    deliver(config, ohlcv.head(301))
    assert len(ingests.read(tmp_path / "bars")) == 2
    assert [json.loads(line)["time"] for line in path.read_text().splitlines()] == ["2026-11-20T22:00:00Z"] * 2


def test_read_names_a_damaged_line(config, ohlcv, tmp_path):
    deliver(config, ohlcv.head(300))
    path = tmp_path / "bars" / ingests.LOG
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(DataError, match="line 2"):
        ingests.read(tmp_path / "bars")


def test_find_wants_enough_of_a_digest(tmp_path):
    with pytest.raises(DataError, match="8 characters"):
        list(ingests.find(tmp_path, "abc"))


def test_describe_says_where_the_bars_of_a_run_came_from(config, ohlcv, tmp_path):
    deliver(config, ohlcv)
    data = {"data_dir": str(tmp_path / "bars"), "stocks": ["AAPL"]}
    run = write_run(tmp_path / "run", make_config({"data": data}, source="test"))
    run.execute("preprocess", lambda *_: None)
    text = ingests.describe(tmp_path / "bars", run_dir=tmp_path / "run")
    assert text.startswith("AAPL ")
    assert text.endswith("2026-11-20T22:00:00Z from test")


def test_store_is_what_a_training_reads(config, ohlcv, tmp_path):
    deliver(config, ohlcv)
    frame = kept(config)
    assert list(frame.columns) == list(ohlcv.columns)
    np.testing.assert_array_equal(frame["close"], ohlcv["close"])


def test_data_command_lists_ingests_and_finds_a_digest(config, ohlcv, tmp_path, capsys):
    bars = str(tmp_path / "bars")
    digest = deliver(config, ohlcv.head(300)).after
    deliver(config, ohlcv.head(310))
    assert cli.main(["data", "--data-dir", bars]) == 0
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "1 changed, 300 rows added",
        "1 changed, 10 rows added",
    ]
    assert cli.main(["data", "--data-dir", bars, "--digest", digest[:10]]) == 0
    assert "AAPL: 300 rows" in capsys.readouterr().out
    assert cli.main(["data", "--data-dir", bars, "--digest", "f" * 64]) == 1
    assert "no ingest wrote" in capsys.readouterr().err


def test_merge_command_refuses_what_is_no_adapter(tmp_path, capsys):
    assert cli.main(["merge", "--adapter", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no adapter there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
