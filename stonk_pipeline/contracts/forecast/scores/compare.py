"""Compares every model and baseline on the same windows, with intervals and a verdict.

One way for every forecaster: its answers become an array (N, S, H) in percent of the last close; its losses are
averaged over days, summed over the windows of a date, and set against those of persistence. A baseline is a forecaster
with one answer. Nothing here depends on where answers come from.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.forecast.scores.breakdown import by_group, by_horizon, by_month, window_records
from stonk_pipeline.contracts.forecast.scores.examples import pick_examples
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.forecast.scores.rows import Kind
from stonk_pipeline.contracts.forecast.scores.scores import (
    BEST,
    PERSISTENCE,
    Forecaster,
    Setting,
    random_walk,
    score_rows,
)
from stonk_pipeline.contracts.forecast.scores.trades import trade_all
from stonk_pipeline.contracts.forecast.scores.verdict import best_baseline, best_row, give_verdict
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation import baselines, distribution, metrics
from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.evaluation.significance import cluster
from stonk_pipeline.evaluation.verdict import judge, unread
from stonk_pipeline.sampling.answers import check_answers
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

Answers = Sequence[Sequence[Forecast | Unreadable]]


def compare(
    windows: Sequence[Window],
    targets: Sequence[Target],
    answers: Mapping[str, Answers],
    others: Mapping[str, Floats],
    best_possible: Mapping[tuple[str, str], Sequence[float]] | None,
    config: ComparisonConfig,
    seed: int,
    decimals: int = 2,
    ahead: Sequence[Sequence[str]] | None = None,
    intervals: Mapping[str, Mapping[float, Floats]] | None = None,
) -> Comparison:
    """Compares models with each other, persistence and other baselines.

    Args:
        windows: N test windows, the same for every model.
        targets: what came after them.
        answers: model -> window -> sampled answers, models in the order they were made. The first is what gains are
            measured from, the last is what the verdict is about.
        others: baseline -> forecasts (N, H) on each window's prompt scale, persistence not among them.
        best_possible: window key -> best possible forecast on the window's prompt scale, where the market's process is
            known.
        config: resamples, confidence and the fewest dates for a verdict.
        seed: of the bootstrap.
        decimals: of the numbers in the models' answers, to tell straight lines.
        ahead: dates of each window's target (ISO), for the back-test; None leaves it out.
        intervals: model, and the random walk -> level -> calibrated intervals (N, 2, H) on each window's prompt scale,
            whose coverage is shown beside that of the answers.

    Raises:
        StageError: there are no windows or models, or the answers do not fit the windows.
    """
    _check(windows, targets, answers)
    horizon, ends = len(targets[0].values), [target.end for target in targets]
    offset, unit = metrics.percent_scale(windows)
    setting = Setting(
        windows,
        truth=offset + unit * np.array([target.values for target in targets], dtype=np.float64),
        flat=offset + unit * baselines.persistence(windows, horizon),
        clusters=cluster([window.date for window in windows], ends),
        ends=ends,
        config=config,
        seed=seed,
        intervals_of={
            model: {level: offset[:, None] + unit[:, None] * ends for level, ends in levels.items()}
            for model, levels in (intervals or {}).items()
        },
    )
    models = [_model(name, given, setting, decimals) for name, given in answers.items()]
    references = [
        _baseline(PERSISTENCE, "baseline", setting.flat),
        *(_baseline(name, "baseline", offset + unit * forecast) for name, forecast in others.items()),
    ]
    if best_possible is not None:
        values = np.array([best_possible[window.key] for window in windows], dtype=np.float64)
        references.append(_baseline(BEST, "best possible", offset + unit * values))
    forecasters = [*models, *references]
    rows = score_rows(forecasters, setting)
    final, best = rows[len(models) - 1], best_row(rows)
    losses, best_losses = (
        setting.losses(metrics.mae(one.median, setting.truth))
        for one in (models[-1], next(one for one in forecasters if one.name == best.name))
    )
    ruling = judge(losses, config, seed, known=(final.skill, final.skill_low, final.skill_high))
    records = window_records(forecasters, setting, targets, final.name)
    trading, equity = trade_all(forecasters, setting, ahead) if ahead is not None else ((), ())
    return Comparison(
        verdict=give_verdict(final, ruling, best_baseline(best, best_losses, ruling, losses, config, seed)),
        rows=tuple(rows),
        by_horizon=tuple(by_horizon([f for f in forecasters if f.name != PERSISTENCE], setting)),
        by_month=tuple(by_month([f for f in forecasters if f.name != PERSISTENCE], setting)),
        by_group=tuple(by_group([f for f in forecasters if f.name != PERSISTENCE], setting)),
        random_walk=random_walk(setting),
        ranks={model.name: tuple(distribution.ranks(model.samples, setting.truth).tolist()) for model in models},
        trading=trading,
        trials=setting.config.trials or len(models),
        equity=equity,
        generated=best_possible is not None,
        stocks=tuple(sorted({window.stock for window in windows})),
        examples=pick_examples(records, final.name),
        unreadable={name: _reasons(given) for name, given in answers.items()},
        first_date=setting.clusters.dates[0],
        last_date=setting.clusters.dates[-1],
        horizon=horizon,
        period=windows[0].period,
        samples=models[0].samples.shape[1],
        block=setting.clusters.block,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=seed,
        windows=records,
    )


def without_read(
    comparison: Comparison, cutoff: str, windows: Sequence[Window], again: Callable[[list[int]], Comparison]
) -> Comparison:
    """Adds the verdict on windows that the base model cannot have read about.

    Args:
        comparison: of all windows.
        cutoff: last day that its training text can hold (ISO).
        windows: all of them.
        again: compares the windows at some positions alone.
    """
    dates = [window.date for window in windows]
    count, verdict = unread(comparison.verdict, dates, cutoff, lambda places: again(places).verdict)
    return comparison.model_copy(update={"cutoff": cutoff, "unread_windows": count, "unread_verdict": verdict})


def _check(windows: Sequence[Window], targets: Sequence[Target], answers: Mapping[str, Answers]) -> None:
    check_answers(answers, len(windows), "window")
    if len(targets) != len(windows):
        raise StageError(f"{len(windows)} windows but {len(targets)} targets")
    horizon = len(targets[0].values)
    for name, given in answers.items():
        for window, samples in zip(windows, given, strict=True):
            if any(isinstance(answer, Forecast) and len(answer.values) != horizon for answer in samples):
                raise StageError(f"model {name!r}: a forecast of {window.key} does not have {horizon} values")


def _model(name: str, given: Answers, setting: Setting, decimals: int) -> Forecaster:
    offset, unit = metrics.percent_scale(setting.windows)
    values, readable = metrics.fill_unreadable(given, baselines.persistence(setting.windows, setting.truth.shape[1]))
    straight = metrics.straight_lines(values, decimals) & readable
    return Forecaster(name, "model", offset[:, None] + unit[:, None] * values, readable, straight)


def _baseline(name: str, kind: Kind, forecast: Floats) -> Forecaster:
    shape = (len(forecast), 1)
    return Forecaster(name, kind, forecast[:, None, :], np.ones(shape, np.bool_), np.zeros(shape, np.bool_))


def _reasons(given: Answers) -> dict[str, int]:
    found = Counter(answer.reason for samples in given for answer in samples if isinstance(answer, Unreadable))
    return dict(found.most_common())
