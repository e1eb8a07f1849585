"""What other journals know of the forward log: a lost end and a log written anew are found without a published head."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from preprocessing.ingest import store
from stonk_pipeline.cli import main
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.files import journal
from stonk_pipeline.records import ingests
from stonk_pipeline.records.forward_log import LOG, Forecasted, append, read
from stonk_pipeline.records.heads import LogHead, head_of
from stonk_pipeline.registry import champions
from stonk_pipeline.runs.manifest import json_digest

NOW = datetime(2026, 3, 2, 22, tzinfo=UTC)


def forecast(stock, close=100.0):
    return Forecasted(
        stock=stock,
        model="abc",
        adapter_digest="d",
        base_model="stonk-tiny",
        data_digest="e",
        last_bar="2026-03-02",
        last_close=close,
        calendar="XNYS",
        targets=("2026-03-03",),
        first_close="2026-03-03T21:00:00+00:00",
        answers=8,
        readable=1.0,
        levels=LEVELS,
        quantiles=tuple((90.0 + step,) for step in range(len(LEVELS))),
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A checkout with a log of five entries, an ingest after two of them and one after all, a promotion after four."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars").mkdir()
    key = tmp_path / "models" / "registry" / "stonk-tiny" / "ALL"
    key.mkdir(parents=True)
    for number in range(1, 6):
        append(tmp_path / "forecasts", forecast(f"S{number}"), NOW)
        if number in (2, 5):
            store.record(tmp_path / "bars", "test", [], NOW)
        if number == 4:
            seen = head_of("forecasts", key)
            stamp = NOW.isoformat(timespec="microseconds")
            champions.write(key, champions.Champions().with_next("0123abcd", "test", "won", seen, stamp))
    return tmp_path


def write_anew(place, first=1, last=5):
    """The whole chain again, unbroken, with other closes."""
    (place / "forecasts" / LOG).unlink()
    for number in range(first, last + 1):
        append(place / "forecasts", forecast(f"S{number}", 101.0), NOW)


def cut(place, keep):
    path = place / "forecasts" / LOG
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:keep]))


def test_ingest_and_promotion_record_length_and_head(place):
    entries = read(place / "forecasts")
    told = [ingest.forward for ingest in ingests.read(place / "bars")]
    assert told == [LogHead(log="../forecasts/log.jsonl", length=n, head=entries[n - 1].digest) for n in (2, 5)]
    (change,) = champions.read(place / "models" / "registry" / "stonk-tiny" / "ALL").history
    assert change.forward == LogHead(log="../../../../forecasts/log.jsonl", length=4, head=entries[3].digest)


def test_verify_passes_a_log_that_grew(place, capsys):
    append(place / "forecasts", forecast("S6"), NOW)
    assert main(["verify"]) == 0
    assert (
        "heads that ingests and promotions recorded: 3, in 2 of their journals, all held\n" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (
            4,
            "bars/ingest.jsonl, line 2, of 2026-03-02T22:00:00Z: the log had 5 entries and the head {4} then, and",
        ),
        (3, "(1 more such record)"),
        (
            1,
            "bars/ingest.jsonl, line 1, of 2026-03-02T22:00:00Z: the log had 2 entries and the head {1} then, and",
        ),
        (0, "and has 0 now: its end was cut off (2 more such records)"),
    ],
)
def test_verify_finds_a_lost_end_and_names_who_knows(place, capsys, keep, told):
    heads = [entry.digest for entry in read(place / "forecasts")]
    cut(place, keep)
    assert main(["verify"]) == 1
    assert told.format(*heads) in capsys.readouterr().err


def test_verify_finds_a_lost_end_by_a_promotion_alone(place, capsys):
    (place / "bars" / ingests.LOG).unlink()
    cut(place, 3)
    assert main(["verify"]) == 1
    assert "models/registry/stonk-tiny/ALL/champion.json, change 1, of " in capsys.readouterr().err


def test_verify_finds_a_log_that_is_gone(place, capsys):
    (place / "forecasts" / LOG).unlink()
    assert main(["verify"]) == 1
    assert "has 0 now" in capsys.readouterr().err


def test_verify_finds_a_log_written_anew(place, capsys):
    write_anew(place, last=7)
    assert len(read(place / "forecasts")) == 7  # its chain holds
    assert main(["verify"]) == 1
    said = capsys.readouterr().err
    assert "bars/ingest.jsonl, line 1" in said and "entry 2 has the digest" in said and "it was written anew" in said


def forge_perfect(place, stock, stamp):
    """A forecast whose outcome was known, added to a chain that holds."""
    entries = read(place / "forecasts")
    content = forecast(stock).model_dump(mode="json") | {
        "n": len(entries) + 1,
        "stamp": stamp.isoformat(),
        "late": False,
        "previous": entries[-1].digest,
    }
    journal.append(place / "forecasts" / LOG, content | {"digest": json_digest(content)})


@pytest.mark.parametrize("command", [["verify"], ["score", "--data-dir", "elsewhere"], ["score", "--data-dir", "bars"]])
def test_verify_and_score_find_a_forecast_dated_back_before_a_record_that_has_it_not(place, capsys, command):
    store.record(place / "bars", "test", [], NOW + timedelta(days=5))
    forge_perfect(place, "S6", NOW + timedelta(minutes=5))
    assert main([*command]) == 1
    said = capsys.readouterr().err
    assert "log.jsonl, entry 6 (S6 from 2026-03-02): stamped 2026-03-02T22:05:00+00:00, but at" in said
    assert "2026-03-07T22:00:00+00:00 the log had 5 entries, says bars/ingest.jsonl, line 3" in said
    assert "it was dated back" in said


def test_verify_finds_a_forecast_dated_back_by_a_promotion_alone(place, capsys):
    (place / "bars" / ingests.LOG).unlink()
    key = place / "models" / "registry" / "stonk-tiny" / "ALL"
    later = (NOW + timedelta(days=5)).isoformat()
    champions.write(key, champions.read(key).with_next("4567abcd", "test", "won", head_of("forecasts", key), later))
    forge_perfect(place, "S6", NOW + timedelta(minutes=5))
    assert main(["verify"]) == 1
    assert "says models/registry/stonk-tiny/ALL/champion.json, change 2" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["yesterday", "2026-03-02T22:00:00", "0001-01-01T00:00:00Z"])
def test_verify_refuses_a_record_without_a_time(place, capsys, time):
    path = place / "bars" / ingests.LOG
    path.write_text(path.read_text().replace("2026-03-02T22:00:00Z", time, 1))
    assert main(["verify"]) == 1
    assert "bars/ingest.jsonl, line 1, of" in capsys.readouterr().err


def test_verify_takes_journals_from_before_heads_were_kept(place, capsys):
    path = place / "bars" / ingests.LOG
    old = [{name: value for name, value in json.loads(line).items() if name != "forward"} for line in path.open()]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    key = place / "models" / "registry" / "stonk-tiny" / "ALL" / champions.CHAMPION
    whole = json.loads(key.read_text())
    del whole["history"][0]["forward"]
    key.write_text(json.dumps(whole))
    assert main(["verify"]) == 0
    assert "no ingest and no promotion has recorded a head of this log\n" in capsys.readouterr().out
    store.record(place / "bars", "test", [], NOW)
    assert main(["verify"]) == 0
    assert "recorded: 1, in 1 of" in capsys.readouterr().out


def test_verify_says_which_logs_it_does_not_compare(place, capsys):
    os.rename("forecasts", "moved")
    assert main(["verify", "--forecasts-dir", "moved"]) == 0
    assert f"of other logs, not compared: {place}/forecasts/log.jsonl" in capsys.readouterr().out


def test_verify_follows_a_project_that_moved_as_a_whole(place, monkeypatch, capsys):
    new = place.rename(place.with_name("elsewhere"))
    monkeypatch.chdir(new)
    assert main(["verify"]) == 0
    assert "recorded: 3, in 2 of" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--data-dir", "--models-dir"])
def test_verify_refuses_a_folder_without_a_journal(place, capsys, option):
    assert main(["verify", option, "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "not JSON\n{}\n", '{"digest": 5}\n', '{"n": 1}\n'])
def test_head_of_a_log_that_is_none_stops_no_ingest(tmp_path, content):
    if content is not None:
        (tmp_path / LOG).write_text(content)
    assert head_of(tmp_path, tmp_path) is None
