"""Somebody's files in the folders of the project stay as they are: hidden ones, records, links, locks, pages."""

import os
import subprocess
import sys
from datetime import date

import pytest

from preprocessing.ingest import store
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.contracts.forecast.page.runs import write_runs_page
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import BusyError, ConfigError, DataError, LogError, RegistryError, StageError
from stonk_pipeline.files import journal, locks
from stonk_pipeline.files.model_digest import cache
from stonk_pipeline.pipeline import places
from stonk_pipeline.pipeline.publishing import publish
from stonk_pipeline.pipeline.run import LOG, alone_in
from stonk_pipeline.records import ingests
from stonk_pipeline.records.ingests import Ingest
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs import child
from stonk_pipeline.runs.manifest import LOCK, MARK
from tests.unit.contracts.forecast.test_controls import compared
from tests.unit.files.test_folders import ended, left_by
from tests.unit.pipeline.test_publishing import trained
from tests.unit.registry.test_registry import trained_run

INGEST = Ingest(time="2026-01-02T03:04:05Z", source="x", changes=(), files={"AAA": "0" * 64}, digest="1" * 64)


def content(folder):
    """Path -> bytes of every file, and what links lead to."""
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.name != LOCK
    }


def mine(path, text="mine"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [".drafts.2024.old", ".ingest-settings", ".stonk-pipeline-2024.old"])
def test_hidden_folders_of_somebody_stay_where_the_project_writes(tmp_path, name):
    run = trained(tmp_path, "run", "2026-01-02T00:00:00Z")
    drafts = [mine(folder / name / "a.txt") for folder in (tmp_path / "records", tmp_path / "bars", run.models_dir)]
    with journal.locked(tmp_path / "records"), store.alone(tmp_path / "bars"):
        publish(run, "sft")
    assert all(path.read_text() == "mine" for path in drafts)


def test_publish_keeps_a_copy_that_somebody_made_and_removes_what_it_left(tmp_path):
    run = trained(tmp_path, "run", "2026-01-02T00:00:00Z")
    kept = mine(run.models_dir / ".sft_lora.before-paper.old" / "weights")
    left = mine(left_by(ended(), run.models_dir / "sft_lora.new") / "weights")
    publish(run, "sft")
    assert kept.is_file()
    assert not left.parent.exists()


@pytest.mark.parametrize(
    "foreign", ["my diary", '{"a": 1} and more', '{"a": my diary', "[1, 2]", "7", '{"a": 1}\nmine']
)
def test_append_cuts_off_nothing_that_no_writer_left(tmp_path, foreign):
    for path, add, error in (
        (tmp_path / "log.jsonl", lambda: journal.append(tmp_path / "log.jsonl", {"n": 1}), LogError),
        (tmp_path / ingests.LOG, lambda: ingests.append(tmp_path, INGEST), DataError),
    ):
        path.write_text(foreign)
        with pytest.raises(error, match=rf"{path.name}, line {foreign.count(chr(10)) + 1}: neither a record") as said:
            add()
        assert "move the file away" in str(said.value)
        assert path.read_text() == foreign


def test_append_completes_each_record_that_was_killed_at_any_byte(tmp_path):
    first, second = (INGEST.model_copy(update={"source": name}) for name in ("é", "second"))
    ingests.append(tmp_path, first)
    whole = (tmp_path / ingests.LOG).read_bytes()
    for length in range(len(whole) + 1):
        (tmp_path / ingests.LOG).write_bytes(whole + whole[:length])
        ingests.append(tmp_path, second)
        complete = [first] if length >= len(whole) - 1 else []  # it lacked its line feed alone
        assert ingests.read(tmp_path) == [first, *complete, second], length
    record = {"a": [1.5e-30, True, None, 'é\\"\n'], "b": {"c": -7}}
    journal.append(tmp_path / "j", record)
    whole = (tmp_path / "j").read_bytes()
    for length in range(len(whole) + 1):
        (tmp_path / "j").write_bytes(whole + whole[:length])
        journal.append(tmp_path / "j", {"n": 1})
        assert [line.record for line in journal.read(tmp_path / "j")][-1] == {"n": 1}, length


def test_append_writes_behind_no_link(tmp_path):
    elsewhere = mine(tmp_path / "elsewhere", "")
    for name in (ingests.LOG, "log.jsonl"):
        (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"ingest\.jsonl: a link to .*, and nothing is written behind links"):
        ingests.append(tmp_path, INGEST)
    with pytest.raises(LogError, match="a link to"):
        journal.append(tmp_path / "log.jsonl", {"n": 1})
    assert elsewhere.read_bytes() == b""


def test_ingest_waits_for_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "GSPC.csv")
    assert ingests.store_files(tmp_path) == {}
    change = store.update(IngestConfig(data_dir=str(tmp_path)), lambda *_: pytest.fail(), "GSPC", date(2026, 1, 2))
    assert change.failed == f"{tmp_path}/GSPC.csv: not a plain file; move it away"
    os.mkfifo(tmp_path / ingests.LOG)
    with pytest.raises(DataError, match=r"ingest\.jsonl: not a plain file"), store.alone(tmp_path):
        pass


