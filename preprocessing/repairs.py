"""Words repairs and refusals: one sentence with the number of rows, the first days and what was done."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preprocessing.table import Table
from stonk_pipeline.errors import DataError

SHOWN = 5
"""Rows named in a message or a report; of more, the number is given."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A change that was made to the bars, or a fact about them that the user should know."""

    kind: str
    rows: int
    dates: tuple[str, ...]
    """Days of the first rows (at most `SHOWN`)."""
    detail: str
    """One sentence with the number of rows, the days and what was done."""
    changed: bool
    """False: reported only."""


def refuse(table: Table, bad: np.ndarray, what: str, remedy: str) -> None:
    """Raises an error for the first bad row and says how many there are."""
    rows = table.rows[bad].tolist()
    more = f" (and {len(rows) - 1} more: {table.unit} {listed(rows[1:])})" if len(rows) > 1 else ""
    raise DataError(f"{table.place(rows[0])}: {what}{more}; {remedy}")


def listed(values: Sequence[object]) -> str:
    """Lists the first values, for a message."""
    return ", ".join(str(value) for value in values[:SHOWN]) + (", …" if len(values) > SHOWN else "")


def shown(texts: Sequence[str]) -> str:
    """Shortens texts of a file for a message and removes characters that steer a terminal."""
    return ", ".join(repr(text.strip())[1:-1] for text in texts[:20])[:200]


def note(repairs: list[Repair], days: np.ndarray, kind: str, what: str, changed: bool = True) -> None:
    """Notes rows of these days, if there are any; `what` goes on after `3 rows (days) `."""
    if not len(days):
        return
    count = f"{len(days)} row{'s' if len(days) > 1 else ''}"
    names = ["no date" if np.isnat(day) else str(day) for day in days[: SHOWN + 1]]
    repairs.append(Repair(kind, len(days), tuple(names[:SHOWN]), f"{count} ({listed(names)}) {what}", changed))


def remark(repairs: list[Repair], table: Table, kind: str, what: str) -> None:
    """Notes something about the whole file that changes nothing in it."""
    repairs.append(Repair(kind, len(table.rows), (), what, changed=False))
