"""Recognises folders of this project by the mark in them, so that nothing is written inside a stage or a model.

A stage is emptied, and is not done with a file in it that it has not made; an adapter that is published, a merged model
and a registered one are replaced as a whole. What somebody had made inside would go with them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import PipelineError, StageError
from stonk_pipeline.files import folders
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.runs.manifest import LOCK, MANIFEST, MARK, read_manifest

CONFIG = "config.json"
"""Settings of a run, in its directory."""
ORIGIN = "origin.json"
"""Where a published adapter or a merged model came from, beside it."""
ENTRY = "entry.json"
"""What is known of a registered model, beside its adapter."""
RUN = "a run"
STAGE = "a stage"
FOLDS = "folds"
"""Directory of a walk-forward's folds, each a run of its own, below the run's."""
LOG = "pipeline.log"
OWN = (LOCK, LOG)
"""Files in a run's directory besides its stages and its settings, made before those."""
TRACKING = "tracking"
"""What an experiment tracker keeps of a run's trainings, below the run's."""
MORE = ("promotion", "report.html", "test", TRACKING)
"""What a run with stages may have besides, made after those."""
REMEDY = "give the run a directory of its own"
PUBLICATION = ("run", "step", "digest", "finished")
MERGE = ("base", "adapter", "digest")


def is_settings(table: Mapping[str, Any]) -> bool:
    """Tells whether a `config.json` is a run's, also of an earlier version: other programs write such files too."""
    data, model = table.get("data"), table.get("model")
    named = all(isinstance(table.get(name), str) for name in ("results_dir", "models_dir"))
    inner = isinstance(data, dict) and {"data_dir", "stocks"} <= data.keys()
    return named and inner and isinstance(model, dict) and "name" in model


def is_note(table: Mapping[str, Any], names: Collection[str]) -> bool:
    """Tells whether an `origin.json` is one of a publication (`PUBLICATION`) or of a merge (`MERGE`)."""
    return all(isinstance(table.get(name), str) for name in names)


def table_of(path: Path) -> dict[str, Any]:
    """Reads a JSON object; an empty one where there is none, or none that can be read."""
    try:
        return read_table(path, StageError, "")
    except (OSError, StageError):
        return {}


def is_stage(directory: Path) -> bool:
    """Tells whether a folder is a stage's: it bears its mark, or a manifest (if taken over from another run)."""
    if (directory / MARK).is_file():
        return True
    try:
        return (directory / MANIFEST).is_file() and bool(read_manifest(directory).stage)
    except StageError:
        return False


def kind_of(directory: Path) -> str | None:
    """Says what of this project's a folder is, for a message; None if it bears no mark."""
    if is_stage(directory):
        return STAGE
    if is_settings(table_of(directory / CONFIG)):
        return RUN
    origin = table_of(directory / ORIGIN)
    if is_note(origin, PUBLICATION):
        return "a published adapter"
    if is_note(origin, MERGE):
        return "a merged model"
    return "a registered model" if is_note(table_of(directory / ENTRY), ("id", "key", "registered")) else None


def require_outside(
    path: Path, fail: type[PipelineError], remedy: str, *, of: Path | None = None, runs: bool = True
) -> None:
    """Refuses to make something inside a stage, a model or a run.

    Args:
        path: what is to be made.
        fail: kind of error to raise.
        remedy: what to do, for the message.
        of: a run whose own it is: it may lie in that one, and in the walk-forward of which that one is a fold.
        runs: whether it must lie outside of all other runs too.

    Raises:
        PipelineError: `fail`; it would.
    """
    mine = [] if of is None else [of.resolve(), *walk_of(of.resolve())]
    for parent in path.resolve().parents:
        kind = kind_of(parent)
        if kind is None or (kind == RUN and (not runs or parent in mine)):
            continue
        raise fail(f"{path}: lies in {parent}, which is {kind}; {remedy}")


def walk_of(directory: Path) -> list[Path]:
    """Finds the walk-forward run that has a run as its fold, if the place says so."""
    return [directory.parents[1]] if directory.parent.name == FOLDS else []


def require_run_dir(directory: Path) -> None:
    """Refuses a directory that holds something else than a run, before anything is written there.

    Raises:
        StageError: it does, such as a checkout or the `config.json` of a model; it lies in a stage, a model or another
            run; or one of the files that a run writes to is a link.
    """
    require_outside(directory, StageError, REMEDY, of=directory)
    for name in OWN:
        if (directory / name).is_symlink():
            leads = (directory / name).readlink()
            raise StageError(f"{directory / name}: a link to {leads}, and nothing is written behind links; remove it")
    own = is_settings(table_of(directory / CONFIG))
    spared = OWN if own else (*OWN, *_parts(directory))  # of a run whose settings were lost
    folders.require_own(directory.resolve(), own, StageError, REMEDY, spared=spared)


def _parts(directory: Path) -> list[str]:
    """Names in a directory that a run has there: stages, folds, and what is made after those; none without stages."""
    there = list(directory.iterdir()) if directory.is_dir() else []
    stages = [path.name for path in there if is_stage(path) or (path.name == FOLDS and _are_runs(path))]
    return [*stages, *MORE] if stages else []


def _are_runs(folder: Path) -> bool:
    return folder.is_dir() and all(
        is_settings(table_of(path / CONFIG)) or bool(_parts(path)) for path in folder.iterdir()
    )
