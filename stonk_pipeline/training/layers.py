"""The linear layers of a model, all of which an adapter is put on, whatever the model calls them."""

from collections.abc import Iterator
from typing import Any

from stonk_pipeline.errors import ConfigError


def linear_kinds(network: Any, name: str) -> list[str]:
    """Names of the kinds of linear layers that a model is built of, as PEFT's `target_modules` takes them.

    The layer that gives the tokens is left out. Attention alone underperforms in RL (TRL, "LoRA without regret").

    Example: `["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]` for Phi-3.

    Raises:
        ConfigError: it has no linear layer, as quantised models of another library.
    """
    kinds = sorted({path.rpartition(".")[2] for path, _ in _linear(network)})
    if not kinds:
        raise ConfigError(f"model.name: {name}: no linear layer that an adapter can be put on; choose another model")
    return kinds


def require_all_adapted(network: Any, name: str) -> int:
    """Counts the linear layers of a model that have an adapter.

    Raises:
        ConfigError: some have none; names their kinds.
    """
    from peft.tuners.lora import LoraLayer

    adapted = [path for path, module in network.named_modules() if isinstance(module, LoraLayer)]
    within = tuple(f"{path}." for path in adapted)  # the layer itself and both parts of its adapter
    left = [path for path, _ in _linear(network) if not path.startswith(within)]
    if left:
        kinds = ", ".join(sorted({path.rpartition(".")[2] for path in left}))
        raise ConfigError(
            f"model.name: {name}: {len(left)} of {len(left) + len(adapted)} linear layers ({kinds}) got no adapter; "
            "set model.backend to peft, or choose another model"
        )
    return len(adapted)


def _linear(network: Any) -> Iterator[tuple[str, Any]]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    last = network.get_output_embeddings()
    for path, module in network.named_modules():
        if isinstance(module, Linear | Conv1D) and module is not last:
            yield path, module
