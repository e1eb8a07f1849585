"""Calibrates the intervals of every model of a comparison, and keeps what live forecasts need to do the same.

intervals.parquet    calibrated intervals of the test windows
calibration.json     model -> half widths by all outcomes of validation and test windows, and the coverage measured
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from stonk_pipeline.contracts.forecast.scores import evidence
from stonk_pipeline.contracts.forecast.scores.rows import RANDOM_WALK
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation import conformal, distribution
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.evaluation.metrics import TINY, Floats, fill_unreadable, median_forecast
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import write_atomic
from stonk_pipeline.schema import Target, Window

CALIBRATION = "calibration.json"
Part = tuple[list[Window], list[Target]]


class Calibration(BaseModel):
    """What a model's past errors say about how wide its intervals have to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    radii: dict[str, tuple[float, ...]]
    """Nominal coverage -> half width on each day ahead, in daily volatilities of the window."""
    coverage: dict[str, float]
    """Nominal coverage -> share of closes within the intervals of the test windows, each calibrated on what was known
    before it."""
    windows: int
    """Whose errors the half widths rest on: validation and test."""
    tested: int
    """Test windows, on which coverage was measured."""
    until: str
    """Last outcome that the half widths rest on (ISO)."""

    def intervals(self, median: Floats, size: Floats) -> dict[float, Floats]:
        """Builds intervals around median answers, level -> (N, 2, H); arguments as of `conformal.intervals`."""
        return conformal.intervals(median, size, {float(level): np.array(wide) for level, wide in self.radii.items()})


class Calibrated(NamedTuple):
    """A model's calibrated intervals of the test windows, and what live forecasts need."""

    intervals: dict[float, Floats]
    """Level -> (N, 2, H), on each window's prompt scale."""
    kept: Calibration


def calibrate_answers(
    calibration: Part, test: Part, answers: Mapping[str, tuple[evidence.Answers, evidence.Answers]]
) -> dict[str, Calibrated]:
    """Calibrates the intervals of every model, and of the random walk around the last close.

    Args:
        calibration: validation windows and their targets.
        test: windows to be forecast, and theirs.
        answers: model -> its answers to both.
    """
    flat = [persistence(windows, len(targets[0].values)) for windows, targets in (calibration, test)]
    found = {RANDOM_WALK: calibrate(calibration, test, *flat)}
    for model, given in answers.items():
        values = [fill_unreadable(own, still)[0] for own, still in zip(given, flat, strict=True)]
        found[model] = calibrate(calibration, test, *map(median_forecast, values))
    return found


def calibrate(calibration: Part, test: Part, known_median: Floats, median: Floats) -> Calibrated:
    """Calibrates intervals around median answers by outcomes that were known on each decision date.

    Args:
        calibration: validation windows and their targets.
        test: windows to be forecast, and theirs.
        known_median: (M, H) answers to the first, on each window's prompt scale.
        median: (N, H) to the second.
    """
    known, asked = _known(calibration, known_median), _known(test, median)
    found = conformal.intervals(median, _volatility(test[0]), conformal.rolling(known, asked))
    errors = np.vstack([known.errors, asked.errors])
    kept = Calibration(
        radii={str(level): tuple(conformal.radius(errors, level).tolist()) for level in conformal.NOMINAL},
        coverage={str(level): conformal.coverage(found[level], _truth(test[1])) for level in distribution.LEVELS},
        windows=len(errors),
        tested=len(median),
        until=max(target.end for target in [*calibration[1], *test[1]]),
    )
    return Calibrated(found, kept)


def write_calibrated(out: Path, windows: Sequence[Window], found: Mapping[str, Calibrated]) -> None:
    """Writes `intervals.parquet` of the test windows, and `calibration.json`."""
    evidence.write_intervals(out, windows, {model: one.intervals for model, one in found.items()})
    content = {model: one.kept.model_dump(mode="json") for model, one in found.items()}
    write_atomic(out / CALIBRATION, json.dumps(content, indent=1))


def kept(run: Run) -> dict[str, Any]:
    """Reads what live forecasts of a run's last model need: its calibration, where its comparison has one."""
    found = read_calibration(run.stage_dir(COMPARE), evidence.MODELS[-1])
    return {} if found is None else {"calibration": found.model_dump(mode="json")}


def read_calibration(directory: Path, model: str) -> Calibration | None:
    """Reads a model's calibration from a comparison; None where intervals were not calibrated.

    Raises:
        StageError: the file is damaged.
    """
    path = directory / CALIBRATION
    if not path.is_file():
        return None
    content: Mapping[str, Any] = read_table(path, StageError, "compare again")
    return Calibration.model_validate(content[model]) if model in content else None


def _known(part: Part, median: Floats) -> conformal.Known:
    windows, targets = part
    return conformal.Known(
        errors=conformal.relative_errors(median, _truth(targets), _volatility(windows)),
        decided=np.array([window.date for window in windows]),
        ended=np.array([target.end for target in targets]),
    )


def _truth(targets: Sequence[Target]) -> Floats:
    return np.array([target.values for target in targets], dtype=np.float64)


def _volatility(windows: Sequence[Window]) -> Floats:
    return np.array([max(window.volatility, TINY) for window in windows])
