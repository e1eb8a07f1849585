"""Killed at any instant: nobody is left behind, the server knows soon, and a retry ends with the same outputs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.contracts.runs import open_run, write_run
from stonk_pipeline.runs.manifest import verify
from tests.served import ROOT, Served, digests, environment, of_home, unpublished

Undisturbed = tuple[str, dict[str, str]]
STAGE = "sft"


def find(served: Served, words: str, seconds: float = 120) -> int:
    """Waits for a process of this server's family with words in its command line."""
    until = time.monotonic() + seconds
    while True:
        for pid, command in of_home(str(served.home / "prefect")).items():
            if words in command:
                return pid
        assert time.monotonic() < until, f"no process {words!r}"
        time.sleep(0.1)


def training(served: Served, run: str) -> None:
    """Has a finished run do a training again, and returns while it trains."""
    shutil.rmtree(served.directory(run) / STEPS[STAGE].directory)
    served.retry(run)
    find(served, f"-m stonk_pipeline {STAGE}")
    state = served.directory(run) / STEPS[STAGE].directory / "checkpoints" / "state"
    until = time.monotonic() + 120
    while not state.is_dir():
        assert time.monotonic() < until
        time.sleep(0.05)


def nobody_left(served: Served, seconds: float = 10) -> bool:
    """Whether within a time only the server, `serve` and perhaps a guard, which ends by itself, are left."""
    until = time.monotonic() + seconds
    while True:
        left = [
            command
            for command in of_home(str(served.home / "prefect")).values()
            if not any(words in command for words in ("tasks.server", "flows.serve", "tasks.guard"))
        ]
        if not left or time.monotonic() > until:
            assert not left
            return True
        time.sleep(0.1)


def completes(served: Served, run: str, expected: dict[str, str]) -> None:
    served.retry(run)
    assert served.wait(run) == "COMPLETED"
    same(served.directory(run), expected)


def same(directory: Path, expected: dict[str, str]) -> None:
    """The outputs and the published adapters are those of an undisturbed run, and nothing lies beside them."""
    assert digests(directory) == expected
    assert unpublished(directory, expected) == []


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_flow_is_crashed_within_ten_seconds(served: Served, undisturbed: Undisturbed, name: str) -> None:
    run, expected = undisturbed
    training(served, run)
    os.kill(find(served, "-m prefect.engine"), signal.Signals[name])
    assert served.wait(run, seconds=10) == "CRASHED"
    assert nobody_left(served)
    completes(served, run, expected)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_stage_fails_the_run_and_does_not_count_as_finished(
    served: Served, undisturbed: Undisturbed, name: str
) -> None:
    run, expected = undisturbed
    training(served, run)
    os.kill(find(served, f"-m stonk_pipeline {STAGE}"), signal.Signals[name])
    assert served.wait(run, seconds=10) == "FAILED"
    assert nobody_left(served)
    assert not (served.directory(run) / STEPS[STAGE].directory / "manifest.json").exists()
    assert f"was killed by {name}" in (served.directory(run) / "pipeline.log").read_text()
    completes(served, run, expected)


def test_cancelled_run_ends_within_ten_seconds(served: Served, undisturbed: Undisturbed) -> None:
    run, expected = undisturbed
    training(served, run)
    served.cancel(run)
    assert served.wait(run, seconds=10) == "CANCELLED"
    assert nobody_left(served)
    completes(served, run, expected)


def test_killed_server_comes_back_and_the_run_with_it(served: Served, undisturbed: Undisturbed) -> None:
    run, expected = undisturbed
    training(served, run)
    os.kill(find(served, "-m tasks.server"), signal.SIGKILL)
    assert wait_through_outage(served, run) in ("COMPLETED", "CRASHED", "FAILED")
    if served.state(run) != "COMPLETED":
        completes(served, run, expected)
    same(served.directory(run), expected)


def wait_through_outage(served: Served, run: str) -> str:
    import httpx

    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            return served.wait(run, seconds=200)
        except httpx.HTTPError:
            time.sleep(1)
    raise AssertionError("the server did not come back")


def test_killed_serve_takes_its_runs_along_and_recovers_them(served: Served, undisturbed: Undisturbed) -> None:
    run, expected = undisturbed
    training(served, run)
    served.stop(signal.SIGKILL)
    until = time.monotonic() + 10
    while left := [one for one in of_home(str(served.home / "prefect")).values() if "tasks.guard" not in one]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
    served.start()
    assert served.wait(run, seconds=10) == "CRASHED"
    completes(served, run, expected)


@pytest.mark.long
def test_run_of_the_command_line_that_is_killed_does_not_stay_running(
    served: Served, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    run, expected = undisturbed
    directory = served.results / "killed-by-hand"
    shutil.copytree(served.directory(run), directory)
    shutil.rmtree(directory / STEPS[STAGE].directory)
    command = [sys.executable, "-m", "flows.train_flow", "--continue", str(directory)]
    settings = environment(tmp_path)
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.DEVNULL) as flow:
        alone = Served(tmp_path)
        find(alone, f"-m stonk_pipeline {STAGE}", seconds=200)
        flow.kill()
        flow.wait()
    until = time.monotonic() + 120  # the guard starts a server to tell it
    while of_home(str(tmp_path / "prefect")):
        assert time.monotonic() < until, of_home(str(tmp_path / "prefect"))
        time.sleep(0.2)
    alone.start()
    try:
        (found,) = alone.post("/flow_runs/filter", {})
        assert found["state"]["type"] == "CRASHED"
        assert found["state"]["message"] == "The run's process was killed."
    finally:
        alone.stop()
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    same(directory, expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small file system can be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_is_said_and_loses_no_finished_stage(
    served: Served, undisturbed: Undisturbed, small_disk: Path, tmp_path: Path
) -> None:
    run, expected = undisturbed
    original = open_run(served.directory(run))
    directory = small_disk / "run"
    for step in ("preprocess", "sample"):
        shutil.copytree(original.stage_dir(step), directory / STEPS[step].directory)
    (directory / STEPS["grpo-first"].directory).mkdir()
    for path in original.stage_dir("grpo-first").iterdir():
        if path.name != "checkpoints":
            target = directory / STEPS["grpo-first"].directory / path.name
            shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    config = original.config.model_copy(update={"models_dir": str(tmp_path / "models")})
    write_run(directory, config)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - (300 << 10))))
    command = [sys.executable, "-m", "stonk_pipeline", STAGE, "--run-dir", str(directory)]
    settings = environment(tmp_path)
    full = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False, timeout=600)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].startswith(f"error: {STAGE}: the disk is full ("), full.stderr[-2000:]
    for step in ("preprocess", "grpo-first", "sample"):
        verify(directory / STEPS[step].directory)
    filler.unlink()
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    adapter = verify(directory / STEPS[STAGE].directory).outputs["adapter/adapter_model.safetensors"]
    assert adapter == expected[f"{STAGE}/adapter/adapter_model.safetensors"]
