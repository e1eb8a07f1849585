"""Prints the scores and the verdict of a forecast comparison on the terminal."""

from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

from stonk_pipeline.contracts.forecast.scores.results import read_comparison

HEADINGS = ("forecaster", "MAE, % of price", "skill over persistence", "interval", "one answer", "of attainable")
INTERVAL = len("-0.123 to +0.123")
"""Columns that it takes on one line."""


def show(directory: Path, console: Console) -> None:
    """Prints one row for each forecaster, and the verdict.

    Args:
        directory: of the comparison.
        console: where it is printed.
    """
    comparison = read_comparison(directory)
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        justify: JustifyMethod = "left" if heading == "forecaster" else "right"
        table.add_column(heading, justify=justify, min_width=INTERVAL if heading == "interval" else None)
    for row in comparison.rows:
        table.add_row(
            row.name,
            f"{row.mae:.3f}",
            f"{row.skill:+.3f}",
            f"{row.skill_low:+.3f} to {row.skill_high:+.3f}",
            f"{row.single_skill:+.3f}",
            "" if row.attained is None else f"{row.attained:.0%}",
        )
    console.print(table)
    finding, sentence = comparison.verdict.finding, comparison.verdict.sentence
    said = sentence if sentence.lower().startswith(finding) else f"{finding.capitalize()}: {sentence}"
    console.print(f"\n{said}", style="bold", highlight=False)
