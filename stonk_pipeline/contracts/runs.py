"""Begins runs, opens them again, and checks their comparisons, whatever their contract is."""

from pathlib import Path

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.files import folders
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.pipeline.compared import DIRECTORY, require_of_run
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import CONFIG, Run, require_run_dir
from stonk_pipeline.runs.manifest import verify, write_atomic


def run_at(directory: Path, config: RunConfig) -> Run:
    """Returns a run of these settings, whether or not its directory is there."""
    return Run(directory, config, contract_of(config))


def write_run(directory: Path, config: RunConfig) -> Run:
    """Makes or reopens a run's directory, and those of its folds, and writes the resolved settings there.

    Raises:
        StageError: the directory holds what is not a run's.
    """
    require_run_dir(directory)
    directory.mkdir(parents=True, exist_ok=True)
    folders.sweep(directory)
    write_atomic(directory / CONFIG, config.model_dump_json(indent=2))
    run = run_at(directory.resolve(), config)
    for fold in run.folds:
        write_run(fold.directory, fold.config)
    return run


def open_run(directory: Path) -> Run:
    """Reads a run's settings.

    Raises:
        StageError: the directory is not a run.
    """
    path = directory / CONFIG
    try:
        settings = read_table(path, StageError, "begin a run with the preprocess step")
    except FileNotFoundError as error:
        raise StageError(
            f"{directory}: no run lies here ({path.name} is missing); give the directory of one, as in results, or "
            "begin one with the preprocess step"
        ) from error
    return run_at(directory.resolve(), make_config(settings, source=str(path)))


def require_comparison(directory: Path) -> str:
    """Checks a run's comparison before it is shown: its seal, every file of it, and the stages that it is of.

    A run that was given other settings since is not done any more, and may be shown all the same.

    Args:
        directory: of the run; its settings and the stages before may be missing.

    Returns:
        What a reader has to know of it, a sentence; empty if it is of the run as it lies there.

    Raises:
        StageError: the comparison is not finished, was changed since, or is of other stages than lie in the run.
    """
    manifest = verify(directory / DIRECTORY)
    if not (directory / CONFIG).is_file():
        return f"{CONFIG} is missing: what this run was to be compared with cannot be told."
    try:
        run = open_run(directory)
    except ConfigError as error:
        return f"The settings of this run cannot be read any more: {error}"
    require_of_run(run, manifest)
    if manifest.config != run.spec(COMPARE).settings(run.config).model_dump(mode="json"):
        return (
            f"This comparison was made on {manifest.finished[:10]} with other settings than the run has now; "
            "--continue makes it anew."
        )
    return ""
