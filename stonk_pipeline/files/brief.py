"""Shortens long lists for messages: the first entries and a count of the others."""

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 10
"""Entries of a list, a table or a message that are printed."""


def first_lines(lines: Sequence[str], shown: int = SHOWN) -> str:
    """Joins the first lines of a message and says how many more there are."""
    more = len(lines) - shown
    return "\n".join([*lines[:shown], *([f"and {more:,} more"] if more > 0 else [])])


def first_names(names: Sequence[str], shown: int = SHOWN) -> str:
    """Joins the first names in one line and says how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more:,} more" if more > 0 else "")


def brief(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Shortens a stage's numbers for printing: the first entries of each list and table."""
    return {name: _first(value) for name, value in numbers.items()}


def _first(value: Any) -> Any:
    if isinstance(value, Mapping) and len(value) > SHOWN:
        return dict(list(value.items())[:SHOWN]) | {"…": f"and {len(value) - SHOWN:,} more"}
    if isinstance(value, list) and len(value) > SHOWN:
        return [*value[:SHOWN], f"… and {len(value) - SHOWN:,} more"]
    return value
