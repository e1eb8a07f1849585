"""Locks that end with their holder."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from preprocessing.ingest import store
from stonk_pipeline.commands.options import add_config_options, resolve_config
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.forecast.scores.stage import ask_alone
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import with_wait
from stonk_pipeline.errors import BusyError, ConfigError
from stonk_pipeline.files import journal, locks
from stonk_pipeline.sampling.ask import alone
from stonk_pipeline.schema import Window

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from stonk_pipeline.files import locks
with locks.held(Path(sys.argv[1]), "the other one", "x"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds a lock."""
    path = tmp_path / "x.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def test_held_names_the_holder(other):
    path, process = other
    with pytest.raises(BusyError, match=rf"^it is held by process {process.pid}, the other one; wait"):
        locks.held(path, "me", "it").__enter__()


def test_held_waits_and_says_so_once(other):
    path, process = other
    said = []

    def say(message):
        said.append(message)
        process.kill()

    with locks.held(path, "me", "it", wait=30, say=say):
        assert path.read_text().endswith(", me")
    assert said == [f"waiting for it, held by process {process.pid}, the other one, for at most 30 s"]


def test_held_gives_up(other):
    path, _ = other
    with pytest.raises(BusyError, match="after 0 s of waiting"):
        locks.held(path, "me", "it", wait=0.1).__enter__()


def test_held_is_free_when_the_holder_was_killed(other):
    path, process = other
    assert locks.is_held(path)
    process.kill()
    process.wait()
    assert not locks.is_held(path)
    with locks.held(path, "me", "it"):
        assert locks.is_held(path)


def test_held_lasts_as_long_as_a_child_that_inherited_it(tmp_path):
    path = tmp_path / "x.lock"
    with locks.held(path, "me", "it") as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True, pass_fds=(descriptor,)
        )
    assert locks.is_held(path)
    child.communicate("\n")
    assert not locks.is_held(path)


@pytest.mark.parametrize(
    ("chosen", "shell", "expected"),
    [("1,0", None, ["0", "1"]), (None, "2", ["2"]), ("", "2", ["cpu"]), (None, None, ["0", "1", "2"])],
)
def test_accelerators_are_those_that_a_stage_would_see(tmp_path, monkeypatch, chosen, shell, expected):
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\nfor n in 0 1 2; do echo "GPU $n: some card"; done\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shell is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shell)
    assert locks.accelerators(chosen) == expected


def test_accelerators_without_a_driver_are_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert locks.accelerators("0,1") == ["cpu"]


def test_accelerator_keeps_others_out_of_any_shared_device(monkeypatch, tmp_path):
    monkeypatch.setenv(locks.LOCKS, str(tmp_path / "locks"))
    with locks.accelerator(["0", "1"], "sft of a run") as descriptors:
        assert len(descriptors) == 2
        with pytest.raises(BusyError, match=r"accelerator '1' .* sft of a run"):
            locks.accelerator(["1", "2"], "another").__enter__()
        with locks.accelerator(["2"], "another"):
            pass


def test_accelerator_says_for_how_long_it_waits_and_how_to_change_that(monkeypatch, tmp_path, other):
    path, process = other
    monkeypatch.setattr(locks, "lock_file", lambda name: path)
    said = []

    def say(message):
        said.append(message)
        process.kill()

    with locks.accelerator([locks.CPU], "me", wait=60 * PipelineConfig().wait_minutes, say=say):
        pass
    (message,) = said
    assert message.endswith(", the other one, for at most 1,440 minutes (--set wait_minutes=MINUTES changes that)")


def test_the_setting_that_a_wait_names_is_one(other, monkeypatch):
    path, _ = other
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    option = locks.SETTING.replace("MINUTES", "0.001")
    config = resolve_config(parser.parse_args(["--recipe", "small", *option.split()]))
    monkeypatch.setattr(locks, "lock_file", lambda name: path)
    with pytest.raises(BusyError, match=rf"after 0 s of waiting; .* or wait longer: {locks.SETTING}$"):
        locks.accelerator(["cpu"], "me", wait=60 * config.wait_minutes).__enter__()
    assert with_wait(PipelineConfig(), [option.split()[1]]).wait_minutes == 0.001
    with pytest.raises(ConfigError, match="seed=1: settings are those of the training; wait_minutes alone"):
        with_wait(PipelineConfig(), ["seed=1"])


