"""SmolLM2, a real language model that knows English: its conversion, and each stage on it with few steps."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.models import load
from stonk_pipeline.pipeline.run import Run

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from cuda_cases import taught
from plain_english import next_words, perplexity, right_words

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(3600)]

GRPO = {
    **{"steps": 2, "prompts_per_step": 2, "group_size": 4, "micro_batch": 8, "save_steps": 2},
    **{"validation_windows": 4, "validation_samples": 1},
}
FEW = {
    "data": {"market": {"tickers": 2, "days": 400}},
    "grpo_first": GRPO,
    "grpo_second": GRPO,
    "sampling": {"engine": "vllm", "windows": 24, "samples": 2, "min_skill": -9.0},
    "sft": {"epochs": 1, "evaluations": 1, "batch_size": 8, "learning_rate": 0.002},
    "comparison": {"engine": "transformers", "windows": 8, "samples": 2, "resamples": 100},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the recipe with few steps, its windows made."""
    directory = tmp_path_factory.mktemp("real")
    config = load_config("smollm2", FEW | {"models_dir": str(directory / "models")})
    made = write_run(directory / "run", config)
    made.execute("preprocess", lambda *_: None)
    return made


def stage(run: Run, step: str, name: str, **inputs: Path) -> tuple[Path, Mapping[str, Any]]:
    """Runs a stage on other inputs than the run's own: its directory and its numbers."""
    spec, out = run.spec(step), run.directory / name
    out.mkdir()
    dataset = {"dataset": run.stage_dir("preprocess")} if step != "sft" else {}
    return out, spec.load().body(spec.settings(run.config), dataset | inputs, out, lambda *_: None)


@pytest.fixture(scope="module")
def in_form(run: Run) -> Path:
    """SmolLM2, fine-tuned for some steps on unskilled answers: it has seen the form of an answer."""
    out, numbers = stage(run, "sft", "form", examples=taught(run, 20))
    assert numbers["val_loss"] < 2
    return out


def test_converted_model_knows_english() -> None:
    network, tokenizer = load.load_base(ModelConfig(name="smollm2"))
    assert perplexity(network, tokenizer) < 40
    said = next_words(network, tokenizer)
    assert right_words(said) >= 5, said


def test_first_grpo_trains_every_linear_layer(run: Run) -> None:
    out, numbers = stage(run, "grpo-first", "grpo")
    assert (numbers["steps"], numbers["adapted_layers"]) == (2, 7 * 30)
    assert (out / "adapter" / "adapter_model.safetensors").is_file()


def test_stages_go_through_from_answers_in_the_form(run: Run, in_form: Path) -> None:
    examples, numbers = stage(run, "sample", "examples", policy=in_form)
    assert numbers["engine"] == "vllm"
    with (examples / "rejected.csv").open(newline="") as stream:
        unread = [row for row in csv.DictReader(stream) if not row["forecast"]]
    assert len(unread) < numbers["answers"] / 2
    tuned, _ = stage(run, "sft", "tuned", examples=examples)
    second, numbers = stage(run, "grpo-second", "second", start=tuned)
    with (second / "training_log.csv").open(newline="") as stream:
        assert any(float(row["readable_share"]) > 0 for row in csv.DictReader(stream))
    _, numbers = stage(run, "compare", "compared", grpo_1st=in_form, sft=tuned, grpo_2nd=second)
    assert numbers["verdict"]
    assert {"skill_base", "skill_sft", "skill_grpo_2nd"} <= numbers.keys()
