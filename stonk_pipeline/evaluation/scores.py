"""Tables of a comparison: each takes the forecasters and what they share, and returns typed rows."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypedDict

import numpy as np

from stonk_pipeline.config import ComparisonConfig
from stonk_pipeline.evaluation import conformal, distribution, metrics
from stonk_pipeline.evaluation.metrics import Bools, Floats, skill
from stonk_pipeline.evaluation.results import DaySkill, GroupSkill, Kind, MonthSkill, Row
from stonk_pipeline.evaluation.significance import SPANS, Clusters, confidence_set, diebold_mariano, skill_intervals
from stonk_pipeline.schema import Target, Window

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
        """(N, H)."""
        return metrics.median_forecast(self.samples)


class Setting(NamedTuple):
    """What all forecasters share."""

    windows: Sequence[Window]
    truth: Floats
    """(N, H), percent of the last close."""
    flat: Floats
    """(N, H): persistence."""
    clusters: Clusters
    span: int
    """Consecutive decision dates whose targets share days."""
    config: ComparisonConfig
    seed: int
    intervals_of: Mapping[str, Mapping[float, Floats]] = MappingProxyType({})
    """Model -> level -> calibrated intervals (N, 2, H), percent of the last close."""

    @property
    def volatility(self) -> Floats:
        """(N,) of a day, in percent of the last close."""
        _, unit = metrics.percent_scale(self.windows)
        return np.maximum(unit[:, 0] * [window.volatility for window in self.windows], metrics.TINY)

    def intervals(self, losses: Floats, reference: Floats) -> tuple[Floats, Floats]:
        """Date-clustered intervals of skills: losses (N, K), reference (N, K) or (N, 1) -> low and high, (K,)."""
        return skill_intervals(
            self.clusters.sums(losses),
            self.clusters.sums(reference),
            block=SPANS * self.span,
            resamples=self.config.resamples,
            confidence=self.config.confidence,
            seed=self.seed,
        )


def score_rows(forecasters: Sequence[Forecaster], setting: Setting) -> list[Row]:
    """The table; all its intervals come from one bootstrap, so that they rest on the same resampled dates."""
    medians = np.column_stack([metrics.mae(f.median, setting.truth) for f in forecasters])
    singles = np.column_stack([metrics.single_mae(f.samples, setting.truth) for f in forecasters])
    flat = metrics.mae(setting.flat, setting.truth)[:, None]
    losses = np.column_stack([medians, singles])
    estimates = skill(losses, flat)
    low, high = setting.intervals(losses, flat)
    gains = _gains(medians, flat, setting)
    count = len(forecasters)
    best = next((estimates[i] for i, f in enumerate(forecasters) if f.kind == "best possible"), None)
    strongest = max(float(estimates[i]) for i, f in enumerate(forecasters) if f.kind == "baseline")
    daily_flat = setting.clusters.means(flat[:, 0])
    by_date = np.column_stack([setting.clusters.means(column) for column in medians.T])
    surviving = confidence_set(
        by_date, block=SPANS * setting.span, resamples=setting.config.resamples, seed=setting.seed
    )
    rows = []
    for i, forecaster in enumerate(forecasters):
        test = diebold_mariano(setting.clusters.means(medians[:, i]), daily_flat, setting.span)
        known = best is not None and best > MIN_ATTAINABLE
        gain = tuple(values[i] for values in gains) if forecaster.kind == "model" and i > 0 else (None, None, None)
        rows.append(
            Row(
                name=forecaster.name,
                kind=forecaster.kind,
                mae=medians[:, i].mean(),
                **_errors(forecaster, setting, float(flat.mean())),
                confidence_p=float(surviving[i]),
                skill=estimates[i],
                skill_low=low[i],
                skill_high=high[i],
                single_skill=estimates[count + i],
                single_low=low[count + i],
                single_high=high[count + i],
                skill_over_best_baseline=1 - (1 - float(estimates[i])) / max(1 - strongest, metrics.TINY),
                gain=gain[0],
                gain_low=gain[1],
                gain_high=gain[2],
                p_value=None if forecaster.name == PERSISTENCE else test.p_value,
                attained=float(estimates[i] / best) if known else None,
                **_shape(forecaster, setting),
            )
        )
    return rows


def _gains(medians: Floats, flat: Floats, setting: Setting) -> tuple[Floats, Floats, Floats]:
    """Skill less the first forecaster's, with its interval: each (K,).

    The difference of two skills over the same reference is itself a skill, of the loss (flat + own - first's).
    """
    losses = flat + medians - medians[:, :1]
    return skill(losses, flat), *setting.intervals(losses, flat)


class Errors(TypedDict):
    """Fields of a `Row` that are errors besides the MAE and its skill."""

    mse: float
    rmse: float
    mape: float
    crps: float
    crps_skill: float
    coverage: dict[str, float] | None
    calibrated_coverage: dict[str, float] | None
    ic: float | None
    rank_ic: float | None
    swapped_skill: float


def _errors(forecaster: Forecaster, setting: Setting, flat: float) -> Errors:
    """Other errors of a forecaster.

    Args:
        forecaster: whose.
        setting: what all share.
        flat: MAE of persistence, in percent.
    """
    median, samples, truth = forecaster.median, forecaster.samples, setting.truth
    mse = float(metrics.mse(median, truth).mean())
    crps = float(distribution.crps(samples, truth).mean())
    several = samples.shape[1] > 1
    information = distribution.information(median, truth, setting.clusters.places)
    own = setting.intervals_of.get(forecaster.name, {})
    swapped = distribution.swapped(samples, setting.volatility, max(1, len(truth) // 2))
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mape": float((100 * np.abs(median - truth) / truth).mean()),
        "crps": crps,
        "crps_skill": 1 - crps / max(flat, metrics.TINY),
        "coverage": {str(level): distribution.coverage(samples, truth, level) for level in distribution.LEVELS}
        if several
        else None,
        "calibrated_coverage": {str(level): conformal.coverage(ends, truth) for level, ends in own.items()} or None,
        "ic": information.ic,
        "rank_ic": information.rank_ic,
        "swapped_skill": 1
        - float(metrics.mae(metrics.median_forecast(swapped), truth).mean()) / max(flat, metrics.TINY),
    }


class Shape(TypedDict):
    """Fields of a `Row` that are not errors."""

    direction: float
    up_days: float
    up_share: float
    straight_share: float
    unreadable_share: float
    identical_share: float
    windows: int
    dates: int
    stocks: int


def _shape(forecaster: Forecaster, setting: Setting) -> Shape:
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


def by_horizon(forecasters: Sequence[Forecaster], setting: Setting) -> list[DaySkill]:
    """Skill of each forecaster on each day ahead, with intervals."""
    horizon = setting.truth.shape[1]
    errors = np.hstack([metrics.absolute_errors(f.median, setting.truth) for f in forecasters])
    flat = np.tile(metrics.absolute_errors(setting.flat, setting.truth), len(forecasters))
    estimates = skill(errors, flat)
    low, high = setting.intervals(errors, flat)
    return [
        DaySkill(name=f.name, day=day + 1, skill=estimates[k], low=low[k], high=high[k])
        for i, f in enumerate(forecasters)
        for day in range(horizon)
        for k in [i * horizon + day]
    ]


def by_month(forecasters: Sequence[Forecaster], setting: Setting) -> list[MonthSkill]:
    """Skill of each forecaster over the windows of each calendar month; a month is too short for an interval."""
    months = np.array([window.date[:7] for window in setting.windows])
    flat = metrics.mae(setting.flat, setting.truth)
    out = []
    for forecaster in forecasters:
        own = metrics.mae(forecaster.median, setting.truth)
        for month in np.unique(months):
            of = months == month
            value = float(skill(own[of], flat[of]))
            out.append(MonthSkill(name=forecaster.name, month=str(month), skill=value, windows=int(of.sum())))
    return out


def by_group(forecasters: Sequence[Forecaster], setting: Setting) -> list[GroupSkill]:
    """Skill of each forecaster by stock, and by thirds of the windows' volatility."""
    order = np.argsort(np.argsort(setting.volatility, kind="stable"), kind="stable")
    thirds = np.array(["low", "middle", "high"])[3 * order // len(order)]
    stocks = np.array([window.stock for window in setting.windows])
    flat = metrics.mae(setting.flat, setting.truth)
    out = []
    for forecaster in forecasters:
        own = metrics.mae(forecaster.median, setting.truth)
        for by, labels in (("stock", stocks), ("volatility", thirds)):
            for group in dict.fromkeys(sorted(labels) if by == "stock" else ("low", "middle", "high")):
                of = labels == group
                if of.any():
                    value = float(skill(own[of], flat[of]))
                    out.append(GroupSkill(name=forecaster.name, by=by, group=group, skill=value, windows=int(of.sum())))
    return out


def window_records(
    forecasters: Sequence[Forecaster], setting: Setting, targets: Sequence[Target], final: str
) -> tuple[dict[str, str | float], ...]:
    """The records of `Comparison.windows`."""
    losses = {f.name: metrics.mae(f.median, setting.truth) for f in forecasters}
    volatility = setting.volatility
    records: list[dict[str, str | float]] = []
    for i, (window, target) in enumerate(zip(setting.windows, targets, strict=True)):
        gain = (losses[PERSISTENCE][i] - losses[final][i]) / volatility[i]
        records.append(
            {
                "stock": window.stock,
                "date": window.date,
                "target_start": target.start,
                "target_end": target.end,
                "volatility": float(volatility[i]),
                **{f"mae_{name}": float(loss[i]) for name, loss in losses.items()},
                "gain": float(gain),
            }
        )
    return tuple(records)
