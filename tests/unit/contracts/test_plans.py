"""What contracts say of the work of their runs: every step, and more for more work."""

import pytest

from stonk_pipeline.contracts.direction import plan as direction
from stonk_pipeline.contracts.forecast import plan as forecast
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.training.effort import Lengths

WINDOWS = {"train": 5000, "val": 500, "test": 500}
EXAMPLES = {"balanced": 400, "natural": 900, "val": 300, "test": 700}


def worked(recipe, **changes):
    """Step -> what it does, with prompts of 200 tokens."""
    config = load_config(recipe, changes)
    part, counts = (direction, EXAMPLES) if config.contract == "direction" else (forecast, WINDOWS)
    return part.work(config, Lengths(200, 190.0, 40.0), counts)


@pytest.mark.parametrize("recipe", ["default", "direction"])
def test_work_describes_every_step_of_a_run(recipe, tmp_path):
    graph = run_at(tmp_path, load_config(recipe, {})).graph
    work = worked(recipe)
    assert list(work) == list(graph)
    for step, does in work.items():
        assert bool(does.parts) == graph[step].loads_model
        assert (does.teaching is not None) == bool(graph[step].publishes)


def test_work_of_records_cuts_no_windows(tmp_path):
    (tmp_path / "r.jsonl").write_text("")
    assert "preprocess" not in worked("direction", records=str(tmp_path / "r.jsonl"))


def test_work_of_a_training_grows_with_its_steps():
    few, many = (worked("default", grpo_first={"steps": steps})["grpo-first"] for steps in (10, 20))
    assert many.teaching.texts == 2 * few.teaching.texts == 20 * 16 * 8
    assert [part.times for part in few.parts if part is not few.teaching] == [10, 3]  # 0, 8 and 10 are validated


def test_work_of_a_training_by_epochs_is_that_of_its_steps():
    by_epochs = worked("direction", stage_two={"epochs": 2, "prompts_per_step": 12})["stage-two"]
    steps = worked("direction", stage_two={"steps": 150, "prompts_per_step": 12})["stage-two"]
    assert (by_epochs.what, by_epochs.teaching.texts) == (steps.what, steps.teaching.texts)


def test_work_of_a_divergence_reads_each_answer_once_more():
    without, with_it = (worked("direction", stage_one={"beta": beta})["stage-one"].teaching for beta in (0.0, 0.1))
    assert without.unlearned == 0
    assert with_it.unlearned == with_it.texts


def test_work_of_the_comparison_counts_the_windows_that_bands_are_calibrated_on():
    (asked,) = worked("default", comparison={"windows": 100, "conformal": True})["compare"].parts
    assert (asked.prompts, asked.times, asked.starts) == (200, 4, 4)
