"""Prints the scores and the verdict of a forecast comparison on the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from stonk_pipeline.contracts.forecast.scores.results import read_comparison

HEADINGS = ("forecaster", "MAE, % of price", "skill over persistence", "interval", "one answer", "of attainable")


def show(directory: Path, console: Console) -> None:
    """Prints one row for each forecaster, and the verdict.

    Args:
        directory: of the comparison.
        console: where it is printed.
    """
    comparison = read_comparison(directory)
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
            f"{row.skill:+.3f}",
            f"{row.skill_low:+.3f} to {row.skill_high:+.3f}",
            f"{row.single_skill:+.3f}",
            "" if row.attained is None else f"{row.attained:.0%}",
        )
    console.print(table)
    console.print(f"\n{comparison.verdict.finding}: {comparison.verdict.sentence}", style="bold", highlight=False)
