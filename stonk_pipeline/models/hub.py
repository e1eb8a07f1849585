"""Finds the commit behind a name on the Hugging Face hub and downloads a model's files into the hub's cache.

Fetched are settings, tokenizer, templates and safetensors of the top level; never pickles, and never code.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from stonk_pipeline.errors import ConfigError, DownloadError, PipelineError
from stonk_pipeline.files.folders import write_atomic
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.files.weights import check_model, weight_files
from stonk_pipeline.models.adapters import COMMIT

ASKING_SECONDS = 10
DEFAULT = "main"
OUTLINE = ("*.json", "*.jinja", "*.model", "*.tiktoken", "vocab*.txt", "merges.txt")
"""All of a model but its weights."""
IGNORED = ("*/*", "adapter_*")
"""Other forms of the model in folders; an adapter beside it, which libraries would put on it unasked."""
REMEDY = "give a directory of a model, or another name"


def snapshot(name: str, revision: str | None) -> Path:
    """Returns where a model's files are in the cache, or would be, without asking the hub."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    return folder / "snapshots" / (_cached_commit(folder, revision or DEFAULT) or "unknown")


def _cached_commit(folder: Path, revision: str) -> str | None:
    """The commit that a branch or tag had when this machine last asked."""
    if COMMIT.fullmatch(revision):
        return revision
    with suppress(OSError, ValueError):
        known = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
        return known if COMMIT.fullmatch(known) else None
    return None


@lru_cache
def commit_of(name: str, revision: str | None) -> str:
    """Asks which commit a branch or tag (by default the main branch) has now; without a connection, what it had.

    Raises:
        ConfigError: there is no such model or revision.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    from huggingface_hub import HfApi

    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    there = snapshot(name, revision)
    try:
        with _telling(name, revision):
            commit = HfApi().model_info(name, revision=revision, timeout=ASKING_SECONDS).sha
    except PipelineError:
        if (there / "config.json").is_file():
            return there.name
        raise
    if commit is None or not COMMIT.fullmatch(commit):
        raise DownloadError(f"model.name: {name}: the hub names no commit of it; try again, or {REMEDY}")
    _note(there.parent.parent / "refs" / (revision or DEFAULT), commit)
    return commit


def _note(path: Path, commit: str) -> None:
    """Notes a branch's commit as the hub's library does, for a time without a connection."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, commit)


def outline(name: str, commit: str) -> Path:
    """Returns the directory of a commit's files without the weights, downloading those that are missing.

    Raises:
        ConfigError: there is no such commit, or no permission.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    there = snapshot(name, commit)
    try:
        return _fetch(name, commit, OUTLINE)
    except PipelineError:
        if (there / "config.json").is_file():  # what is missing besides is said by those who need it
            return there
        raise


def whole(name: str, commit: str) -> Path:
    """Returns the directory of all files of a commit, downloading those that are missing.

    Raises:
        ConfigError: there is no such commit, no permission, or its files are damaged.
        DownloadError: some are not on this machine, and the hub cannot be asked.
    """
    there = snapshot(name, commit)
    if is_whole(there):
        return there
    weights = [path.name for path in weight_files(outline(name, commit))]
    return _fetch(name, commit, (*OUTLINE, *weights))


def is_whole(directory: Path) -> bool:
    """Tells whether a model is there with its weights; damaged files are found by `check_model`."""
    try:
        return (directory / "config.json").is_file() and all(path.is_file() for path in weight_files(directory))
    except ConfigError:
        return False


def check(directory: Path) -> None:
    """Checks a whole model in the cache.

    Raises:
        ConfigError: its files are damaged.
    """
    try:
        check_model(directory)
    except ConfigError as error:
        raise ConfigError(f"{error}; remove {directory.parent.parent}, and it is fetched again") from error


def require_weights(name: str, commit: str, directory: Path) -> None:
    """Checks that the weights are safetensors, on this machine or, by their names, on the hub.

    Raises:
        ConfigError: they are pickles, missing or damaged.
        DownloadError: the hub cannot be asked.
    """
    if is_whole(directory):
        check(directory)
        return
    from huggingface_hub import HfApi

    with _telling(name, commit):
        info = HfApi().model_info(name, revision=commit, timeout=ASKING_SECONDS)
    names = {file.rfilename for file in info.siblings or []}
    missing = [path.name for path in weight_files(directory) if path.name not in names]
    if missing:
        pickles = sorted(file for file in names if file.endswith((".bin", ".pt", ".pth", ".ckpt")))
        why = f", and {shown(pickles[0], 60)} is a pickle, which can run commands when it is read" if pickles else ""
        raise ConfigError(
            f"model.name: {name}: has no {shown(missing[0], 60)}{why}; choose a model whose weights are safetensors, "
            "or save it anew as such"
        )


def _fetch(name: str, commit: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    with _telling(name, commit):
        return Path(
            snapshot_download(name, revision=commit, allow_patterns=list(patterns), ignore_patterns=list(IGNORED))
        )


@contextmanager
def _telling(name: str, revision: str | None) -> Iterator[None]:
    """Tells what the hub, or its library, says of a name as this project does."""
    import httpx
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    place = f"model.name: {name}"
    try:
        validate_repo_id(name)
        if constants.HF_HUB_OFFLINE:
            raise ConfigError(f"{place}: not on this machine, and HF_HUB_OFFLINE is set; {REMEDY}")
        yield
    except PipelineError:
        raise
    except HFValidationError as error:
        raise ConfigError(f"{place}: neither a directory here nor a name; {REMEDY}") from error
    except GatedRepoError as error:
        raise ConfigError(
            f"{place}: its owner asks for an agreement: accept it at {constants.ENDPOINT}/{name}, and log in with "
            "`hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(
            f"model.revision: {revision}: {name} has no such commit, tag or branch; give another"
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(f"{place}: there is no such model, or it is private; {REMEDY}") from error
    except (OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno == errno.ENOSPC):
            raise  # of this machine's disk
        raise DownloadError(
            f"{place}: not whole on this machine, and {constants.ENDPOINT} cannot be asked "
            f"({shown(f'{type(error).__name__}: {error}')}); try again with a connection, or {REMEDY}"
        ) from error
