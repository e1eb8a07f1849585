"""What vLLM cannot run on a CPU is known before it is started, and before hours of training."""

import importlib.util
import logging

import pytest

from stonk_pipeline.commands.plan import look
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import UnknownModelError
from stonk_pipeline.models.trial import outline
from stonk_pipeline.pipeline.base_model import settled
from stonk_pipeline.sampling import known
from stonk_pipeline.sampling.engines import open_engine
from tests.tiny_models import SHAPE, random_model

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
REFUSED = (
    r"^model\.name: .*odd: vLLM cannot run this model \(its heads have a size of 8, and on a CPU vLLM computes those "
    r"of 32, 64, .* alone\); set sampling\.engine and comparison\.engine to 'auto' or 'transformers'$"
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A Llama with heads of a size that vLLM's build for CPUs has no code for."""
    from transformers import LlamaConfig

    return random_model(tmp_path_factory.mktemp("models") / "odd", LlamaConfig(**SHAPE))


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    monkeypatch.setattr(known, "cuda", lambda: False)


def config(model, **settings):
    few = {"data": {"market": {"tickers": 1, "days": 500}}}
    return load_config("small", {"model": {"name": str(model)}} | few | settings)


@pytest.mark.parametrize(
    ("kind", "settings", "sizes"),
    [
        ("llama", {"head_dim": 16}, {16}),
        ("gpt_neox", {}, {8}),
        ("gpt2", {"hidden_size": 128, "num_attention_heads": 2}, {64}),
        ("opt", {"word_embed_proj_dim": 32}, {8}),
        ("deepseek_v3", {"kv_lora_rank": 8}, set()),
    ],
)
def test_head_sizes_are_those_of_the_layers(tmp_path, kind, settings, sizes):
    from transformers import CONFIG_MAPPING

    CONFIG_MAPPING[kind](**(SHAPE | settings)).save_pretrained(tmp_path)
    assert known.head_sizes(outline(tmp_path)) == sizes


@pytest.mark.parametrize("part", ["sampling", "comparison"])
def test_vllm_that_is_asked_for_and_cannot_run_the_model_is_refused_before_anything_starts(odd, part):
    with pytest.raises(UnknownModelError, match=REFUSED):
        settled(config(odd, **{part: {"engine": "vllm"}}))
    settled(config("stonk-tiny", **{part: {"engine": "vllm"}}))


def test_auto_takes_transformers_and_says_why_in_one_line(odd, tmp_path, caplog):
    model = ModelConfig(name=str(odd), max_seq_length=320)
    with caplog.at_level(logging.WARNING):
        engine = open_engine("vllm", model, None, seed=0, scratch=tmp_path, wanted="auto")
    assert engine.name == "transformers"
    (said,) = [record.getMessage() for record in caplog.records if "vLLM" in record.getMessage()]
    assert said.endswith("alone); transformers answers in its place") and "\n" not in said
    with pytest.raises(UnknownModelError, match=REFUSED):
        open_engine("vllm", model, None, seed=0, scratch=tmp_path, wanted="vllm")
    assert [text for text in look(config(odd)).warnings if "vLLM" in text] == [said]
