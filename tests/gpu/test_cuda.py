"""On a machine with a card: the same stages, with what only CUDA has. `./run_tests.sh tests/gpu`."""

from pathlib import Path

import pytest

from stonk_pipeline import dag, pipeline
from stonk_pipeline.config import ModelConfig, load_config
from stonk_pipeline.runs import read_manifest
from stonk_pipeline.sampling.engines import Draws, VllmEngine
from stonk_pipeline.training import models


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    directory = tmp_path_factory.mktemp("cuda")
    config = load_config("small", {"models_dir": str(directory / "models")})
    return pipeline.write_run(directory / "run", config)


def test_all_stages_run_on_the_card(run: pipeline.Run) -> None:
    from stonk_pipeline.process import run_child

    for step in dag.FORECAST:  # a child for each, as the flow does: vLLM and the trainers do not share a process
        run_child(
            [step, "--run-dir", str(run.directory)],
            run.config,
            run.directory / "pipeline.log",
            lambda *_: None,
            lambda _: None,
        )
        assert run.finished(step) is not None
    assert read_manifest(run.stage_dir("sample")).numbers["engine"] == "vllm"


def test_training_uses_half_precision_on_the_card() -> None:
    import torch

    loaded = models.load_for_training(ModelConfig(max_seq_length=320), load_config("small").lora, 0)
    assert next(loaded.model.parameters()).device.type == "cuda"
    assert models.compute_dtype() in (torch.bfloat16, torch.float16)


def test_four_bit_weights_load() -> None:
    model = ModelConfig(backend="peft", load_in_4bit=True, max_seq_length=320)
    loaded = models.load_for_training(model, load_config("small").lora, 0)
    assert any("4bit" in type(module).__name__ for module in loaded.model.modules())


def test_vllm_serves_an_adapter_without_merging(run: pipeline.Run, tmp_path: Path) -> None:
    engine = VllmEngine(run.config.model, run.models_dir / "sft_lora", seed=0, scratch=tmp_path)
    texts = engine.sample(
        ["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"],
        Draws(2, temperature=1.0, top_p=1.0, max_tokens=8, seed=0),
    )
    assert len(texts[0]) == 2
    assert not (tmp_path / "merged").exists()
