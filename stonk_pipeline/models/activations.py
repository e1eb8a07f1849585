"""Decides whether a training keeps what its backward pass needs, or computes it again (gradient checkpointing).

To compute it again takes less memory and a third more work; TRL always does.
"""

from typing import Any

from stonk_pipeline.models.layers import widest
from stonk_pipeline.runs.machine import main_memory

SINGLE = 4
"""Bytes of a number in float32."""
SHARE = 4
"""A machine keeps activations if they take no more than this part of its memory: the fourth."""
UNKNOWN = 8_000_000_000
"""Bytes of memory that are counted on where the machine does not say."""


def usual_activations(width: int, inner: int) -> float:
    """Bytes that a layer of Llama's kind keeps of a token for the backward pass, float32.

    A little more than was counted: 17.3 numbers for each of SmolLM2-135M's width, 18.8 for stonk-tiny's.

    Args:
        width: numbers of a token between two layers.
        inner: numbers of a token in the widest part of a layer.
    """
    return float(SINGLE * (8 * width + 4 * inner))


def recomputes(tokens: float, layers: int, width: int, inner: int, *, on_gpu: bool) -> bool:
    """Tells whether activations are computed again in the backward pass: always on a GPU, else where they are large.

    Args:
        tokens: that a forward and backward pass has at most, padding included.
        layers: of the model.
        width: see `usual_activations`.
        inner: see `usual_activations`.
        on_gpu: whether it is trained there.
    """
    if on_gpu:
        return True
    memory = main_memory()
    room = (memory.total if memory is not None else UNKNOWN) / SHARE
    return tokens * layers * usual_activations(width, inner) > room


def recomputes_in(network: Any, tokens: float) -> bool:
    """Tells the same of a network that is loaded."""
    config = network.config.get_text_config()
    size = (config.num_hidden_layers, config.hidden_size, widest(network))
    return recomputes(tokens, *size, on_gpu=network.device.type == "cuda")
