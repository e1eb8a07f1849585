"""Puts LoRA adapters on every linear layer of a model, whatever the model calls its layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stonk_pipeline.config.training import LoraConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import reason, shown


def linear_kinds(network: Any, name: str) -> list[str]:
    """Names the kinds of linear layers that a model is built of, as PEFT's `target_modules` takes them.

    The layer that gives the tokens is left out. Attention alone underperforms in RL (TRL, "LoRA without regret").

    Example: `["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]` for Phi-3.

    Raises:
        ConfigError: it has no linear layer, as quantised models of another library.
    """
    kinds = sorted({path.rpartition(".")[2] for path, _ in _linear(network)})
    if not kinds:
        raise ConfigError(f"model.name: {name}: no linear layer that an adapter can be put on; choose another model")
    return kinds


def put_adapters(network: Any, lora: LoraConfig, name: str) -> Any:
    """Puts a trainable adapter on every linear layer of a model, through PEFT.

    Raises:
        ConfigError: PEFT has no adapter for this architecture.
    """
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model
    from transformers.pytorch_utils import Conv1D

    shape = PeftLoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha or lora.rank,
        lora_dropout=lora.dropout,
        target_modules=linear_kinds(network, name),
        fan_in_fan_out=any(isinstance(module, Conv1D) for _, module in _linear(network)),
        task_type="CAUSAL_LM",
    )
    try:
        with layers_as_named(network):
            return get_peft_model(network, shape)
    except ValueError as error:
        raise ConfigError(
            f"model.name: {name}: its linear layers cannot all have an adapter ({shown(reason(error))}); choose "
            "another model"
        ) from error


@contextmanager
def layers_as_named(network: Any) -> Iterator[None]:
    """Lets PEFT take names of layers for names of layers.

    Where transformers 4 had each expert's `gate_proj` as a layer and version 5 has all in one tensor (DeepSeek, GLM-4
    MoE, Qwen3-Next), PEFT takes the names for those of the experts, and the shared experts and dense layers of the same
    names get nothing (0.21, `convert_peft_config_for_transformers`). It goes by the model's type, which is another one
    meanwhile; the types that it refuses for their kernels keep theirs.
    """
    from peft.utils import transformers_weight_conversion as conversion

    config = network.config
    if config.model_type not in conversion._MODEL_TO_CONVERSION_PATTERN:
        yield
        return
    before = config.model_type
    config.model_type = f"{before}, layers as named"
    try:
        yield
    finally:
        config.model_type = before


def require_all_adapted(network: Any, name: str, remedy: str = "choose another model") -> int:
    """Counts the linear layers of a model that have an adapter.

    Raises:
        ConfigError: some have none, or something else has one, which would not be a plain LoRA; names their kinds.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.lora.layer import ParamWrapper

    found = {path: module for path, module in network.named_modules() if isinstance(module, LoraLayer)}
    adapted = [path for path, module in found.items() if not isinstance(module, ParamWrapper)]
    within = tuple(f"{path}." for path in adapted)  # the layer itself and both parts of its adapter
    left = [path for path, _ in _linear(network) if not path.startswith(within)]
    if left:
        kinds = ", ".join(sorted({path.rpartition(".")[2] for path in left}))
        raise ConfigError(
            f"model.name: {name}: {len(left)} of {len(left) + len(adapted)} linear layers ({kinds}) got no adapter; "
            f"{remedy}"
        )
    if len(adapted) < len(found):
        raise ConfigError(f"model.name: {name}: experts that are no linear layers got an adapter; {remedy}")
    return len(adapted)


def _linear(network: Any) -> Iterator[tuple[str, Any]]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    last = network.get_output_embeddings()
    for path, module in network.named_modules():
        is_linear = isinstance(module, Linear | Conv1D) and not type(module).__name__.endswith("Router")
        if is_linear and module is not last:  # a router chooses experts: Phi-3.5-MoE's is a linear layer by name alone
            yield path, module


def widest(network: Any) -> int:
    """Counts the numbers of a token in the widest part of a layer, with or without adapters."""
    last = network.get_output_embeddings()
    shapes = linear_shapes(network)
    inside = [max(sizes) for path, sizes in shapes.items() if network.get_submodule(path) is not last]
    return max(inside, default=4 * network.config.get_text_config().hidden_size)


def linear_shapes(network: Any) -> dict[str, tuple[int, int]]:
    """Returns outputs and inputs of each linear layer, the last one included, whichever way its weights are turned."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    shapes = {}
    for path, layer in network.named_modules():
        if isinstance(layer, Linear):
            shapes[path] = (layer.out_features, layer.in_features)
        elif isinstance(layer, Conv1D):
            shapes[path] = (layer.nf, layer.nx)
    return shapes
