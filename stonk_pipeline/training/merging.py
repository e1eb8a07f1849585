"""Writes a model with an adapter merged into its weights."""

import json
import os
from pathlib import Path

from stonk_pipeline import folders
from stonk_pipeline.config import ModelConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.publishing import ORIGIN
from stonk_pipeline.runs import json_digest, output_files, write_atomic
from stonk_pipeline.training.locations import of_adapter
from stonk_pipeline.training.models import save_merged


def merge(model: ModelConfig, adapter: Path, out: Path) -> None:
    """Writes a merged model as a directory, whole or not at all, with a note of what it was made from.

    Args:
        model: the adapter's base.
        adapter: directory of the adapter.
        out: directory to write; an earlier merge there is replaced.

    Raises:
        ConfigError: there is a folder that no merge has made.
    """
    out = Path(os.path.abspath(out))  # `..` has no name to put a new folder beside
    _require_own(out)
    new = out.with_name(f".{out.name}.{os.getpid()}.new")
    folders.remove(new)
    new.mkdir(parents=True)
    save_merged(model, adapter, new)
    model = of_adapter(model, adapter)
    origin = {
        "base": model.name,
        "revision": model.revision,
        "adapter": str(adapter.resolve()),
        "digest": json_digest(output_files(adapter)),
    }
    write_atomic(new / ORIGIN, json.dumps(origin, indent=2))
    _require_own(out)  # it took a while
    folders.replace(new, out)


def _require_own(out: Path) -> None:
    folders.require_own(out, (out / ORIGIN).is_file(), ConfigError, "give --out a folder of its own")
