"""Builds a base model without its weights to test whether adapters can be put on it.

Layers without numbers (torch's `meta` device) cost a fraction of a second, whatever the size of the model.
"""

from pathlib import Path
from typing import Any

from stonk_pipeline.config.training import LoraConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.weights import told
from stonk_pipeline.models.fitting import outlined
from stonk_pipeline.models.layers import put_adapters, require_all_adapted

REMEDY = "choose one that writes a text word by word"
UNPADDED = ("doge", "minimax", "recurrent_gemma", "rwkv", "xlstm")
"""Architectures whose code in transformers 5.17 answers otherwise beside padding, or from a cache, than alone."""


def try_adapters(directory: Path, lora: LoraConfig, name: str) -> int:
    """Puts an adapter on every linear layer of a model without weights, as a training does on the real one.

    Args:
        directory: of the model's settings.
        lora: shape of the adapter.
        name: of the model, for errors.

    Returns:
        Parameters of the model itself.

    Raises:
        ConfigError: it is no causal language model, or some of its linear layers cannot have an adapter.
    """
    network = outline(directory)
    if network.config.model_type in UNPADDED:
        raise ConfigError(
            f"model.name: {name}: {network.config.model_type} takes padding for words, and trainings and engines of "
            "transformers pad; choose another model"
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    require_all_adapted(put_adapters(network, lora, name), name)
    return parameters


def outline(directory: Path) -> Any:
    """Builds a model's network without weights, its layers named and shaped as transformers has them.

    Raises:
        ConfigError: it is no causal language model; its weights, where they are there, do not fit its settings.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, AutoConfig

    with told(str(directory)):
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    both_ways = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or both_ways or getattr(config, "is_encoder_decoder", False):
        raise ConfigError(f"{directory / 'config.json'}: {config.model_type} is no causal language model; {REMEDY}")
    return outlined(str(directory))
