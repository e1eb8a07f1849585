"""SmolLM2, a real language model that knows English: its conversion, and each stage on it with few steps."""

import csv
import sys
from pathlib import Path

import pytest

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.models import load
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from plain_english import next_words, perplexity, right_words

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(3600)]

GRPO = {
    **{"steps": 2, "prompts_per_step": 2, "group_size": 4, "micro_batch": 8, "save_steps": 2},
    **{"validation_windows": 4, "validation_samples": 1},
}
FEW = {
    "data": {"market": {"tickers": 2, "days": 400}},
    "warmup": {"examples": 240, "evaluations": 1, "learning_rate": 0.002, "windows": 8, "samples": 1},
    "grpo_first": GRPO,
    "grpo_second": GRPO,
    "sampling": {"engine": "vllm", "windows": 24, "samples": 2, "min_skill": -9.0},
    "sft": {"epochs": 1, "evaluations": 1, "batch_size": 8, "learning_rate": 0.0005},
    "comparison": {"engine": "transformers", "windows": 8, "samples": 2, "resamples": 100},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the recipe with few steps, from its bars to its verdict."""
    directory = tmp_path_factory.mktemp("real")
    made = write_run(directory / "run", load_config("smollm2", FEW | {"models_dir": str(directory / "models")}))
    for step in made.graph:
        made.execute(step, lambda *_: None)
    return made


def test_converted_model_knows_english() -> None:
    network, tokenizer = load.load_base(ModelConfig(name="smollm2"))
    assert perplexity(network, tokenizer) < 40
    said = next_words(network, tokenizer)
    assert right_words(said) >= 5, said


def test_warm_up_teaches_the_form(run: Run) -> None:
    numbers = read_manifest(run.stage_dir("warm-up")).numbers
    assert numbers["trained"] and numbers["val_readable_share_start"] == 0
    assert numbers["val_readable_share"] > 0.5


@pytest.mark.parametrize("step", ["grpo-first", "sft", "grpo-second"])
def test_trainings_adapt_every_linear_layer(run: Run, step: str) -> None:
    assert read_manifest(run.stage_dir(step)).numbers["adapted_layers"] == 7 * 30
    assert (run.stage_dir(step) / "adapter" / "adapter_model.safetensors").is_file()


def test_answers_are_drawn_with_vllm_and_most_can_be_read(run: Run) -> None:
    numbers = read_manifest(run.stage_dir("sample")).numbers
    assert numbers["engine"] == "vllm"
    with (run.stage_dir("sample") / "rejected.csv").open(newline="") as stream:
        unread = [row for row in csv.DictReader(stream) if not row["forecast"]]
    assert len(unread) < numbers["answers"] / 2


def test_run_ends_with_a_verdict_on_base_and_trained_models(run: Run) -> None:
    numbers = read_manifest(run.stage_dir("compare")).numbers
    assert numbers["verdict"]
    assert {"skill_base", "skill_sft", "skill_grpo_2nd"} <= numbers.keys()
