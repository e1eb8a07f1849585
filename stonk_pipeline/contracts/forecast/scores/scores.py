"""Computes the rows of the comparison's table: every score of every forecaster."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.forecast.scores.rows import RANDOM_WALK, Distribution, Kind, Row
from stonk_pipeline.evaluation import conformal, distribution, metrics
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.metrics import Bools, Floats
from stonk_pipeline.evaluation.quantiles import crps_of_all
from stonk_pipeline.evaluation.significance import Clusters, confidence_set
from stonk_pipeline.evaluation.verdict import gain
from stonk_pipeline.schema import Window

PERSISTENCE, BEST = "persistence", "best_possible"
MIN_ATTAINABLE = 0.01
"""Best possible skill below which a share of it would be noise divided by nothing."""


class Forecaster(NamedTuple):
    """A model's or baseline's answers to the same N windows."""

    name: str
    kind: Kind
    samples: Floats
    """(N, S, H), percent of the last close."""
    readable: Bools
    """(N, S)."""
    straight: Bools
    """(N, S)."""

    @property
    def median(self) -> Floats:
        """Takes the median of the answers, (N, H)."""
        return metrics.median_forecast(self.samples)


class Setting(NamedTuple):
    """The data that all forecasters of a comparison share."""

    windows: Sequence[Window]
    truth: Floats
    """(N, H), percent of the last close."""
    flat: Floats
    """(N, H): persistence."""
    clusters: Clusters
    ends: Sequence[str]
    """(N,) last date of each window's target (ISO)."""
    config: ComparisonConfig
    seed: int
    intervals_of: Mapping[str, Mapping[float, Floats]] = MappingProxyType({})
    """Model, and the random walk -> level -> calibrated intervals (N, 2, H), percent of the last close."""

    @property
    def volatility(self) -> Floats:
        """Computes the daily volatility of each window, (N,), in percent of the last close."""
        _, unit = metrics.percent_scale(self.windows)
        return np.maximum(unit[:, 0] * [window.volatility for window in self.windows], metrics.TINY)

    def losses(self, own: Floats, of: Bools | None = None, baseline: Floats | None = None) -> Losses:
        """Errors, (N,) or (N, K), of all windows or of some, beside those of persistence over the same days."""
        rows = [*range(len(self.windows))] if of is None else np.flatnonzero(of).tolist()
        flat = metrics.mae(self.flat, self.truth)[rows] if baseline is None else baseline
        dates, ends = tuple(self.windows[row].date for row in rows), tuple(self.ends[row] for row in rows)
        return Losses(own, flat[:, None] if flat.ndim < own.ndim else flat, PERSISTENCE, dates, ends)


def score_rows(forecasters: Sequence[Forecaster], setting: Setting) -> list[Row]:
    """Computes the table's rows; all intervals come from one bootstrap, so that they rest on the same dates."""
    medians = np.column_stack([metrics.mae(f.median, setting.truth) for f in forecasters])
    singles = np.column_stack([metrics.single_mae(f.samples, setting.truth) for f in forecasters])
    losses, own = setting.losses(np.column_stack([medians, singles])), setting.losses(medians)
    estimates = losses.skill()
    low, high = losses.limits(setting.config, setting.seed)
    gains = gain(own, setting.losses(medians[:, :1]), setting.config, setting.seed)
    count = len(forecasters)
    best = next((estimates[i] for i, f in enumerate(forecasters) if f.kind == "best possible"), None)
    walk = random_walk(setting)
    strongest = max(float(estimates[i]) for i, f in enumerate(forecasters) if f.kind == "baseline")
    by_date = np.column_stack([setting.clusters.shares(column) for column in medians.T])
    block = setting.clusters.block
    surviving = confidence_set(by_date, block=block, resamples=setting.config.resamples, seed=setting.seed)
    rows = []
    for i, forecaster in enumerate(forecasters):
        known = best is not None and best > MIN_ATTAINABLE
        over_first = [values[i] for values in gains] if forecaster.kind == "model" and i > 0 else [None] * 3
        rows.append(
            Row(
                name=forecaster.name,
                kind=forecaster.kind,
                mae=medians[:, i].mean(),
                **_errors(forecaster, setting, float(own.baseline.mean()), walk),
                confidence_p=float(surviving[i]),
                skill=estimates[i],
                skill_low=low[i],
                skill_high=high[i],
                single_skill=estimates[count + i],
                single_low=low[count + i],
                single_high=high[count + i],
                skill_over_best_baseline=1 - (1 - float(estimates[i])) / max(1 - strongest, metrics.TINY),
                gain=over_first[0],
                gain_low=over_first[1],
                gain_high=over_first[2],
                p_value=None if forecaster.name == PERSISTENCE else setting.losses(medians[:, i]).test().p_value,
                attained=float(estimates[i] / best) if known else None,
                **_shape(forecaster, setting),
            )
        )
    return rows


