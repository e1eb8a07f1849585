"""Whether a run's comparison is what its stage left, and of the models and windows that lie in the run."""

from pathlib import Path

from stonk_pipeline.contracts.direction.scores.verdict import CallVerdict
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.evaluation.results import Verdict
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.pipeline.run import CONFIG, Run, open_run
from stonk_pipeline.runs.manifest import MANIFEST, MODEL, Manifest, read_manifest, verify

COMPARE = "compare"
DIRECTORY = "model_comparison"


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


def require_of_run(run: Run, manifest: Manifest) -> None:
    """Checks that a comparison is of the very stages that lie in its run, where they are there.

    Raises:
        StageError: names one that it is not of, or whose own manifest was changed.
    """
    for name, path in run.inputs(COMPARE).items():
        if name == MODEL or not (path / MANIFEST).is_file():
            continue
        there = read_manifest(path)
        if there != there.sealed():
            raise StageError(f"{path / MANIFEST}: changed since the stage ended; run stage {there.stage!r} again")
        if manifest.inputs.get(name) != there.digest:
            raise StageError(
                f"{run.stage_dir(COMPARE)}: not a comparison of what lies in {path} (finished {there.finished}); run "
                "the comparison again"
            )


def verdict_of(run: Run, training: Manifest) -> Verdict | CallVerdict | None:
    """The verdict of a run's comparison; None where it has not been made, or not of the model of this training.

    Raises:
        StageError: it was changed since it was made, or is of other windows or models than lie in the run.
    """
    directory = run.stage_dir(COMPARE)
    if not (directory / MANIFEST).is_file():
        return None
    manifest = verify(directory)
    if training.digest not in manifest.inputs.values():
        return None
    require_of_run(run, manifest)
    kind: type[Verdict] | type[CallVerdict] = Verdict if run.config.contract == "forecast" else CallVerdict
    return read_model(directory / "verdict.json", kind, StageError, "run the comparison again")
