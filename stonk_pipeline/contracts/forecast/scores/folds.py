"""Pools the folds of a walk-forward into one comparison; each fold's own models answer its windows.

Every fold has trained on what came before its test windows and has compared on them alone; no window is in two folds.
So the joined windows are one long out-of-sample stretch, and the same scores, intervals and rule apply as to a single
run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.contracts.forecast.scores import evidence
from stonk_pipeline.contracts.forecast.scores.results import Comparison, FoldSkill, read_comparison
from stonk_pipeline.contracts.forecast.scores.stage import finish
from stonk_pipeline.contracts.forecast.sections import ComparisonStage
from stonk_pipeline.runs.manifest import Progress, Stage


def run(config: ComparisonStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Joins the folds' answers and scores them as one comparison.

    Args:
        config: settings.
        inputs: the comparison of each fold, in the order of time.
        out: receives the same files as a fold's comparison.
        progress: receives that it is done.

    Returns:
        Numbers of the run: verdict and each model's skill.
    """
    evidence.join(list(inputs.values()), out)
    comparison = evidence.read_evidence(out).compare(config)
    folds = tuple(fold_skill(number, read_comparison(path)) for number, path in enumerate(inputs.values(), start=1))
    progress(1, 1, f"{len(folds)} folds joined")
    return finish(comparison.model_copy(update={"folds": folds}), out)


def fold_skill(number: int, comparison: Comparison) -> FoldSkill:
    """Computes the final model's skill in one fold alone."""
    row = comparison.row(comparison.verdict.model)
    return FoldSkill(
        fold=number,
        first_date=comparison.first_date,
        last_date=comparison.last_date,
        windows=row.windows,
        finding=comparison.verdict.finding,
        skill=row.skill,
        low=row.skill_low,
        high=row.skill_high,
        base_skill=comparison.rows[0].skill,
        gain=row.gain,
        gain_low=row.gain_low,
        gain_high=row.gain_high,
    )


STAGE = Stage("model_comparison", ComparisonStage, run)
