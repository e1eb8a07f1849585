"""Nothing is deleted that the project has not made, and no run is changed under the process that works on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stonk_pipeline import cli
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import RegistryError, StageError
from stonk_pipeline.files import folders, journal, locks
from stonk_pipeline.pipeline.places import ORIGIN
from stonk_pipeline.pipeline.publishing import ADAPTER, publish
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.registry.entries import describe
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import LOCK, Stage, execute
from tasks import terminal
from tests.unit.registry.test_registry import trained_run

TINY = ("--set", "data.market.tickers=1", "--set", "data.market.days=400")


def ended() -> int:
    """Number of a process that has ended."""
    return int(
        subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True).stdout
    )


def left_by(process: int, path: Path) -> Path:
    """What a writer of that process had not yet put in its place: `x.new` is of `x`."""
    made = folders.beside(path.with_suffix(""), path.suffix[1:])
    return made.with_name(made.name.replace(f"-{os.getpid()}-", f"-{process}-", 1))


@pytest.fixture
def diary(tmp_path):
    """A folder of somebody's own, beside which anything may happen."""
    path = tmp_path / "mine"
    path.mkdir()
    (path / "diary.txt").write_text("mine")
    yield path
    assert (path / "diary.txt").read_text() == "mine"
    assert [each.name for each in path.iterdir()] == ["diary.txt"]


def test_remove_takes_a_link_and_leaves_what_it_leads_to(tmp_path, diary):
    for name in ("file", "folder/file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "folder" / "link").symlink_to(diary)
    (tmp_path / "link").symlink_to(diary)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "folder", "link", "dangling", "never there"):
        folders.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == [diary]


@pytest.mark.parametrize("at_one_stroke", [True, False])
def test_replace_puts_a_folder_in_the_place_of_another(tmp_path, monkeypatch, at_one_stroke):
    if not at_one_stroke:
        monkeypatch.setattr(folders, "_exchange", lambda first, second: False)
    for text in ("first", "second"):
        (tmp_path / ".new").mkdir()
        (tmp_path / ".new" / text).touch()
        folders.replace(tmp_path / ".new", tmp_path / "target")
        assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
            "target",
            f"target/{text}",
        ]


def test_sweep_removes_what_writers_that_were_killed_left_and_no_more(tmp_path, diary):
    gone = ended()
    kept = [folders.beside(tmp_path / "notes", "tmp").name, f".drafts.{gone}.old", f".ingest-{gone}", ".a.tmp"]
    kept += [f"{folders.MARK}-{gone}-my.old", f"{folders.MARK}-x-0123456789ab-a.new", f".drafts.{gone}.tmp"]
    left = [left_by(gone, tmp_path / name).name for name in ("champion.json.tmp", "abc.new", "abc.old")]
    left += [f"{folders.MARK}-{10**30}-0123456789ab-far.tmp"]
    for name in [*kept, *left[:1], left[3]]:
        (tmp_path / name).write_text("x")
    (tmp_path / left[1]).mkdir()
    (tmp_path / left[2]).symlink_to(diary)
    with journal.locked(tmp_path):
        assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*kept, LOCK, diary.name])


@pytest.mark.parametrize("out", ["mine", ".", "..", "mine/../mine", "link", "mine/diary.txt"])
def test_merge_replaces_no_folder_that_it_has_not_made(tmp_path, diary, capsys, monkeypatch, out):
    monkeypatch.chdir(diary)
    (tmp_path / "link").symlink_to(diary)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    path = out if out.startswith(".") else str(tmp_path / out)
    assert cli.main(["merge", "--adapter", str(tmp_path / "adapter"), "--out", path]) == 1
    assert "give --out a folder of its own" in capsys.readouterr().err


def test_publish_replaces_no_adapter_of_somebody_else(tmp_path, diary):
    run = trained_run(tmp_path, "run", 0.5)
    target = run.models_dir / run.spec("grpo-second").publishes
    target.mkdir(parents=True)
    (target / "adapter_config.json").write_text("mine")
    for refused in (lambda: publish(run, "grpo-second"), lambda: run.require_inputs("grpo-second")):
        with pytest.raises(StageError, match=r"holds adapter_config\.json, .* or give another --models-dir"):
            refused()
    assert (target / "adapter_config.json").read_text() == "mine"
    folders.remove(target)
    target.symlink_to(diary)
    with pytest.raises(StageError, match="nothing is deleted behind links"):
        publish(run, "grpo-second")
    target.unlink()
    assert (publish(run, "grpo-second") / ORIGIN).is_file()


