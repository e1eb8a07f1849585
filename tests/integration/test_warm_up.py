"""A model of random weights that never saw the form of an answer goes through a whole run, and ends with a verdict."""

import json
from pathlib import Path

import pytest

from stonk_pipeline.commands.report import write_report
from stonk_pipeline.contracts.forecast.scores.evidence import MODELS
from stonk_pipeline.contracts.forecast.scores.results import read_comparison
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest
from tests.served import TINY
from tests.tiny_models import fresh_llama

SETTINGS = {
    "data": {"horizon": 3, "market": {"tickers": 1, "days": 400}},
    "prompt": {"indicators": False, "statistics": False},
    "lora": {"rank": 32},
    "warmup": {"when": "auto", "examples": 800, "epochs": 3.0, "batch_size": 8, "learning_rate": 0.005}
    | {"evaluations": 1, "windows": 16},
    "grpo_first": {"max_completion_length": 120},
    "sampling": {"max_tokens": 120, "min_skill": -10.0},
    "grpo_second": {"max_completion_length": 120},
    "comparison": {"max_tokens": 120, "temperature": 0.5, "top_p": 0.97},
}
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("fresh")
    places = {"models_dir": str(home / "models")}
    model = {"name": str(fresh_llama(home / "llama")), "max_seq_length": 512}
    run = write_run(home / "run", load_config(str(TINY), SETTINGS | places | {"model": model}))
    for step in run.graph:
        run.execute(step, lambda *_: None)
    return run


def test_a_model_that_never_saw_the_form_is_taught_it_and_judged(run: Run) -> None:
    numbers = read_manifest(run.stage_dir("warm-up")).numbers
    assert numbers["trained"]
    assert numbers["val_readable_share_start"] == 0
    assert numbers["val_readable_share"] > 0.5
    assert numbers["val_skill_median"] < 0.05  # of random forecasts
    comparison = read_comparison(run.stage_dir("compare"))
    unread = {name: sum(comparison.unreadable[name].values()) for name in MODELS}
    assert unread.pop("base") == 8 * 2  # as it was, and counted
    assert max(unread.values()) < 8
    assert comparison.verdict.sentence


def test_trainings_go_on_from_the_warm_up_and_their_adapters_are_of_the_base_model(run: Run) -> None:
    for step in ("grpo-first", "sft"):
        assert read_manifest(run.stage_dir(step)).inputs["start"] == read_manifest(run.stage_dir("warm-up")).digest
        about = json.loads((run.stage_dir(step) / "adapter" / "adapter_config.json").read_text())
        assert (about["base_model_name_or_path"], about["r"]) == (run.config.model.name, 32)
    published = {path.name for path in run.models_dir.iterdir()}
    assert published == {"grpo_lora_1st", "sft_lora", "grpo_lora_2nd"}


def test_report_shows_what_could_be_read_before_and_after(run: Run) -> None:
    page = Path(write_report(run.directory)).read_text(encoding="utf-8")
    assert "The form brought no skill" in page
    assert "readable answers" in page and "0.0% →" in page
