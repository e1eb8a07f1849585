"""A walk-forward through the real flow: two folds, their tasks, their adapters and the comparison over both."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stonk_pipeline.contracts.forecast.page.runs import read_runs
from stonk_pipeline.contracts.forecast.scores.results import read_comparison
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.run import Run

SHORT = ["grpo_first.steps=2", "grpo_second.steps=2", "model.backend=peft", "comparison.conformal=true"]
SHORT += ["sampling.engine=transformers", "comparison.engine=transformers"]


@pytest.fixture(scope="module")
def walk(run_flow: Callable[[list[str], Path], "CompletedProcess[str]"], tmp_path_factory) -> Run:
    home = tmp_path_factory.mktemp("walk")
    options = ["--recipe", "small", "--folds", "2", "--results-dir", str(home / "r"), "--models-dir", str(home / "m")]
    done = run_flow([*options, *[part for text in SHORT for part in ("--set", text)]], home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert all(f"sft-2: {what}" in done.stderr for what in ("starts", "done in "))
    assert not set("\x1b{") & set(done.stdout + done.stderr)  # neither colours where nobody sees them nor Python
    (directory,) = (home / "r").iterdir()
    return open_run(directory)


def test_walk_forward_finishes_every_step_of_every_fold(walk: Run) -> None:
    assert all(run.finished(step) is not None for run, step in walk.steps())
    assert all((run.directory / "report.html").is_file() for run in (walk, *walk.folds))


def test_walk_forward_pools_all_test_windows(walk: Run) -> None:
    whole = read_comparison(walk.stage_dir("compare"))
    parts = [read_comparison(fold.stage_dir("compare")) for fold in walk.folds]
    assert whole.rows[0].windows == sum(part.rows[0].windows for part in parts)
    assert [row.name for row in whole.rows] == [row.name for row in parts[0].rows]
    assert whole.row("grpo_2nd").calibrated_coverage is not None
    assert len(read_runs([walk.directory])[0].comparison.folds) == 2


def test_walk_forward_publishes_the_last_fold(walk: Run) -> None:
    origin = (walk.models_dir / "grpo_lora_2nd" / "origin.json").read_text(encoding="utf-8")
    assert "folds/2" in origin
