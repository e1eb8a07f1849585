"""Prints the scores and the verdict of a forecast comparison on the terminal."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stonk_pipeline.contracts.forecast.page.first import (
    cautioned,
    coverage,
    generated,
    headline_of,
    settings_of,
    tested_on,
)
from stonk_pipeline.contracts.forecast.page.looks import label
from stonk_pipeline.contracts.forecast.scores.results import Comparison, read_comparison
from stonk_pipeline.evaluation.results import TOO_FEW
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.report.files import RunFiles

ADDED = {
    "adds to it": "adds to it",
    "no evidence that it adds to it": "shows no evidence that it adds to it",
    "is worse than it": "is worse than it",
    "too little data to tell": "has too few dates to tell whether it adds to it",
}
HEADINGS = ("forecaster", "MAE, % of price", "skill over persistence", "interval", "one answer", "of attainable")


def show(directory: Path, console: Console) -> None:
    """Prints what was tested on, one row for each forecaster, the verdict, and what a reader must not overlook.

    Args:
        directory: of the comparison, in its run.
        console: where it is printed.
    """
    comparison = read_comparison(directory)
    before, after = words(comparison, directory.parent)
    console.print(before, highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "forecaster" else "right")
    for name in ("forecaster", "interval"):
        table.columns[HEADINGS.index(name)].no_wrap = True
    table.padding = (0, 1, 0, 0)  # so that 80 columns do
    for row in comparison.rows:
        table.add_row(
            row.name,
            f"{row.mae:.3f}",
            f"{round(row.skill, 3) + 0.0:+.3f}",  # -0.0004 is +0.000
            _between(row.skill_low, row.skill_high),
            f"{round(row.single_skill, 3) + 0.0:+.3f}",
            "" if row.attained is None else f"{round(row.attained, 2) + 0.0:.0%}",
        )
    console.print(table)
    verdict = comparison.verdict
    about = verdict.sentence.split(": ", 1)[-1]
    console.print(f"\n{headline_of(verdict)[0]}: {about}", style="bold", highlight=False)
    for line in (*verdict.warnings, *after):
        console.print(line, highlight=False)


def words(comparison: Comparison, run: Path) -> tuple[str, list[str]]:
    """Words what stands above the table, and the lines below the verdict.

    Args:
        comparison: the numbers.
        run: the run's directory, whose settings may be missing.
    """
    config = settings_of(RunFiles(run).record(CONFIG))
    kind = "a generated " if generated(comparison, config) else ""
    recipe = f"; recipe {config.recipe}" if config and config.recipe else ""
    above = f"tested on {kind}{tested_on(comparison, config)}{recipe}"
    return above, [*_best(comparison), *_coverage(comparison), *filter(None, [cautioned(config)])]


def _best(comparison: Comparison) -> Iterator[str]:
    best = comparison.verdict.best_baseline
    if best is not None:
        ends = _between(best.gain_low, best.gain_high)
        yield (
            f"Best numeric baseline, chosen with hindsight: {label(best.name).lower()}, skill {best.skill:+.3f} "
            f"({_between(best.low, best.high)}). The model {ADDED[best.addition]}: its skill less that is "
            f"{best.gain:+.3f} ({ends})."
        )


def _coverage(comparison: Comparison) -> Iterator[str]:
    held = coverage(comparison)
    if held is not None:
        yield f"{held[0]} {held[1]} {held[2]}"


def _between(low: float | None, high: float | None) -> str:
    return TOO_FEW if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
