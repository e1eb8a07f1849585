"""A walk-forward through the real flow: two folds, their tasks, their adapters and the comparison over both.

It is run as a user of the wheel may: in a folder with bars, and a recipe of one's own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.page.runs import read_runs
from stonk_pipeline.contracts.forecast.scores.results import read_comparison
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.market.bars import generate
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest
from tests.installed import Installed
from tests.served import TINY

RECIPE = """
base: small
grpo_first: {steps: 2}
grpo_second: {steps: 2}
model: {backend: peft}
sampling: {engine: transformers}
comparison: {engine: transformers, conformal: true}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed where the checkout is not on the path."""
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def walk(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("walk")
    (home / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    for name, bars in generate(load_config("small").data.market).items():
        bars.to_csv(home / f"{name}.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)  # paths in the run's settings count from here
        done = installed.run(home, home / "prefect", "run", "--recipe", "mine.yaml", "--data-dir", ".", "--folds", "2")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert all(f"sft-2: {what}" in done.stderr for what in ("starts", "done in "))
        assert not set("\x1b{") & set(done.stdout + done.stderr)  # neither colours where nobody sees them nor Python
        (directory,) = (home / "results").iterdir()
        yield open_run(directory)


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


def test_walk_forward_runs_without_the_checkout(walk: Run, installed: Installed, tmp_path: Path) -> None:
    started = "\n".join(installed.processes())
    for part in ("/bin/stonk-pipeline run ", "-m tasks.server ", "-m tasks.guard ", "-m stonk_pipeline compare "):
        assert part in started
    assert installed.opened() == set()
    assert read_manifest(walk.stage_dir("compare")).git_commit is None
    installed.run(tmp_path, tmp_path, "preprocess", "--run-dir", "r", "--recipe", str(TINY), "--stock", "NOPE")
    assert installed.opened() == {str(TINY)}  # so it is watched


def test_walk_forward_publishes_the_last_fold(walk: Run) -> None:
    origin = (walk.models_dir / "grpo_lora_2nd" / "origin.json").read_text(encoding="utf-8")
    assert "folds/2" in origin
