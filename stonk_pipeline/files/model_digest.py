"""Computes SHA-256 digests of a base model's files and caches them, so that gigabytes are read only once.

What was read is noted in this user's cache folder. A note is of a file's place on the disk, size and times, of which a
program cannot set the last (`ctime`): a file that was written to since has another one, and is read again.
"""

import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.files.folders import write_atomic
from stonk_pipeline.files.provenance import file_digest
from stonk_pipeline.files.weights import weight_files

READ = (
    "config.json", "generation_config.json", "tokenizer*.json", "tekken.json", "*.model", "*.model.v*", "*.tiktoken",
    "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "chat_template*",
    "additional_chat_templates/*.jinja",
)  # fmt: skip
"""Settings, tokenizers and templates that a model is loaded from; what else lies there has no part in it."""
INDEX = "model.safetensors.index.json"
LEAST = 4_000_000
"""Bytes of a file that is worth a note."""
SETTLED_SECONDS = 2.0
"""Age from which a file is noted: two changes within a tick of the clock leave the same time."""
MOST = 1_000
"""Notes that are kept, the newest."""
DIGEST = re.compile("[0-9a-f]{64}")


def model_digests(directory: Path) -> dict[str, str]:
    """Computes the SHA-256 of each file of a base model: settings, tokenizer, templates and weights.

    Raises:
        StageError: there is none.
    """
    try:
        return {path.relative_to(directory).as_posix(): _digest(path) for path in model_files(directory)}
    except (OSError, ConfigError) as error:
        raise StageError(f"{directory}: no whole model there ({error}); put it back, or give another") from error


def model_files(directory: Path) -> list[Path]:
    """Lists the files that a model is loaded from: settings, tokenizer and templates by their names, and weights."""
    others = {path for form in READ for path in directory.glob(form) if path.is_file()}
    weights = weight_files(directory)
    index = [] if weights == [directory / "model.safetensors"] else [directory / INDEX]
    return [*sorted(others), *index, *weights]


def _digest(path: Path) -> str:
    found = path.stat()
    if found.st_size < LEAST:
        return file_digest(path)
    identity = _identity(found)
    known = _read().get(identity)
    if known is not None:
        return known
    digest = file_digest(path)
    settled = time.time() - found.st_ctime > SETTLED_SECONDS
    if settled and _identity(path.stat()) == identity:
        _write(identity, digest)
    return digest


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def cache() -> Path:
    """Returns `stonk-pipeline` in the user's cache folder, which holds only what can be computed again."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "stonk-pipeline"


def _cache() -> Path:
    return cache() / "digests.json"


def _read() -> dict[str, str]:
    """All notes; none where the file is missing or damaged."""
    with suppress(OSError, ValueError, RecursionError):
        notes: Any = json.loads(_cache().read_bytes())
        if isinstance(notes, dict):
            return {name: said for name, said in notes.items() if isinstance(said, str) and DIGEST.fullmatch(said)}
    return {}


def _write(identity: str, digest: str) -> None:
    """Adds a note. Of two processes that write at once, one note is lost, and its file is read once more."""
    notes = _read()
    notes.pop(identity, None)
    kept = dict([*notes.items(), (identity, digest)][-MOST:])
    with suppress(OSError):  # a home that cannot be written to costs time alone
        path = _cache()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(kept, indent=0))
