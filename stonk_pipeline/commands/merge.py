"""Writes a model with an adapter merged into its weights."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files import folders
from stonk_pipeline.models.load import save_merged
from stonk_pipeline.models.locations import base_directory, of_adapter
from stonk_pipeline.pipeline.places import MERGE, ORIGIN, is_note, require_outside, table_of
from stonk_pipeline.runs.manifest import json_digest, output_files, write_atomic

REMEDY = "give --out a folder of its own"
ENDINGS = (".json", ".jinja", ".model", ".safetensors", ".tiktoken", "merges.txt", "vocab.txt")
"""Of the files that a merge writes; an earlier version did not note their names."""


def _nothing(directory: Path) -> None:
    """What is added to a merged model that is only merged."""


def merge(model: ModelConfig, adapter: Path, out: Path, add: Callable[[Path], None] = _nothing) -> None:
    """Writes a merged model as a directory, whole or not at all, with a note of what it was made from.

    Args:
        model: the adapter's base.
        adapter: directory of the adapter.
        out: directory to write; an earlier merge there is replaced.
        add: adds files to the merged model before it stands in its place; it is given where that is written.

    Raises:
        ConfigError: there is a folder that no merge has made; or it is, holds or lies in what is merged, or lies in a
            stage, another model or a run.
    """
    out = require_mergeable(model, adapter, out)
    base = of_adapter(model, adapter)
    _require_apart(out, [base_directory(base)])
    folders.sweep(out.parent, out.name)
    with folders.scratch(out) as scratch:
        save_merged(model, adapter, scratch)
        add(scratch)
        origin = {
            "base": base.name,
            "revision": base.revision,
            "adapter": str(adapter.resolve()),
            "digest": json_digest(output_files(adapter)),
            "files": sorted(output_files(scratch)),
        }
        write_atomic(scratch / ORIGIN, json.dumps(origin, indent=2))
        _require_own(out)  # it took a while
        folders.replace(scratch, out)


def require_mergeable(model: ModelConfig, adapter: Path, out: Path) -> Path:
    """Refuses a directory that a merge may not write, and returns it as an absolute path; errors as of `merge`."""
    out = Path(os.path.abspath(out))  # `..` has no name to put a new folder beside
    _require_own(out)
    _require_apart(out, [adapter, base_directory(model)])
    return out


def _require_own(out: Path) -> None:
    require_outside(out, ConfigError, REMEDY)
    origin = table_of(out / ORIGIN)
    own = is_note(origin, MERGE)
    folders.require_own(out, own, ConfigError, REMEDY)
    if own:
        files = origin.get("files")
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out).as_posix()
            known = path.name.endswith(ENDINGS) if files is None else isinstance(files, list) and name in files
            if not known and name != ORIGIN and not path.is_dir():
                raise ConfigError(f"{path}: not made by a merge; move it away, or {REMEDY}")


def _require_apart(out: Path, inputs: list[Path]) -> None:
    """Refuses to write where that is which is merged."""
    place = out.resolve()
    for path in inputs:
        other = path.resolve()
        if path.exists() and (place == other or place in other.parents or other in place.parents):
            raise ConfigError(f"{out}: it is, holds or lies in {path}, which is merged; {REMEDY}")
