"""Adapters on every linear layer, whatever a model calls them."""

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.models.layers import require_all_adapted
from stonk_pipeline.models.load import load_for_training
from tests.tiny_models import SHAPE, random_model

LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("LlamaConfig", LLAMA),
        ("Phi3Config", {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
        ("PhiConfig", {"q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"}),
    ],
)
def test_every_linear_layer_gets_an_adapter(tmp_path, name, kinds):
    import transformers

    model = random_model(tmp_path / "model", getattr(transformers, name)(**SHAPE))
    loaded = load_for_training(ModelConfig(name=str(model), backend="peft"), LoraConfig(rank=2), 0)
    assert set(loaded.model.peft_config["default"].target_modules) == kinds
    assert loaded.adapted_layers == SHAPE["num_hidden_layers"] * len(kinds)


def test_layers_without_an_adapter_are_refused_by_number_and_kind():
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, Phi3Config

    network = AutoModelForCausalLM.from_config(Phi3Config(**SHAPE))
    network = get_peft_model(network, PeftLoraConfig(r=2, target_modules=sorted(LLAMA), task_type="CAUSAL_LM"))
    with pytest.raises(ConfigError, match=r"4 of 8 linear layers \(gate_up_proj, qkv_proj\) got no adapter"):
        require_all_adapted(network, "phi")
