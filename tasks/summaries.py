"""Builds the Markdown artifacts of the steps for the Prefect UI."""

import csv
from pathlib import Path
from typing import Any

from stonk_pipeline.files.brief import words
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import StageResult


def summary(run: Run, result: StageResult) -> str:
    """Builds a table of a step's numbers, and for trainings and the comparison their most important rows."""
    parts = [_table(("", ""), [(name, words(value)) for name, value in result.numbers.items()])]
    directory = Path(result.directory)
    for name, title in (("validation.csv", "Validation"), ("comparison.csv", "Comparison")):
        path = directory / name
        if path.is_file():
            parts.append(f"**{title}**\n\n{_csv_table(path)}")
    parts.append(f"`{directory}`, {result.seconds:.0f} s, outputs `{result.digest[:12]}`")
    return "\n\n".join(parts)


def _csv_table(path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as stream:
        heading, *rows = csv.reader(stream)
    keep = min(len(heading), 9)
    return _table(tuple(heading[:keep]), [tuple(_text(cell) for cell in row[:keep]) for row in rows])


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
