"""Trackers: said to be missing before a run, told where to write, and nothing that a result depends on."""

import importlib.util
import os
from pathlib import Path

import pytest

from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.errors import EngineError
from stonk_pipeline.training.tracking import PACKAGES, Tracked, arguments, require_tracker, tracked


@pytest.mark.parametrize("tracker", PACKAGES)
def test_missing_tracker_is_said_before_a_training_with_how_to_install_it(
    tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=rf"report_to is '{tracker}'.*pip install {tracker}`"):
        require_tracker(tracker)
    run = run_at(tmp_path, CONTRACTS[0].settings(report_to=tracker, models_dir=str(tmp_path / "models")))
    with pytest.raises(EngineError, match="not installed"):
        run.require_inputs("grpo-first")
    assert not list(tmp_path.iterdir())


def test_no_tracker_is_asked_for_by_default() -> None:
    require_tracker(None)
    assert arguments() == {"report_to": []}


def test_tracked_names_project_and_run_and_leaves_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    with tracked(Tracked("trackio", "AAPL_1", "sft-2", tmp_path / "tracking")):
        assert arguments() == {"report_to": ["trackio"], "project": "AAPL_1", "run_name": "sft-2"}
        assert os.environ["TRACKIO_DIR"] == str(tmp_path / "tracking")
        assert os.environ["WANDB_PROJECT"] == "mine"
    assert arguments() == {"report_to": []}
    assert "TRACKIO_DIR" not in os.environ
    assert os.environ["WANDB_PROJECT"] == "mine"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_tracker_is_no_setting_of_any_stage(contract) -> None:
    plain, reported = contract.settings(), contract.settings(report_to="trackio")
    for step in contract.steps(plain).values():
        assert step.settings(plain) == step.settings(reported), step.name
