"""Computes skill by day ahead, month, quarter, stock and volatility, and a record of each window."""

from collections.abc import Sequence

import numpy as np

from stonk_pipeline.contracts.forecast.scores.results import DaySkill, GroupSkill, MonthSkill
from stonk_pipeline.contracts.forecast.scores.scores import PERSISTENCE, Forecaster, Setting
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.metrics import skill
from stonk_pipeline.schema import Target


def by_horizon(forecasters: Sequence[Forecaster], setting: Setting) -> list[DaySkill]:
    """Computes each forecaster's skill on each day ahead, with intervals."""
    horizon = setting.truth.shape[1]
    errors = np.hstack([metrics.absolute_errors(f.median, setting.truth) for f in forecasters])
    flat = np.tile(metrics.absolute_errors(setting.flat, setting.truth), len(forecasters))
    losses = setting.losses(errors, baseline=flat)
    estimates, (low, high) = losses.skill(), losses.limits(setting.config, setting.seed)
    return [
        DaySkill(name=f.name, day=day + 1, skill=estimates[k], low=low[k], high=high[k])
        for i, f in enumerate(forecasters)
        for day in range(horizon)
        for k in [i * horizon + day]
    ]


def by_month(forecasters: Sequence[Forecaster], setting: Setting) -> list[MonthSkill]:
    """Computes each forecaster's skill by calendar month; a month is too short for an interval."""
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
    """Computes each forecaster's skill by stock, by quarter, and by thirds of volatility, with intervals.

    A group's interval rests on its own dates alone; where they are too few for one, there is none.
    """
    order = np.argsort(np.argsort(setting.volatility, kind="stable"), kind="stable")
    quarters = [f"{window.date[:4]}-Q{(int(window.date[5:7]) + 2) // 3}" for window in setting.windows]
    labels = {
        "stock": np.array([window.stock for window in setting.windows]),
        "volatility": np.array(["low", "middle", "high"])[3 * order // len(order)],
        "quarter": np.array(quarters),
    }
    losses = np.column_stack([metrics.mae(f.median, setting.truth) for f in forecasters])
    out = []
    for by, of_windows in labels.items():
        for group in ("low", "middle", "high") if by == "volatility" else sorted(set(of_windows)):
            of = of_windows == group
            if of.any():
                part = setting.losses(losses[of], of)
                values = part.skill(), *part.limits(setting.config, setting.seed)
                for f, value, low, high in zip(forecasters, *values, strict=True):
                    group_of = {"by": by, "group": str(group), "windows": int(of.sum())}
                    out.append(GroupSkill(name=f.name, skill=value, low=low, high=high, **group_of))
    return out


def window_records(
    forecasters: Sequence[Forecaster], setting: Setting, targets: Sequence[Target], final: str
) -> tuple[dict[str, str | float], ...]:
    """Builds the records of `Comparison.windows`: one for each window."""
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
