"""Reads the sizes of a base model from its files, or from its outline where the weights are not here yet."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline.files.weights import read_header, weight_files

NO_LAYER = (
    "embed",
    "lm_head",
    "wte",
    "wpe",
    "gate.weight",
    "router",
    "norm",
    "experts.",
    "rotary",
    "position",
    "score",
)
"""Parts of the names of matrices that get no adapter; `gate_proj` and the like do."""


class Weights(NamedTuple):
    """How many numbers a model has."""

    parameters: int
    adapted: int
    """Inputs and outputs of all layers that get an adapter: its numbers for each of its ranks."""


class Shape(NamedTuple):
    """Sizes of a model."""

    weights: Weights
    vocabulary: int
    width: int
    """Numbers of a token between two layers."""
    inner: int
    """Numbers of a token in the widest part of a layer."""
    layers: int
    kept: int
    """Keys and values that a token leaves in the cache."""
    reach: float = math.inf
    """Tokens that every layer sees; see `packing.reach`."""

    @property
    def of_layers(self) -> int:
        """Counts the numbers of all layers, without the vocabulary's."""
        return max(self.weights.parameters - self.vocabulary * self.width, 0)


def weights_of(directory: Path) -> Weights | None:
    """Counts a model's numbers by the headers of its files, without torch; None where its weights are not here."""
    files = weight_files(directory)
    if not all(path.is_file() for path in files):
        return None
    return count((name, tensor.shape) for path in files for name, tensor in read_header(path).items())


def count(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> Weights:
    """Counts the numbers of named tensors.

    Example:
        >>> count([("model.embed_tokens.weight", (100, 8)), ("layers.0.mlp.up_proj.weight", (16, 8)), ("b", (16,))])
        Weights(parameters=944, adapted=24)
    """
    parameters = adapted = 0
    for name, shape in tensors:
        parameters += math.prod(shape)
        if len(shape) == 2 and not any(part in name for part in NO_LAYER):
            adapted += sum(shape)
    return Weights(parameters, adapted)


def shape_of(network: Any) -> Shape:
    """Reads the sizes of a network of transformers, which needs no numbers (torch's `meta` device)."""
    from stonk_pipeline.models.layers import linear_shapes, widest
    from stonk_pipeline.sampling.engines import kept_bytes
    from stonk_pipeline.training.packing import reach

    config = network.config.get_text_config()
    last = network.get_output_embeddings()
    named = {path: sizes for path, sizes in linear_shapes(network).items() if network.get_submodule(path) is not last}
    weights = Weights(
        sum(parameter.numel() for parameter in network.parameters()), sum(sum(sizes) for sizes in named.values())
    )
    return Shape(
        weights,
        vocabulary=config.vocab_size,
        width=config.hidden_size,
        inner=widest(network),
        layers=config.num_hidden_layers,
        kept=kept_bytes(config, 1),
        reach=reach(config),
    )


def without_numbers(directory: Path) -> Shape:
    """Reads the sizes of a model whose weights need not be here.

    Raises:
        ConfigError: it is no causal language model, or its weights do not fit its settings.
    """
    from stonk_pipeline.models.trial import outline

    return shape_of(outline(directory))