def random_walk(setting: Setting) -> Distribution:
    """Scores the random walk with volatility, which every CRPS is compared with."""
    flat, truth = setting.flat, setting.truth
    deviation = distribution.walk_deviation(setting.volatility, truth.shape[1])
    return Distribution(
        crps=float(distribution.crps_normal(flat, deviation, truth).mean()),
        coverage={
            str(level): distribution.coverage_normal(flat, deviation, truth, level) for level in distribution.LEVELS
        },
        **_calibrated(setting.intervals_of.get(RANDOM_WALK, {}), truth),
    )


def _calibrated(intervals: Mapping[float, Floats], truth: Floats) -> dict[str, Any]:
    """Scores calibrated intervals, level -> (N, 2, H); None for each score where there are none."""
    covered = {
        str(level): conformal.coverage(intervals[level], truth) for level in distribution.LEVELS if level in intervals
    }
    whole = set(conformal.NOMINAL) <= intervals.keys()  # an earlier version calibrated three levels alone
    return {
        "calibrated_coverage": covered or None,
        "calibrated_crps": crps_of_all(conformal.quantiles(intervals), truth) if whole else None,
    }


def _errors(forecaster: Forecaster, setting: Setting, flat: float, walk: Distribution) -> dict[str, Any]:
    """Other errors of a forecaster.

    Args:
        forecaster: whose.
        setting: what all share.
        flat: MAE of persistence, in percent.
        walk: the random walk's scores.
    """
    median, samples, truth = forecaster.median, forecaster.samples, setting.truth
    mse = float(metrics.mse(median, truth).mean())
    crps = float(distribution.crps(samples, truth).mean())
    several = samples.shape[1] > 1
    information = distribution.information(median, truth, setting.clusters.places)
    own = _calibrated(setting.intervals_of.get(forecaster.name, {}), truth)
    reference, bands = walk.calibrated_crps, own["calibrated_crps"]
    swapped = distribution.swapped(samples, setting.volatility, max(1, len(truth) // 2))
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mape": float((100 * np.abs(median - truth) / truth).mean()),
        "crps": crps,
        "crps_skill": 1 - crps / max(walk.crps, metrics.TINY),
        "coverage": {str(level): distribution.coverage(samples, truth, level) for level in distribution.LEVELS}
        if several
        else None,
        **own,
        "calibrated_crps_skill": None
        if reference is None or bands is None
        else 1 - bands / max(reference, metrics.TINY),
        "ic": information.ic,
        "rank_ic": information.rank_ic,
        "swapped_skill": 1
        - float(metrics.mae(metrics.median_forecast(swapped), truth).mean()) / max(flat, metrics.TINY),
    }


def _shape(forecaster: Forecaster, setting: Setting) -> dict[str, Any]:
    """What the forecasts look like, apart from their errors."""
    readable = forecaster.readable.sum()
    return {
        "direction": metrics.direction_accuracy(forecaster.median, setting.truth),
        "up_days": metrics.up_share(setting.truth),
        "up_share": metrics.up_share(forecaster.samples),
        "straight_share": float(forecaster.straight.sum() / max(readable, 1)),
        "unreadable_share": float(1.0 - forecaster.readable.mean()),
        "identical_share": metrics.identical_share(forecaster.samples, forecaster.readable),
        "windows": len(setting.windows),
        "dates": len(setting.clusters.dates),
        "stocks": len({window.stock for window in setting.windows}),
    }