def test_cpu_shares_are_as_many_as_cores_and_leave_the_cpu_to_a_training(monkeypatch, tmp_path):
    monkeypatch.setenv(locks.LOCKS, str(tmp_path))
    monkeypatch.setattr(locks, "cores", lambda: 2)
    with locks.accelerator([locks.CPU], "a training"), locks.cpu_share("one"):
        with locks.cpu_share("two"), pytest.raises(BusyError, match=r"^a share of the CPU \(2 in all\) is held by"):
            locks.cpu_share("three").__enter__()
        with locks.cpu_share("three"):
            pass
    with locks.cpu_share("one"), locks.accelerator([locks.CPU], "a training"):
        pass


@pytest.mark.parametrize("name", ["stonk-tiny", "stonk-tiny-calls", "models/merged/0a1b2c/stonk-tiny"])
def test_a_model_of_the_package_takes_a_share_of_the_cpu(monkeypatch, tmp_path, name):
    monkeypatch.setenv(locks.LOCKS, str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with locks.accelerator([locks.CPU], "a training"), alone("evaluate", 0, ModelConfig(name=name)):
        assert locks.is_held(locks.lock_file("cpu-share-1"))
    with locks.cpu_share("forecast"), alone("evaluate", 0, ModelConfig(name="some/model")):
        assert locks.is_held(locks.lock_file(locks.CPU))


def test_a_model_outside_of_a_stage_waits_for_the_accelerator(monkeypatch, tmp_path):
    monkeypatch.setenv(locks.LOCKS, str(tmp_path))
    config = PipelineConfig(model=ModelConfig(name="some/model"))
    stage, window = config.comparison_stage(), Window("A", "2024-01-02", (1.0,), {}, {}, 1.0, 0.0, 1.0)
    with (
        locks.accelerator(locks.accelerators(None), "sft of another run"),
        pytest.raises(BusyError, match=r"held by process \d+, sft of another run"),
    ):
        ask_alone(stage, [window], 10, None, lambda *_: None, purpose="forecast", wait_minutes=0)


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The folder of this user's locks, in another folder for temporary files."""
    monkeypatch.delenv(locks.LOCKS, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"stonk-pipeline-{os.getuid()}"


def test_lock_file_lies_in_a_folder_of_this_user_alone(temporary):
    with locks.held(locks.lock_file("cpu"), "a", "b"):
        assert [path.name for path in temporary.iterdir()] == [f"stonk-pipeline-{os.getuid()}-cpu.lock"]
    assert temporary.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["open to all", "a link", "a file", "of another user"])
def test_lock_file_refuses_a_folder_where_others_could_hold_the_locks(temporary, how):
    if how == "a link":
        (temporary.parent / "theirs").mkdir(mode=0o700)
        temporary.symlink_to(temporary.parent / "theirs")
    elif how == "a file":
        temporary.write_text("x")
    else:
        temporary.mkdir()
        temporary.chmod(0o777 if how == "open to all" else 0o700)
    if how == "of another user":
        if os.getuid():
            pytest.skip("only root can give a folder away")
        os.chown(temporary, 65534, 65534)
    with pytest.raises(ConfigError, match=re.escape(str(temporary))):
        locks.lock_file("cpu")


def test_locks_follow_no_link_that_was_planted(temporary, tmp_path):
    (tmp_path / "precious").write_text("mine")
    for path, hold in (
        (locks.lock_file("cpu"), lambda path: locks.held(path, "a", "b")),
        (tmp_path / "journal" / ".lock", lambda path: journal.locked(path.parent)),
        (tmp_path / "bars" / ".ingest.lock", lambda path: store.alone(path.parent)),
    ):
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(tmp_path / "precious")
        with pytest.raises(OSError, match="symbolic links"), hold(path):
            pass
    assert (tmp_path / "precious").read_text() == "mine"