@pytest.mark.parametrize("what", ["somebody's", "a pipe", "a folder"])
def test_locks_leave_a_file_that_is_none_of_theirs(tmp_path, what):
    path = tmp_path / LOCK
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(ConfigError, match=r"\.lock: .*; move it away"), journal.locked(tmp_path):
        pass
    assert what != "somebody's" or path.read_text() == "mine"


def test_locks_take_over_what_an_earlier_holder_left(tmp_path):
    for _ in range(2):
        with journal.locked(tmp_path):
            assert (tmp_path / LOCK).read_text() == f"process {os.getpid()}, writing"


def test_journal_waits_for_a_while_and_says_for_whom(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(journal, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(journal, "QUIET_SECONDS", 0.05)
    with (
        locks.held(tmp_path / LOCK, "the other one", "x"),
        pytest.raises(BusyError, match=rf"held by process {os.getpid()}, the other one after 0 s of waiting"),
        journal.locked(tmp_path),
    ):
        pass
    assert caplog.text.count(f"held by process {os.getpid()}, the other one, for at most 0.3 s") == 1


def test_locks_name_no_process_as_holder_that_has_ended(tmp_path):
    code = (
        "import os, sys, subprocess; from pathlib import Path; from stonk_pipeline.files import locks\n"
        "with locks.held(Path(sys.argv[1]), 'gone', 'x') as lock:\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'input()'], pass_fds=(lock,))\n"
        "    print(os.getpid(), flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as gone:
        number = int(gone.stdout.readline())
        gone.wait()
        with pytest.raises(BusyError, match=rf"not say its name \(process {number}, which held it last, has ended\)"):
            locks.held(tmp_path / LOCK, "me", "it").__enter__()


@pytest.mark.parametrize("name", [LOG, LOCK])
def test_run_writes_behind_no_link(tmp_path, name):
    run = write_run(tmp_path / "run", load_config("default"))
    diary = mine(tmp_path / "diary.txt")
    (run.directory / name).symlink_to(diary)
    with pytest.raises(StageError, match=r"a link to .*, and nothing is written behind links; remove it"):
        alone_in(run.directory, "x").__enter__()
    if name == LOG:
        with pytest.raises(OSError, match="symbolic link"):
            child.run_child(["--help"], run.config, run.directory / LOG, lambda *_: None, lambda _: None)
    assert diary.read_text() == "mine"


@pytest.mark.parametrize("name", ["run/config.json", "thesis.html", "run/config.html", "thesis.csv.html"])
def test_runs_page_writes_over_no_file_of_somebody(tmp_path, name):
    run = compared(tmp_path / "run", "default", 0.8)
    for foreign in ("thesis.html", "thesis.csv.csv"):
        mine(tmp_path / foreign)
    before = content(tmp_path)
    with pytest.raises(StageError, match="not made by this command, which would write over it; move it away, or give"):
        write_runs_page([run], tmp_path / name)
    assert content(tmp_path) == before


def test_runs_page_replaces_its_own(tmp_path):
    run = compared(tmp_path / "run", "default", 0.8)
    for _ in range(2):
        write_runs_page([run], tmp_path / "runs.html")
    mine(run / "model_comparison" / MARK, "")
    with pytest.raises(StageError, match=r"lies in .*, which is a stage"):
        write_runs_page([run], run / "model_comparison" / "runs.html")


@pytest.mark.parametrize("which", ["entry", "key", "entries"])
def test_registry_changes_nothing_behind_a_link(tmp_path, which):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    place = {
        "entry": registry.entry_dir(entry),
        "key": registry.directory(entry.key),
        "entries": registry.entry_dir(entry).parent,
    }[which]
    moved = place.rename(tmp_path / place.name)
    place.symlink_to(moved)
    mine(moved / ".home.2023.old" / "photo")
    mine(left_by(ended(), moved / "x.old") / "photo")
    before = content(tmp_path)
    with pytest.raises(RegistryError, match=r"a link leads out of .*registry"):
        registry.prune(entry.key, keep=0)
    assert content(tmp_path) == before


@pytest.mark.parametrize("pruned", ["", "yes", "2026-01-02T00:00:00+00:00"])
def test_prune_keeps_the_champion_whatever_its_entry_says(tmp_path, pruned):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    registry.promote(entry, "forced", "x")
    path = registry.entry_dir(entry) / places.ENTRY
    changed = entry.model_copy(update={"pruned": pruned}).sealed()  # by somebody who knows how
    path.write_text(changed.model_dump_json())
    with pytest.raises(RegistryError, match=r"entry\.json: (damaged|says that the champion was pruned on 2026-01-02)"):
        registry.prune(entry.key, keep=0)
    assert (registry.entry_dir(entry) / "adapter").is_dir()


def test_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from stonk_pipeline.files import model_digest

    assert model_digest._cache() == cache() / "digests.json" == tmp_path / "stonk-pipeline" / "digests.json"
