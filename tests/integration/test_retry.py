"""Retry, as the UI's button asks for it: what is done stays done, what is damaged is rebuilt, and nothing else."""

import shutil
import subprocess
import sys
import time

import pytest

from stonk_pipeline.contracts.forecast.steps import steps_of
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.files import locks
from stonk_pipeline.runs.manifest import output_files, read_manifest
from tests.served import ROOT, TINY, Served, digests, environment

Undisturbed = tuple[str, dict[str, str]]
STEPS = steps_of(load_config(str(TINY)))
NAMES = list(STEPS)


def attempt(served: Served, run: str) -> tuple[str, dict[str, str]]:
    """Retries a run and waits for its end: (its state, step -> state of its task in this attempt)."""
    before = len(served.tasks(run))
    served.retry(run)
    ended = served.wait(run)
    return ended, dict(served.tasks(run)[before:])


@pytest.mark.parametrize("step", NAMES)
def test_retry_runs_the_failed_stage_and_no_finished_one(served: Served, undisturbed: Undisturbed, step: str) -> None:
    run, expected = undisturbed
    directory = served.directory(run)
    out = directory / STEPS[step].directory
    finished = {other: read_manifest(directory / STEPS[other].directory).finished for other in NAMES}
    shutil.rmtree(out)
    out.write_text("in the way of the stage's directory")
    ended, states = attempt(served, run)
    assert ended == "FAILED"
    earlier = NAMES[: NAMES.index(step)]
    assert states == dict.fromkeys(earlier, "Cached") | {step: "Failed"}
    out.unlink()
    time.sleep(1)  # the clock of a manifest has seconds
    ended, states = attempt(served, run)
    assert ended == "COMPLETED"
    assert states.pop("report") == "Completed"
    assert states == dict.fromkeys(NAMES, "Cached") | {step: "Completed"}
    assert served.directory(run) == directory
    assert digests(directory) == expected
    for other in NAMES:
        now = read_manifest(directory / STEPS[other].directory).finished
        assert (now == finished[other]) == (other != step), other


def test_retry_rebuilds_a_truncated_output_and_publishes_what_is_missing_and_nothing_else(
    served: Served, undisturbed: Undisturbed
) -> None:
    run, expected = undisturbed
    published = open_run(served.directory(run)).models_dir / STEPS["grpo-second"].publishes
    adapter = output_files(published)
    shutil.rmtree(published)
    path = served.directory(run) / "sft_data_generation" / "rejected.csv"
    path.write_bytes(path.read_bytes()[:-1])
    ended, states = attempt(served, run)
    assert ended == "COMPLETED"
    assert [step for step in NAMES if states[step] != "Cached"] == ["sample"]
    assert output_files(published) == adapter
    assert digests(served.directory(run)) == expected


def test_busy_stage_is_tried_again_by_itself(served: Served, undisturbed: Undisturbed) -> None:
    run, _ = undisturbed
    out = served.directory(run) / STEPS["preprocess"].directory
    (out / "manifest.json").unlink()
    before = len(served.tasks(run))
    with locks.held(out / ".lock", "this test", "the stage"):
        served.retry(run)
        until = time.monotonic() + 120
        while "AwaitingRetry" not in [state for _, state in served.tasks(run)[before:]]:
            assert time.monotonic() < until, served.tasks(run)[before:]
            time.sleep(0.2)
    assert served.wait(run) == "COMPLETED"
    assert dict(served.tasks(run)[before:])["preprocess"] == "Completed"


def test_retry_says_that_code_has_changed(served: Served, undisturbed: Undisturbed) -> None:
    run, _ = undisturbed
    path = served.directory(run) / STEPS["compare"].directory / "manifest.json"
    manifest = read_manifest(path.parent)
    name = "stonk_pipeline/evaluation/metrics.py"
    other = manifest.model_copy(update={"code": manifest.code | {name: "0" * 16}})
    path.write_text(other.sealed().model_dump_json(indent=2))
    assert attempt(served, run)[0] == "COMPLETED"
    path.write_text(manifest.model_dump_json(indent=2))
    log = (served.directory(run) / "pipeline.log").read_text()
    assert f"compare: kept, though it was computed with other code (changed since: {name})" in log


@pytest.mark.long
def test_command_line_prints_how_to_go_on_and_goes_on(served: Served, undisturbed: Undisturbed) -> None:
    """Without a server that lasts: the run that failed is continued by the command that it printed."""
    run, expected = undisturbed
    directory = served.home / "results" / "by-hand"
    shutil.copytree(served.directory(run), directory)
    stage = directory / STEPS["compare"].directory
    shutil.rmtree(stage)
    stage.write_text("in the way")
    failed = continued(served, str(directory))
    assert failed.returncode == 1
    command = failed.stdout.strip().splitlines()[-1]
    assert command == f"./run_pipeline.sh --continue {directory}"
    stage.unlink()
    before = read_manifest(directory / STEPS["sft"].directory).finished
    done = continued(served, str(directory), "--force", "preprocess")
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(directory) == expected
    assert read_manifest(directory / STEPS["sft"].directory).finished == before
    assert read_manifest(directory / STEPS["preprocess"].directory).finished > before
    shutil.rmtree(directory)


def continued(served: Served, directory: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows.train_flow", "--continue", directory, *options],
        cwd=ROOT,
        env=environment(served.home / "alone"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