def test_register_replaces_no_folder_of_somebody_else(tmp_path):
    run = trained_run(tmp_path, "run", 0.5)
    registry = Registry(tmp_path / "models")
    entry = describe(run)
    registry.entry_dir(entry).mkdir(parents=True)
    (registry.entry_dir(entry) / "notes").write_text("mine")
    with pytest.raises(RegistryError, match=r"holds notes, .*; move it away, and register again"):
        registry.register(run)
    assert (registry.entry_dir(entry) / "notes").read_text() == "mine"
    (registry.entry_dir(entry) / "notes").unlink()
    assert registry.adapter(registry.register(run)).is_dir()


def test_main_takes_a_run_whose_settings_were_lost(tmp_path):
    arguments = ["preprocess", "--run-dir", str(tmp_path / "run"), "--recipe", "default", *TINY]
    assert cli.main(arguments) == 0
    (tmp_path / "run" / CONFIG).unlink()
    assert cli.main(arguments) == 0


@pytest.mark.parametrize("content", ['{"model_type": "qwen2"}', "[]", "{"])
def test_main_writes_no_settings_over_the_config_of_something_else(tmp_path, capsys, content):
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "model.safetensors").write_text("x")
    assert cli.main(["preprocess", "--run-dir", str(tmp_path), "--recipe", "default", *TINY]) == 1
    assert "holds config.json, which this project has not put there; give the run a dir" in capsys.readouterr().err
    assert (tmp_path / "config.json").read_text() == content
    assert not (tmp_path / "preprocessing").exists()


def test_main_empties_no_code_of_a_checkout(tmp_path, capsys):
    (tmp_path / "preprocessing").mkdir()
    (tmp_path / "preprocessing" / "windows.py").write_text("code")
    for run_dir in (tmp_path, tmp_path / "run"):
        run_dir.mkdir(exist_ok=True)
        if run_dir.name == "run":
            (run_dir / "preprocessing").symlink_to(tmp_path / "preprocessing")
        assert cli.main(["preprocess", "--run-dir", str(run_dir), "--recipe", "default", *TINY]) == 1
        assert "give the run a directory of its own" in capsys.readouterr().err
    assert (tmp_path / "preprocessing" / "windows.py").read_text() == "code"


@pytest.mark.parametrize("changes", [{"key": "stonk-tiny/OTHER"}, {"id": "/any/dir"}, {"key": "../.."}])
def test_prune_refuses_entries_that_name_another_place(tmp_path, changes):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    path = registry.entry_dir(entry) / "entry.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(RegistryError, match=r"says that it is .*; register its run again"):
        registry.prune(entry.key, keep=0)
    assert (registry.entry_dir(entry) / ADAPTER).is_dir()


def test_prune_deletes_nothing_behind_a_link_out_of_the_registry(tmp_path):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    place = registry.entry_dir(entry)
    moved = place.rename(tmp_path / place.name)
    place.symlink_to(moved)
    with pytest.raises(RegistryError, match=r"a link leads out of .*registry"):
        registry.prune(entry.key, keep=0)
    assert (moved / ADAPTER).is_dir()


def test_registry_sweeps_what_writers_that_were_killed_left(tmp_path):
    registry = Registry(tmp_path / "models")
    entry = registry.register(trained_run(tmp_path, "a", 0.5))
    gone = ended()
    for name in ("champion.json.tmp", "entries/b.new", f"entries/{entry.id}/entry.json.tmp"):
        left_by(gone, registry.directory(entry.key) / name).write_text("x")
    registry.promote(entry, "forced", "x")
    assert not list(registry.root.rglob(f"{folders.MARK}*"))


def test_commands_change_nothing_of_a_run_that_another_process_works_on(tmp_path, capsys):
    directory = tmp_path / "run"
    run = write_run(directory, load_config("default", {"seed": 4, "models_dir": str(tmp_path / "models")}))
    made = Stage("preprocessing", run.config.preprocess_stage().__class__, lambda *_: {})
    execute(made, run.config.preprocess_stage(), {}, run.stage_dir("preprocess"))
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != LOCK}
    with locks.held(directory / LOCK, "flow run first", "x"):
        more = ["--set", "grpo_second.learning_rate=0.5"]
        assert terminal.main({}, ["--continue", str(directory), "--force", "preprocess", *more]) == 1
        assert "held by process" in capsys.readouterr().out.replace("\n", " ")
        assert cli.main(["preprocess", "--run-dir", str(directory), *more]) == 1
        assert "flow run first" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != LOCK}
    assert after == before


def test_stage_refuses_settings_that_were_changed_since_its_run_began(tmp_path, capsys, monkeypatch):
    run = write_run(tmp_path / "run", load_config("default", {"seed": 4}))
    write_run(run.directory, load_config("default", {"seed": 5}))
    monkeypatch.setenv("STONK_PARENT_PID", str(os.getppid()))
    assert cli.main(["preprocess", "--run-dir", str(run.directory), "--settings", run.digest]) == 1
    assert "config.json: changed since this run began" in capsys.readouterr().out
    assert not run.stage_dir("preprocess").exists()
