"""Interrupted training: continued from a checkpoint, it ends with the same weights, bit for bit."""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at, write_run
from stonk_pipeline.errors import StageError
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import StageResult, file_digest
from stonk_pipeline.training.checkpoints import last_whole_checkpoint

ROOT = Path(__file__).parents[2]
TRACKED = """
from pathlib import Path
from stonk_pipeline.contracts.runs import open_run

class PulledPlugError(Exception):
    pass

def progress(done, total, note):
    if done >= {stop_at}:
        raise PulledPlugError

run = open_run(Path({directory!r}))
try:
    run.execute("sft", progress)
except PulledPlugError:
    run.execute("sft", lambda *_: None)
"""
SETTINGS = {"model": {"backend": "peft"}, "sft": {"evaluations": 4}, "grpo_second": {"beta": 0.05}}


class PulledPlugError(Exception):
    """Stands for a process that ends at any moment."""


def train(run: Run, step: str, stop_at: int | None = None) -> StageResult:
    """Runs a step, and pulls the plug at a trainer step."""

    def progress(done: int, total: int, note: str) -> None:
        if stop_at is not None and done >= stop_at:
            raise PulledPlugError

    return run.execute(step, progress)


@pytest.fixture(scope="module")
def whole(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same data and examples as the small run, trained without interruption through plain PEFT."""
    return copy_of(small_run, tmp_path_factory.mktemp("whole"))


def copy_of(run: Run, directory: Path) -> Run:
    """A run with finished inputs and nothing trained."""
    config = load_config("small", SETTINGS | {"results_dir": str(directory), "models_dir": str(directory / "models")})
    new = write_run(directory / "run", config)
    for step in ("preprocess", "warm-up", "grpo-first", "sample", "sft"):
        shutil.copytree(run.stage_dir(step), new.stage_dir(step))
    return new


@pytest.mark.parametrize("step", ["grpo-second", "sft"])
def test_resumed_training_gives_the_same_adapter(whole: Run, small_run: Run, tmp_path: Path, step: str) -> None:
    shutil.rmtree(whole.stage_dir(step), ignore_errors=True)
    broken = copy_of(small_run, tmp_path)
    shutil.rmtree(broken.stage_dir(step), ignore_errors=True)
    assert_resumed_is_whole(whole, broken, step)


def test_resumed_warm_up_gives_the_same_adapter_and_figures(small_run: Run, tmp_path: Path) -> None:
    warmup = {"when": "always", "examples": 48, "batch_size": 8, "evaluations": 4, "windows": 4}
    settings = SETTINGS | {"warmup": warmup, "models_dir": str(tmp_path / "models")}
    runs = [write_run(tmp_path / name, load_config("small", settings)) for name in ("whole", "broken")]
    for run in runs:
        shutil.copytree(small_run.stage_dir("preprocess"), run.stage_dir("preprocess"))
    assert_resumed_is_whole(*runs, "warm-up")
    numbers = runs[0].execute("warm-up", lambda *_: None).numbers
    assert (numbers["trained"], numbers["why"].partition(" (")[0]) == (True, "always asked for")
    assert min(numbers["val_readable_share_start"], numbers["val_readable_share"]) > 0.5
    about = json.loads((runs[0].stage_dir("warm-up") / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (about["base_model_name_or_path"], about["r"]) == ("stonk-tiny", runs[0].config.lora.rank)


def test_tracked_training_gives_the_same_adapter_and_is_one_run_of_the_tracker(
    whole: Run, small_run: Run, tmp_path: Path
) -> None:
    """In a process of its own, as steps are: trackio reads where to write when it is imported, and TRL imports it."""
    expected = train(whole, "sft")
    broken = copy_of(small_run, tmp_path)
    shutil.rmtree(broken.stage_dir("sft"))
    tracked = write_run(broken.directory, broken.config.model_copy(update={"report_to": "trackio"}))
    last = expected.numbers["steps"]
    code = TRACKED.format(directory=str(tracked.directory), stop_at=last - 1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKIO_")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=600)
    assert_same_adapter(whole, tracked, "sft")
    assert broken.finished("sft") is not None  # without a tracker it is no other training
    database = tracked.directory / "tracking" / f"{tracked.directory.name}.db"
    with closing(sqlite3.connect(database)) as reading:
        rows = reading.execute("select run_name, run_id, metrics from metrics").fetchall()
    assert {name for name, *_ in rows} == {"sft"}
    assert len({number for _, number, _ in rows}) == 1
    told = [json.loads(metrics) for *_, metrics in rows]
    assert max(figures["train/global_step"] for figures in told) == last
    with (tracked.stage_dir("sft") / "training_log.csv").open(encoding="utf-8") as stream:
        logged = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(stream) if row["loss"]}
    losses = {figures["train/global_step"]: figures["train/loss"] for figures in told if "train/loss" in figures}
    assert losses == pytest.approx(logged, rel=1e-4)


def test_resumed_stage_two_gives_the_same_adapter(tmp_path: Path) -> None:
    """With a KL divergence from stage I, and the running share of rises, which a penalty depends on."""
    brief = {"steps": 4, "save_steps": 2, "prompts_per_step": 4, "micro_batch": 32, "validation_windows": 8}
    settings = {
        "model": {"name": "stonk-tiny-calls", "backend": "peft"},
        "warmup": "never",
        "data": {"market": {"tickers": 2, "days": 600}},
        "models_dir": str(tmp_path / "models"),
        "stage_one": brief | {"steps": 2, "save_steps": 1},
        "stage_two": brief | {"beta": 0.05, "rewards": {"diversity": 0.2}},
        "shape": {"diversity_band": 0.01},
    }
    whole = write_run(tmp_path / "whole", load_config("direction", settings))
    for step in ("preprocess", "examples", "stage-one"):
        train(whole, step)
    broken = run_at(tmp_path / "broken", whole.config)
    shutil.copytree(whole.directory, broken.directory)
    assert_resumed_is_whole(whole, broken, "stage-two")


def assert_resumed_is_whole(whole: Run, broken: Run, step: str) -> None:
    """Trains a step of the one run in one go, and of the other with an interruption."""
    expected = train(whole, step)
    last = expected.numbers["steps"]
    with pytest.raises(PulledPlugError):
        train(broken, step, stop_at=last - 1)
    assert last_whole_checkpoint(broken.stage_dir(step) / "checkpoints") is not None
    assert broken.finished(step) is None
    resumed = train(broken, step)
    assert_same_adapter(whole, broken, step)
    timeless = {name: value for name, value in resumed.numbers.items() if name != "tokens_per_second"}
    assert timeless == {name: value for name, value in expected.numbers.items() if name != "tokens_per_second"}


def assert_same_adapter(one: Run, other: Run, step: str) -> None:
    adapter = "adapter/adapter_model.safetensors"
    assert file_digest(one.stage_dir(step) / adapter) == file_digest(other.stage_dir(step) / adapter)


def test_damaged_input_is_named_before_training(whole: Run) -> None:
    path = whole.stage_dir("preprocess") / "SIM01_train_x.csv"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    try:
        with pytest.raises(StageError, match=r"SIM01_train_x\.csv"):
            whole.execute("grpo-first", lambda *_: None)
    finally:
        path.write_bytes(content)
