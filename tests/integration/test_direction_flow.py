"""The direction recipe as a whole, on the real stack: both stages, the gate, the comparison, the registry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.contracts.direction.scores.results import read_calls, read_transition
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.contest import read_trial
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import read_manifest
from tests.served import environment

pytestmark = pytest.mark.timeout(1200)
ROOT = Path(__file__).parents[2]
SHORT = {
    "data.market.tickers": 3,
    "data.market.days": 700,
    "comparison.windows": 60,
    "comparison.samples": 2,
    "comparison.resamples": 200,
} | {
    f"{stage}.{name}": value
    for stage in ("stage_one", "stage_two")
    for name, value in {
        "steps": 2,
        "save_steps": 1,
        "prompts_per_step": 4,
        "micro_batch": 32,
        "validation_windows": 8,
    }.items()
}


def flow(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with two steps in each stage."""
    home = tmp_path_factory.mktemp("direction")
    places = ["--results-dir", str(home / "results"), "--models-dir", str(home / "models")]
    changes = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    done = flow(home, "--recipe", "direction", *places, *changes)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "evidence of skill" in done.stdout.lower() or "too little data" in done.stdout.lower()
    (directory,) = (home / "results").iterdir()
    return open_run(directory)


def test_direction_flow_leaves_what_the_documents_name(finished: Run) -> None:
    assert all(finished.finished(step) for step in finished.graph)
    comparison = read_calls(finished.stage_dir("compare"))
    assert [model.name for model in comparison.models] == ["base", "stage_one", "stage_two"]
    assert comparison.models[0].row.unreadable_share < 0.2  # the embedded model knows the form
    assert (finished.stage_dir("compare") / "test_results.log").read_text(encoding="utf-8").strip()
    assert (finished.directory / "report.html").stat().st_size < 5 << 20
    assert {path.name for path in finished.models_dir.iterdir()} >= {"direction_lora_1st", "direction_lora_2nd"}
    about = json.loads((finished.models_dir / "direction_lora_2nd" / "adapter_config.json").read_text())
    assert about["r"] == finished.config.stage_one.lora.rank + finished.config.stage_two.lora.rank


def test_direction_flow_registers_its_model_which_is_judged_and_exported(finished: Run, tmp_path: Path) -> None:
    trial = read_trial(finished)
    assert trial is not None
    entry = Registry(finished.config.models_dir).find(trial.model)
    assert entry.step == "stage-two"
    assert entry.key.endswith("-direction")
    assert entry.verdict is not None
    assert trial.decision.outcome in ("refused", "too little data", "promoted")
    models = ["--models-dir", str(finished.config.models_dir)]
    assert main(["export", entry.id[:6], *models, "--out", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"**{entry.verdict.sentence}**" in card
    assert "the better baseline | accuracy" in card
    assert "News, oldest first" in card
    assert "<answer>up 2.5% confidence 75%</answer>" in card


def test_strict_gate_ends_the_run_with_stage_one(finished: Run, tmp_path: Path) -> None:
    before = read_manifest(finished.stage_dir("stage-one")).finished
    done = flow(tmp_path, "--continue", str(finished.directory), "--gate", "strict")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = read_transition(finished.stage_dir("gate"))
    assert (found.passed, found.go_on) == (False, False)
    comparison = read_calls(finished.stage_dir("compare"))
    assert [model.name for model in comparison.models] == ["base", "stage_one"]
    assert read_manifest(finished.stage_dir("stage-one")).finished == before


def test_test_command_tests_a_saved_adapter(finished: Run, tmp_path: Path) -> None:
    adapter = finished.models_dir / "direction_lora_1st"
    command = [sys.executable, "-m", "stonk_pipeline", "test", "--run-dir", str(finished.directory)]
    command += ["--adapter", str(adapter), "--out", str(tmp_path / "tested")]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = (tmp_path / "tested" / "test_results.log").read_text(encoding="utf-8")
    assert said.strip() in done.stdout
    assert "accuracy" in said.lower()
