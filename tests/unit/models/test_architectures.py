"""Base models of many architectures, tiny and random: what is trained is merged and asked, or refused before that."""

import shutil
from pathlib import Path

import pytest

from stonk_pipeline.commands import plan
from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.models.load import join_adapters, load_for_training, load_merged, save_adapter, save_merged
from stonk_pipeline.models.trial import try_adapters
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.sampling.known import require_known
from tests.tiny_models import SHAPE, random_model

LORA = LoraConfig(rank=2)
MIXED = {"layer_types": ["linear_attention", "full_attention"]}
LINEAR = {f"linear_{part}": 2 for part in ("num_value_heads", "num_key_heads", "key_head_dim", "value_head_dim")}
EXPERTS = {"num_experts_per_tok": 1, "moe_intermediate_size": 32}
ROUTED = {**EXPERTS, "n_routed_experts": 2, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8}
SETTINGS = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "deepseek_v3": {**ROUTED, **LATENT, "num_key_value_heads": 4},
    "glm4_moe": ROUTED,
    "qwen3_next": {**MIXED, **LINEAR, **EXPERTS, "num_experts": 2, "shared_expert_intermediate_size": 32},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "phimoe": {"num_local_experts": 2, "num_experts_per_tok": 1},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1},
    "mamba": {"state_size": 8, "num_layers": 2},
}
DRAWS = Draws(n=2, temperature=0.0, top_p=1.0, max_tokens=6, seed=0)
PROMPTS = [f"<|im_start|>user\n{'100.0 ' * count}<|im_end|>\n<|im_start|>assistant\n" for count in (1, 4)]


def config_of(kind):
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[kind](**(SHAPE | SETTINGS.get(kind, {})))


def settings_of(directory: Path) -> ModelConfig:
    return ModelConfig(name=str(directory), max_seq_length=320, backend="peft")


def trained(model: ModelConfig, out: Path):
    """An adapter of random numbers, and the network that it was made on."""
    import torch

    loaded = load_for_training(model, LORA, 0)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(loaded, model, out)
    return loaded


def logits(network):
    import torch

    with torch.no_grad():
        return network.eval()(torch.tensor([[5, 6, 7, 8]]), use_cache=False).logits


@pytest.mark.parametrize(
    ("kind", "layers"),
    [("gpt2", 8), ("deepseek_v3", 16), ("glm4_moe", 14), ("qwen3_next", 15), ("lfm2", 12), ("phimoe", 8)],
)
def test_every_linear_layer_is_trained_asked_and_merged(tmp_path, kind, layers):
    import torch

    model = settings_of(random_model(tmp_path / kind, config_of(kind)))
    loaded = trained(model, tmp_path / "adapter")
    assert loaded.adapted_layers == layers
    expected = logits(loaded.model)
    torch.testing.assert_close(logits(load_merged(model, tmp_path / "adapter")[0]), expected)
    assert not torch.equal(logits(load_merged(model, None)[0]), expected)
    answers = TransformersEngine(loaded.model, loaded.tokenizer).sample(PROMPTS, DRAWS)
    alone = [TransformersEngine(loaded.model, loaded.tokenizer).sample([prompt], DRAWS)[0] for prompt in PROMPTS]
    assert answers == alone
    assert [len(set(each)) for each in answers] == [1, 1]


@pytest.mark.parametrize("kind", ["gpt2", "glm4_moe"])
def test_an_adapter_on_a_merged_one_is_joined_to_it(tmp_path, kind):
    import torch

    model = settings_of(random_model(tmp_path / kind, config_of(kind)))
    trained(model, tmp_path / "first")
    save_merged(model, tmp_path / "first", tmp_path / "merged")
    expected = logits(trained(settings_of(tmp_path / "merged"), tmp_path / "second").model)
    shutil.copy(tmp_path / "first" / "adapter_config.json", tmp_path / "second")  # of the base, as a training names it
    join_adapters(tmp_path / "first", tmp_path / "second")
    torch.testing.assert_close(logits(load_merged(model, tmp_path / "second")[0]), expected)


@pytest.mark.parametrize("without", ["model.", "transformer."])
def test_weights_named_without_the_prefix_take_their_adapter(tmp_path, without):
    from safetensors.torch import load_file, save_file

    model = settings_of(random_model(tmp_path / "model", config_of("qwen2" if without == "model." else "gpt2")))
    weights = tmp_path / "model" / "model.safetensors"
    named = {name.removeprefix(without): tensor for name, tensor in load_file(weights).items()}
    save_file(named, weights, {"format": "pt"})
    trained(model, tmp_path / "adapter")
    load_merged(model, tmp_path / "adapter")
    config_of("opt").save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="has no such linear layer; it belongs to another model"):
        read_adapter(tmp_path / "adapter", tmp_path / "other")


def test_fan_in_fan_out_that_is_no_yes_or_no_is_refused(tmp_path):
    model = settings_of(random_model(tmp_path / "model", config_of("gpt2")))
    trained(model, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(path.read_text().replace('"fan_in_fan_out": true', '"fan_in_fan_out": "so"'))
    with pytest.raises(ConfigError, match="fan_in_fan_out is 'so'"):
        load_merged(model, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("falcon_h1", "its linear layers cannot all have an adapter .*; choose another model"),
        ("mamba", "its linear layers cannot all have an adapter .*; choose another model"),
        ("rwkv", "rwkv takes padding for words"),
        ("bert", "bert is no causal language model; choose one"),
        ("t5", "t5 is no causal language model; choose one"),
    ],
)
def test_what_cannot_be_trained_is_refused_without_weights(tmp_path, kind, message):
    config_of(kind).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=message):
        try_adapters(tmp_path, LORA, kind)
    with pytest.raises(ConfigError, match=message):
        load_for_training(settings_of(tmp_path), LORA, 0)  # before it looks for them
    with pytest.raises(ConfigError, match=message):
        plan.tried(run_at(tmp_path, PipelineConfig(model=settings_of(tmp_path))))


def test_a_trial_counts_the_models_own_parameters(tmp_path):
    from transformers import AutoModelForCausalLM

    config = config_of("llama")
    config.save_pretrained(tmp_path)
    assert try_adapters(tmp_path, LORA, "llama") == AutoModelForCausalLM.from_config(config).num_parameters()


def test_a_model_that_vllm_can_run_is_known_without_asking_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "vllm", None)  # an import would fail
    config_of("llama").save_pretrained(tmp_path)
    require_known(tmp_path, "llama")
