"""Checks that a run's comparison is unchanged, and is of the models and windows that lie in the run."""

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.headline import Tone, headline
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import MANIFEST, MODEL, Manifest, read_manifest, verify

DIRECTORY = "model_comparison"
"""Of a run's comparison, whatever its contract."""


class Verdict(BaseModel):
    """The fields that every verdict (`verdict.json`) has; what a contract adds is kept as it is."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    model: str
    finding: str
    sentence: str
    skill: float
    low: float | None
    high: float | None

    @property
    def headline(self) -> tuple[str, Tone]:
        """Words it in one line, with the best numeric baseline where its contract names one, and says its colour."""
        best = (self.model_extra or {}).get("best_baseline")
        if not isinstance(best, dict) or not isinstance(best.get("name"), str):
            return headline(self.finding)
        return headline(self.finding, best["name"], best.get("addition"))


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


def verdict_of(run: Run, training: Manifest) -> Verdict | None:
    """Reads the verdict of a run's comparison; None where there is none, or none of this training's model.

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
    return read_model(directory / "verdict.json", Verdict, StageError, "run the comparison again")
