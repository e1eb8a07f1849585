"""What contracts estimate of their runs: every step, and more for more work."""

import pytest

from stonk_pipeline.contracts.direction import plan as direction
from stonk_pipeline.contracts.forecast import plan as forecast
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at

WINDOWS = {"train": 5000, "val": 500, "test": 500}
EXAMPLES = {"balanced": 400, "natural": 900, "val": 300, "test": 700}


def worked(recipe, **changes):
    """Step -> operations a parameter, with prompts of 200 tokens."""
    config = load_config(recipe, changes)
    part, counts = (direction, EXAMPLES) if config.contract == "direction" else (forecast, WINDOWS)
    return {step: operations for step, (_, operations) in part.work(config, 200, counts).items()}


@pytest.mark.parametrize("recipe", ["default", "direction"])
def test_work_estimates_every_step_of_a_run(recipe, tmp_path):
    graph = run_at(tmp_path, load_config(recipe, {})).graph
    work = worked(recipe)
    assert list(work) == list(graph)
    assert all((operations > 0) == graph[step].loads_model for step, operations in work.items())


def test_work_of_records_cuts_no_windows(tmp_path):
    (tmp_path / "r.jsonl").write_text("")
    assert "preprocess" not in worked("direction", records=str(tmp_path / "r.jsonl"))


def test_work_of_a_training_grows_with_its_answers_and_their_length():
    usual = worked("default", grpo_first={"steps": 10, "max_completion_length": 40})["grpo-first"]
    assert worked("default", grpo_first={"steps": 20, "max_completion_length": 40})["grpo-first"] == 2 * usual
    assert worked("default", grpo_first={"steps": 10, "max_completion_length": 280})["grpo-first"] == 2 * usual


def test_work_of_a_training_by_epochs_is_that_of_its_steps():
    by_epochs = worked("direction", stage_two={"epochs": 2, "prompts_per_step": 12})["stage-two"]
    assert by_epochs == worked("direction", stage_two={"steps": 150, "prompts_per_step": 12})["stage-two"]


def test_work_of_a_divergence_reads_each_answer_once_more():
    without, with_it = (worked("direction", stage_one={"beta": beta})["stage-one"] for beta in (0.0, 0.1))
    assert with_it == 1.2 * without
