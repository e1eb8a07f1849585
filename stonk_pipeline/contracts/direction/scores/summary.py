"""Words a comparison of called directions as plain text for a terminal (`test_results.log`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from stonk_pipeline.contracts.direction.page.first import cautioned, settings_of
from stonk_pipeline.contracts.direction.scores.calls import CallRow
from stonk_pipeline.contracts.direction.scores.results import CallComparison, ModelScores, title
from stonk_pipeline.evaluation.results import TOO_FEW
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.report.files import RunFiles

LOG = "test_results.log"


def show(directory: Path, console: Console) -> None:
    """Prints the summary that a comparison left in its directory, after its run's recipe and what to be wary of."""
    config = settings_of(RunFiles(directory.parent).record(CONFIG))
    if config is not None:
        recipe = f"recipe {config.recipe}" if config.recipe else ""
        console.print("\n".join(filter(None, [recipe, cautioned(config)])), highlight=False)
    console.print((directory / LOG).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)


def summary(comparison: CallComparison) -> str:
    """Lists the numbers of a comparison, line by line."""
    return "".join(f"{line}".rstrip() + "\n" for line in _lines(comparison))


def _lines(comparison: CallComparison) -> Iterator[str]:
    verdict = comparison.verdict
    yield f"{title(verdict.model)}: {verdict.finding.upper()}"
    yield verdict.sentence
    yield (
        f"Skill over {title(verdict.baseline).lower()} {verdict.skill:+.1%}, {verdict.confidence:.0%} interval "
        f"{_interval(verdict.low, verdict.high, '%')}, p = {verdict.p_value:.3f}."
    )
    if comparison.alarm:
        yield f"! {comparison.alarm}"
    for warning in verdict.warnings:
        yield f"! {warning}"
    if comparison.cutoff:
        found = comparison.unread_verdict.finding if comparison.unread_verdict else "too little data to tell"
        yield f"On the {comparison.unread_decisions} decisions after {comparison.cutoff} alone: {found}."
    if comparison.transition:
        yield f"Gate: {comparison.transition.sentence}"
    yield ""
    rows = comparison.rows
    yield (
        f"On {'real' if comparison.real_data else 'generated'} prices: {rows[0].decisions} decisions, "
        f"{rows[0].moved} that moved, {comparison.market_up:.1%} of them up; "
        f"{comparison.dates} dates, {comparison.first_date} to {comparison.last_date}; {comparison.stocks} stocks; "
        f"{comparison.samples} answers each"
    )
    yield ""
    yield from _table("Calls", rows, [title(row.name) for row in rows])
    yield from _answers(comparison.models)
    for gain in comparison.gains:
        yield (
            f"{title(gain.name)} over {title(gain.over)}: {100 * gain.accuracy:+.1f} points of accuracy "
            f"({_interval(gain.low, gain.high)}), reward {gain.reward:+.3f}"
        )
    if comparison.gains:
        yield ""
    yield from _confusion(comparison.final.row)


def _table(head: str, rows: Sequence[CallRow], names: Sequence[str]) -> Iterator[str]:
    yield _cells(head, names)
    yield _cells("  accuracy", [f"{row.accuracy:.1%}" for row in rows])
    yield _cells("  balanced accuracy", [_share(row.balanced_accuracy) for row in rows])
    yield _cells("  ROC-AUC", [_plain(row.roc_auc) for row in rows])
    yield _cells("  Brier score", [_plain(row.brier) for row in rows])
    yield _cells("  calibration error", [_plain(row.ece) for row in rows])
    yield _cells("  error of the change, %", [_plain(row.mae) for row in rows])
    yield _cells("  calls up", [f"{row.up_share:.1%}" for row in rows])
    yield ""


def _answers(models: Sequence[ModelScores]) -> Iterator[str]:
    yield _cells("Answers", [title(model.name) for model in models])
    yield _cells("  accuracy of one answer", [f"{model.single_accuracy:.1%}" for model in models])
    yield _cells("  reward", [f"{model.reward:+.3f}" for model in models])
    for name in models[0].components:
        yield _cells(f"    {name.replace('_', ' ')}", [f"{model.components[name]:+.3f}" for model in models])
    yield _cells("  quality, 0 to 1", [_plain(model.quality.total) for model in models])
    yield _cells("    accuracy, 0 to 0.6", [_plain(model.quality.accuracy) for model in models])
    yield _cells("    data use, 0 to 0.2", [_plain(model.quality.data_use) for model in models])
    yield _cells("    structure, 0 to 0.2", [_plain(model.quality.structure) for model in models])
    yield _cells("  unreadable", [f"{model.row.unreadable_share:.1%}" for model in models])
    for reason in dict.fromkeys(reason for model in models for reason in model.unreadable):
        yield _cells(f"    {reason}", [str(model.unreadable.get(reason, 0)) for model in models])
    yield ""


def _confusion(row: CallRow) -> Iterator[str]:
    called = list(next(iter(row.confusion.values())))
    yield _cells(f"{title(row.name)}: what came", [f"called {call}" for call in called])
    for came, counts in row.confusion.items():
        yield _cells(f"  {came}", [str(counts[call]) for call in called])


def _interval(low: float | None, high: float | None, unit: str = "") -> str:
    return TOO_FEW if low is None or high is None else f"{100 * low:+.1f}{unit} to {100 * high:+.1f}{unit}"


def _cells(head: str, cells: Sequence[str]) -> str:
    return f"{head:<28}" + "".join(f"{cell:>18}" for cell in cells)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
