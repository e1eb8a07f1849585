"""A run killed at any instant of a stage's end: a retry leaves the stage's adapter published, and nothing beside it."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stonk_pipeline.config.base import Settings
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.runs import run_at, write_run
from stonk_pipeline.pipeline.publishing import publish, publish_missed
from stonk_pipeline.runs.manifest import Manifest, Stage, execute, finished
from tests.killing import die_at

ROOT = Path(__file__).parents[3]


def body(config, inputs, out, progress):
    for name in ("weights", "deeper/more"):
        path = out / "adapter" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"new {name}")
    return {}


STAGE = Stage("stage2_sft_training", Settings, body)


def end(run):
    """A stage's end, as its process does it."""
    execute(STAGE, Settings(), {}, run.stage_dir("sft"))
    publish(run, "sft")


def make(directory, older):
    run = write_run(directory / "results" / "now", PipelineConfig(models_dir=str(directory / "models")))
    target = run.models_dir / FORECAST["sft"].publishes
    if older:
        target.mkdir(parents=True)
        (target / "weights").write_text("old weights")
        (target / "gone").write_text("of the old one alone")
        origin = {"run": "/another/run", "step": "sft", "digest": "0", "finished": "2020-01-02T03:04:05Z"}
        (target / "origin.json").write_text(json.dumps(origin))
    return run, target


def retry(run):
    """What a retry does: a stage that is done does not run, and what it missed is published."""
    if finished(STAGE, Settings(), {}, run.stage_dir("sft")) is None:
        end(run)
        return False
    publish_missed(run, "sft")
    return True


def try_every_instant(directory, older):
    """(instants tried, those with the stage done before the retry, of these those without its adapter published)."""
    tried = done = missed = 0
    while True:
        run, target = make(directory / str(tried), older)
        child = os.fork()
        if child == 0:
            die_at(tried + 1)
            end(run)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        missing = not (target / "weights").is_file() or (target / "weights").read_text() != "new weights"
        if older:  # one of the two is there, whole, at every instant
            other = "gone" if missing else "deeper/more"
            assert (target / other).is_file() and (target / "origin.json").is_file(), (tried, other)
        if retry(run):
            done += 1
            missed += missing
        content = {
            path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()
        }
        origin = json.loads(content.pop("origin.json"))
        assert content == {"weights": "new weights", "deeper/more": "new deeper/more"}, (tried, content)
        assert origin["run"] == str(run.directory), tried
        assert [path.name for path in target.parent.iterdir()] == [target.name], tried
        if os.waitstatus_to_exitcode(status) == 0:
            return tried, done, missed
        tried += 1


@pytest.mark.parametrize("older", [False, True], ids=["nothing", "an-older-adapter"])
def test_every_instant_of_a_stage_end_is_mended_by_a_retry(tmp_path, older):
    script = f"""
        import sys
        from pathlib import Path
        from tests.unit.pipeline.test_publishing import try_every_instant
        print(*try_every_instant(Path(sys.argv[1]), {older}))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]  # alone, so that it can fork
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    tried, done, missed = map(int, result.stdout.split())
    assert tried > 15, result.stdout
    assert done > missed > 5, result.stdout  # the stage was done, and its adapter not there or an old one


def trained(directory, name, finished_at):
    run = run_at(directory / name, PipelineConfig(models_dir=str(directory / "models")))
    execute(STAGE, Settings(), {}, run.stage_dir("sft"))
    manifest = run.stage_dir("sft") / "manifest.json"
    changed = Manifest(**(json.loads(manifest.read_text()) | {"finished": finished_at}))
    manifest.write_text(changed.sealed().model_dump_json())
    return run


def test_publish_missed_leaves_what_another_run_made_later(tmp_path):
    early, late = trained(tmp_path, "a", "2026-01-02T00:00:00Z"), trained(tmp_path, "b", "2026-01-03T00:00:00Z")

    def origin():
        return json.loads((early.models_dir / "sft_lora" / "origin.json").read_text())["run"]

    publish(late, "sft")
    publish_missed(early, "sft")
    assert origin() == str(late.directory)
    publish(early, "sft")
    publish_missed(late, "sft")
    assert origin() == str(late.directory)


@pytest.mark.parametrize("damage", ["{", "[]", None])
def test_publish_missed_mends_a_note_that_is_damaged_or_gone(tmp_path, damage):
    run = trained(tmp_path, "a", "2026-01-02T00:00:00Z")
    note = publish(run, "sft") / "origin.json"
    note.unlink() if damage is None else note.write_text(damage)
    publish_missed(run, "sft")
    assert json.loads(note.read_text())["finished"] == "2026-01-02T00:00:00Z"


def test_publish_missed_passes_over_a_step_without_an_adapter(tmp_path):
    run, _ = make(tmp_path, older=False)
    assert publish_missed(run, "sample") is None
    assert not run.models_dir.exists()
