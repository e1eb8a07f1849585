"""On a machine with a card: the same stages, with what only CUDA has. `./run_tests.sh tests/gpu`."""

import csv
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.direction.steps import STEPS as DIRECTION
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.models import load
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.child import run_child
from stonk_pipeline.runs.manifest import read_manifest
from stonk_pipeline.sampling.engines import Draws, VllmEngine

VLLM = importlib.util.find_spec("vllm") is not None
BRIEF = {"steps": 4, "prompts_per_step": 4, "group_size": 8, "micro_batch": 16, "save_steps": 2}


def through(directory: Path, recipe: str, graph: dict[str, Any], **settings: Any) -> Run:
    """A run of which each stage was run in a child, as the flow does: vLLM and the trainers do not share a process."""
    config = load_config(recipe, {"models_dir": str(directory / "models"), **settings})
    run = write_run(directory / "run", config)
    for step in graph:
        log = run.directory / "pipeline.log"
        run_child([step, "--run-dir", str(run.directory)], run.config, log, lambda *_: None, lambda _: None)
        assert run.finished(step) is not None, step
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return through(tmp_path_factory.mktemp("cuda"), "small", FORECAST)


def test_all_stages_run_on_the_card(run: Run) -> None:
    assert read_manifest(run.stage_dir("sample")).numbers["engine"] == ("vllm" if VLLM else "transformers")
    # Prompts with their padding behind them are answered with nonsense, and validation would see an eighth of this.
    with (run.stage_dir("grpo-first") / "validation.csv").open(newline="") as stream:
        assert float(next(csv.DictReader(stream))["readable_share"]) > 0.9


def test_the_direction_recipe_runs_on_the_card(tmp_path: Path) -> None:
    comparison = {"windows": 40, "samples": 2, "resamples": 200}
    run = through(
        tmp_path, "direction", DIRECTION, stage_one=BRIEF, stage_two=BRIEF | {"beta": 0.05}, comparison=comparison
    )
    assert read_manifest(run.stage_dir("stage-two")).numbers["steps"] == 4


def test_stages_train_on_four_bit_weights(tmp_path: Path) -> None:
    model = {"name": "stonk-tiny-calls", "backend": "peft", "load_in_4bit": True, "max_seq_length": 1024}
    graph = {step: DIRECTION[step] for step in ("preprocess", "examples", "stage-one")}
    run = through(tmp_path, "direction", graph, model=model, stage_one=BRIEF)
    assert read_manifest(run.stage_dir("stage-one")).numbers["steps"] == 4


def test_training_uses_half_precision_on_the_card() -> None:
    import torch

    loaded = load.load_for_training(ModelConfig(max_seq_length=320), load_config("small").lora, 0)
    assert next(loaded.model.parameters()).device.type == "cuda"
    assert load.compute_dtype() in (torch.bfloat16, torch.float16)


def test_four_bit_weights_load() -> None:
    model = ModelConfig(backend="peft", load_in_4bit=True, max_seq_length=320)
    loaded = load.load_for_training(model, load_config("small").lora, 0)
    assert any("4bit" in type(module).__name__ for module in loaded.model.modules())


@pytest.mark.skipif(not VLLM, reason="vLLM is not installed")
def test_vllm_serves_an_adapter_without_merging(run: Run, tmp_path: Path) -> None:
    engine = VllmEngine(run.config.model, run.models_dir / "sft_lora", seed=0, scratch=tmp_path)
    texts = engine.sample(
        ["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"],
        Draws(2, temperature=1.0, top_p=1.0, max_tokens=8, seed=0),
    )
    assert len(texts[0]) == 2
    assert not (tmp_path / "merged").exists()
