"""Checks safetensors files of unknown origin before they are loaded, and refuses any other format."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from stonk_pipeline.errors import ConfigError, PipelineError
from stonk_pipeline.files.model_settings import REMEDY, check_config, of_text
from stonk_pipeline.files.untrusted import MEGABYTE, is_name, parse_json, read_table, reason, shown

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
SIZES |= {"U8": 1, "U16": 2, "U32": 4, "U64": 8, "BOOL": 1}
"""Bytes of a number of each type."""
LARGEST_HEADER = 32 * MEGABYTE
PIECE = 16 * MEGABYTE
"""Numbers that are looked at together."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
NO_WEIGHTS = re.compile(r"(^|[._])inv_freq$|(^|\.)(attn|attention)\.(masked_)?bias$|(^|\.)(causal_mask|position_ids)$")
"""Names of what older versions of transformers saved and newer ones compute: rotary frequencies and masks."""
AHEAD = re.compile(r"(^|\.)mtp[._]")
"""Layers that predict several tokens at once (MTP), which transformers leaves out."""
LAYER = re.compile(r"(^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class Tensor:
    """Type, shape and place of one tensor, as the file states them."""

    kind: str
    shape: tuple[int, ...]
    start: int
    """Place of its first byte in the file."""
    stop: int


def read_header(path: Path) -> dict[str, Tensor]:
    """Reads the list of tensors of a safetensors file, without their numbers.

    Raises:
        ConfigError: it is no such file, or its header does not agree with its length.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not path.is_file() or not 2 <= length <= min(size - 8, LARGEST_HEADER):
                raise ConfigError(f"{path}: no safetensors file, or cut off; {REMEDY}")
            header = parse_json(stream.read(length), path, ConfigError, REMEDY)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no weights there that can be read; {_hint(path)}") from error
    if not isinstance(header, dict):
        raise ConfigError(f"{path}: its header is no table; {REMEDY}")
    tensors = {name: _tensor(path, name, said, 8 + length) for name, said in header.items() if name != "__metadata__"}
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.start):
        if tensor.start != end:
            raise ConfigError(f"{path}: its tensors overlap or leave gaps; {REMEDY}")
        end = tensor.stop
    if end != size:
        raise ConfigError(f"{path}: has {size:,} bytes, and its header says {end:,}; {REMEDY}")
    return tensors


def _hint(path: Path) -> str:
    """A remedy; where there are pickles instead, that they are not read."""
    found = (
        sorted(item.name for item in path.parent.glob("*") if item.suffix in PICKLES) if path.parent.is_dir() else []
    )
    why = f"{shown(found[0])} is a pickle, which can run commands when it is read, so it never is; " if found else ""
    return why + "save the model anew as safetensors"


def _tensor(path: Path, name: str, said: Any, offset: int) -> Tensor:
    said = said if isinstance(said, dict) else {}
    shape, places, kind = (said.get(part) for part in ("shape", "data_offsets", "dtype"))
    if not _counts(shape) or not _counts(places) or len(places) != 2 or kind not in list(SIZES):
        raise ConfigError(f"{path}: {shown(name, 60)!r} has no type, shape or place; {REMEDY}")
    if places[1] - places[0] != SIZES[kind] * math.prod(shape):
        raise ConfigError(f"{path}: {shown(name, 60)!r} has a shape that its bytes do not have; {REMEDY}")
    return Tensor(kind, tuple(shape), offset + places[0], offset + places[1])


def _counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(part) is int and 0 <= part < 2**40 for part in value)


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Reads the numbers of a safetensors file and refuses NaN and infinite ones.

    Raises:
        ConfigError: names the first tensor with NaN or an infinite number.
    """
    import numpy as np

    for name, tensor in tensors.items():
        if tensor.kind not in ("F64", "F32", "F16", "BF16"):
            raise ConfigError(f"{path}: {shown(name, 60)!r} is of type {tensor.kind}, and no plain numbers; {REMEDY}")
        form = {"F64": "<f8", "F32": "<f4"}.get(tensor.kind, "<f2" if tensor.kind == "F16" else "<u2")
        count = math.prod(tensor.shape)
        if not count:
            continue
        numbers = np.memmap(path, dtype=form, mode="r", offset=tensor.start, shape=(count,))
        for start in range(0, count, PIECE):
            piece = np.asarray(numbers[start : start + PIECE])
            # bfloat16: all bits of the exponent set, which NumPy has no type for
            wrong = (piece & 0x7F80) == 0x7F80 if tensor.kind == "BF16" else ~np.isfinite(piece)
            if wrong.any():
                raise ConfigError(
                    f"{path}: {shown(name, 100)!r} has NaN or infinite numbers; take another checkpoint, or train again"
                )


def check_model(directory: Path) -> None:
    """Checks a directory of a whole model: its config, and that its weights are whole safetensors.

    Raises:
        ConfigError: names the file and what is wrong with it.
    """
    config = of_text(check_config(directory))
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        tensors |= read_header(path)
    embedding = tensors.get("model.embed_tokens.weight")
    said = (config.get("vocab_size"), config.get("hidden_size"))
    if embedding is not None and embedding.shape != said:
        raise ConfigError(
            f"{directory / 'config.json'}: vocab_size and hidden_size are {shown(said, 60)}, and the weights have "
            f"{list(embedding.shape)}; {REMEDY}"
        )
    layers = {name.split(".")[2] for name in tensors if name.startswith("model.layers.")}
    wanted = config.get("num_hidden_layers")
    whole = _layers(wanted, config.get("num_nextn_predict_layers"))
    if layers and wanted != len(layers) != whole.stop:
        raise ConfigError(
            f"{directory / 'config.json'}: num_hidden_layers is {shown(wanted, 40)}, and the weights have "
            f"{len(layers)}; {REMEDY}"
        )


def weight_files(directory: Path) -> list[Path]:
    """Lists the safetensors files of a model: one, or those that its index names.

    Raises:
        ConfigError: the index is damaged, or names a file that is elsewhere.
    """
    index = directory / "model.safetensors.index.json"
    if (directory / "model.safetensors").exists() or not index.is_file():
        return [directory / "model.safetensors"]
    named = read_table(index, ConfigError, REMEDY).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ConfigError(f"{index}: no weight_map; {REMEDY}")
    for name in named.values():
        if not isinstance(name, str) or not is_name(name) or not name.endswith(".safetensors"):
            raise ConfigError(f"{index}: {shown(name, 60)!r} is no safetensors file beside it; {REMEDY}")
    return [directory / name for name in sorted(set(named.values()))]


def check_loaded(location: str, info: Mapping[str, Any], config: Any = None) -> None:
    """Refuses a model of which transformers reports missing, unused or misshaped weights.

    Those that were not there it makes up at random, and those that the model has no place for it leaves out.

    Args:
        location: directory of the model.
        info: what transformers says.
        config: the model's settings, as transformers read them.

    Raises:
        ConfigError: some were missing, of another shape, or left out.
    """
    missing = [str(name) for name in info.get("missing_keys") or ()]
    missing += [str(name[0] if isinstance(name, tuple) else name) for name in info.get("mismatched_keys") or ()]
    if missing or info.get("error_msgs"):
        said = sorted(missing)[0] if missing else "some of them"
        raise ConfigError(f"{location}: its weights do not fit its config.json (no {shown(said, 80)}); {REMEDY}")
    left = sorted(str(name) for name in info.get("unexpected_keys") or () if not _spared(str(name), config))
    if left:
        raise ConfigError(
            f"{location}: its config.json names a model without {shown(left[0], 80)}, so {len(left)} of its tensors "
            "would be left out; copy config.json and weights of one model there"
        )


def _spared(name: str, config: Any) -> bool:
    """Whether a tensor may be left out. What transformers itself ignores, it does not name."""
    if NO_WEIGHTS.search(name) or AHEAD.search(name):
        return True
    layer, text = LAYER.search(name), None if config is None else config.get_text_config()
    ahead = _layers(*(getattr(text, part, None) for part in ("num_hidden_layers", "num_nextn_predict_layers")))
    return layer is not None and int(layer[2]) in ahead


def _layers(count: Any, ahead: Any) -> range:
    """Numbers of the layers that predict several tokens at once, which follow the others; none where none are named."""
    return range(count, count + ahead) if type(count) is int and type(ahead) is int else range(0)


@contextmanager
def told(location: str) -> Iterator[None]:
    """Turns a library's error about a model directory into one of this project; adds nothing for a hub name.

    Raises:
        ConfigError: whatever the library raises, but for a lack of memory.
    """
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # tokenizers raise Exception itself, transformers whatever a wrong setting leads to
        if not Path(location).is_dir() or "out of memory" in str(error).lower():
            raise
        why = f"{type(error).__name__}: {reason(error)}"
        raise ConfigError(f"{location}: not readable as a model ({shown(why)}); {REMEDY}") from error
