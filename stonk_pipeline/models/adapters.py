"""Checks a LoRA adapter of unknown origin before it is loaded: settings, tensor shapes, finite numbers."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import finite, read_table, shown
from stonk_pipeline.files.weights import Tensor, check_finite, read_header
from stonk_pipeline.models.layers import linear_shapes
from stonk_pipeline.models.trial import outline

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HIGHEST_RANK = 1024
COMMIT = re.compile("[0-9a-f]{40}")
LAYER = re.compile(r"base_model\.model\.(?P<layer>[\w.]+)\.lora_(?P<part>[AB])\.weight", re.ASCII)
PLAIN = frozenset((
    "task_type", "peft_type", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "r", "bias",
    "target_modules", "lora_alpha", "lora_dropout", "init_lora_weights", "megatron_core", "qalora_group_size",
    "fan_in_fan_out",
))  # fmt: skip
"""Settings of PEFT that a plain LoRA has. All others change what an adapter means, or name code, where they are set."""
REMEDY = "give an adapter that this project saved, or a plain LoRA of PEFT"


@dataclass(frozen=True)
class Adapter:
    """The settings of a LoRA adapter, checked against its weights."""

    rank: int
    alpha: float
    base: str
    """Name of the model that it belongs to."""
    revision: str | None = None
    """Commit of that model, where it is one of the hub."""


def require_adapter(directory: Path) -> None:
    """Refuses a directory that holds no adapter at all, before anything else is looked at.

    Raises:
        ConfigError: it has no adapter_config.json.
    """
    if not (directory / CONFIG).is_file():
        raise ConfigError(f"{directory}: no adapter there (it has no {CONFIG})")


def read_adapter(directory: Path, base: Path | None = None, model: str | None = None) -> Adapter:
    """Checks all of an adapter: settings, shapes, and that every number is finite.

    Args:
        directory: of the adapter.
        base: directory of the model that it is to be put on, if that is on this machine. Its settings are read.
        model: that model's name.

    Raises:
        ConfigError: names the file and what is wrong: no safetensors, a rank that its weights do not have, another
            base model, NaN.
    """
    adapter = _read_config(directory)
    path = directory / WEIGHTS
    if not path.is_file():
        raise ConfigError(_no_weights(directory))
    if model is not None and Path(adapter.base).name != Path(model).name:
        raise ConfigError(
            f"{directory / CONFIG}: an adapter of {shown(adapter.base)}, not of {shown(model)}; give --model "
            f"{shown(Path(adapter.base).name)}, or another adapter"
        )
    tensors = read_header(path)
    shapes = _shapes(path, tensors, adapter)
    if base is not None:
        _check_base(path, shapes, base)
    check_finite(path, tensors)
    return adapter


def identity(directory: Path) -> str:
    """Computes the SHA-256 of what an adapter computes with: its tensors, their scale, and its model's commit.

    A file beside them, a remark in a header or settings written in another order make no other model.

    Raises:
        ConfigError: it is no adapter.
    """
    adapter, path = _read_config(directory), directory / WEIGHTS
    if not path.is_file():
        raise ConfigError(_no_weights(directory))
    about = {"alpha": float(adapter.alpha), "rank": adapter.rank, "revision": adapter.revision}
    running = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    with path.open("rb") as stream:
        for name, tensor in sorted(read_header(path).items()):
            running.update(json.dumps([name, tensor.kind, tensor.shape]).encode())
            stream.seek(tensor.start)
            running.update(stream.read(tensor.stop - tensor.start))
    return running.hexdigest()


def _no_weights(directory: Path) -> str:
    pickles = sorted(item.name for item in directory.glob("adapter_model.*") if item.suffix != ".safetensors")
    if pickles:
        return (
            f"{directory / pickles[0]}: a pickle, which can run commands when it is read, so it never is; save the "
            "adapter anew as safetensors"
        )
    return f"{directory}: no {WEIGHTS}; {REMEDY}"


def _read_config(directory: Path) -> Adapter:
    path = directory / CONFIG
    try:
        said = read_table(path, ConfigError, REMEDY)
    except FileNotFoundError as error:
        raise ConfigError(f"{directory}: no adapter there (it has no {CONFIG}); {REMEDY}") from error
    rank, alpha, base = said.get("r"), finite(said.get("lora_alpha")), said.get("base_model_name_or_path")
    if type(rank) is not int or not 1 <= rank <= HIGHEST_RANK:
        raise ConfigError(f"{path}: r is {shown(repr(rank), 40)}, and no rank from 1 to {HIGHEST_RANK}; {REMEDY}")
    if alpha is None or not 0 < alpha < 1e6:
        raise ConfigError(f"{path}: lora_alpha is {shown(repr(said.get('lora_alpha')), 40)}; {REMEDY}")
    if not isinstance(base, str) or not base:
        raise ConfigError(f"{path}: base_model_name_or_path names no model; {REMEDY}")
    _check_kind(path, said)
    commit = said.get("revision")
    return Adapter(rank, alpha, base, commit if isinstance(commit, str) and COMMIT.fullmatch(commit) else None)


def _check_kind(path: Path, said: dict[str, Any]) -> None:
    """Refuses whatever is no plain LoRA."""
    modules = said.get("target_modules")
    plain = isinstance(modules, list) and all(
        isinstance(name, str) and re.fullmatch(r"[\w.]+", name) for name in modules
    )
    if not plain and modules != "all-linear":  # another text is a pattern, and a pattern can run for ever
        raise ConfigError(f"{path}: target_modules is no list of layers; {REMEDY}")
    allowed = {"peft_type": ("LORA",), "bias": ("none", None), "init_lora_weights": (True, None)}
    allowed["fan_in_fan_out"] = (True, False, None)  # PEFT goes by the layer itself: GPT-2's are turned
    wrong = [name for name, values in allowed.items() if said.get(name) not in values]
    wrong += [name for name, value in said.items() if value and name not in PLAIN]
    if wrong:
        value = shown(repr(said.get(wrong[0])), 40)
        raise ConfigError(f"{path}: {shown(wrong[0], 40)} is {value}, and plain LoRA alone is read; {REMEDY}")


def _shapes(path: Path, tensors: dict[str, Tensor], adapter: Adapter) -> dict[str, tuple[int, int]]:
    """Layer -> (outputs, inputs), where A is (rank, inputs) and B is (outputs, rank)."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        found = LAYER.fullmatch(name)
        if found is None:
            raise ConfigError(f"{path}: {shown(name, 60)!r} is no part of a plain LoRA; {REMEDY}")
        rank_axis = 0 if found["part"] == "A" else 1
        if len(tensor.shape) != 2 or 0 in tensor.shape or tensor.shape[rank_axis] != adapter.rank:
            raise ConfigError(
                f"{path}: {shown(name, 100)!r} has the shape {list(tensor.shape)}, and {CONFIG} says rank "
                f"{adapter.rank}; {REMEDY}"
            )
        parts.setdefault(found["layer"], {})[found["part"]] = tensor.shape
    lone = [layer for layer, two in parts.items() if len(two) != 2]
    if lone or not parts:
        raise ConfigError(f"{path}: {shown(lone[0], 60) if lone else 'no layer'} has not both A and B; {REMEDY}")
    return {layer: (two["B"][0], two["A"][1]) for layer, two in parts.items()}


def _check_base(path: Path, shapes: dict[str, tuple[int, int]], base: Path) -> None:
    """Compares the layers with the model's as transformers has them: files may name and turn them in another way."""
    known = linear_shapes(outline(base))
    for layer, shape in shapes.items():
        there = known.get(layer)
        if there != shape:
            what = "has no such linear layer" if there is None else f"has it as {list(there)}"
            raise ConfigError(
                f"{path}: adapts {shown(layer, 60)} of {list(shape)}, and the model in {base} {what}; it belongs to "
                "another model: give that one as --model"
            )
