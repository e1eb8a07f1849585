"""Words numbers, lists and tables for people, and shortens long ones: the first entries and a count of the others."""

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 10
"""Entries of a list, a table or a message that are printed."""
SMALLEST = 1e-7
"""Numbers closer to 0 are what rounding left of it."""


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


def words(value: Any, shown: int = SHOWN) -> str:
    """Words a stage's numbers as a person reads them, not as Python writes them.

    Args:
        value: a number, a text, a list or a table, nested; empty ones of a table are left out.
        shown: entries of a list or table that are worded.

    Example:
        >>> words({"windows": {"train": 11172, "val": 0.25}, "left_out": {}, "sealed": True})
        'windows train 11,172 and val 0.25; sealed yes'
    """
    if isinstance(value, Mapping):
        told = {name: part for name, part in value.items() if part not in ({}, [], "")}
        nested = any(isinstance(part, Mapping | list) for part in told.values())
        parts = [f"{str(name).replace('_', ' ')} {words(part, shown)}" for name, part in told.items()]
        return "; ".join(parts) if nested else _listed(parts, shown) or "none"
    if isinstance(value, list):
        return _listed([words(part, shown) for part in value], shown) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= SMALLEST else "0"
    return "none" if value is None else str(value)


def _listed(parts: list[str], shown: int) -> str:
    if len(parts) > shown:
        return first_names(parts, shown)
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
