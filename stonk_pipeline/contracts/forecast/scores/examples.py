"""Picks windows for the report: typical ones, the best, and as many of the worst."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from stonk_pipeline.contracts.forecast.scores.results import Example

Record = dict[str, str | float]


def pick_examples(records: Sequence[Record], final: str, count: int = 3) -> tuple[Example, ...]:
    """Picks windows by the final model's gain over persistence, in volatility units.

    Windows that overlap in one stock, or share a date, show the same thing twice: only the first of them is taken.

    Args:
        records: of `Comparison.windows`.
        final: name of the final model.
        count: how many of each kind; the typical ones are nearest to the median gain.
    """
    gains = np.array([record["gain"] for record in records], dtype=np.float64)
    orders = {
        "typical": np.argsort(np.abs(gains - np.median(gains)), kind="stable"),
        "best": np.argsort(-gains, kind="stable"),
        "worst": np.argsort(gains, kind="stable"),
    }
    kinds: tuple[Literal["typical", "best", "worst"], ...] = ("typical", "best", "worst")
    return tuple(
        Example(
            kind=kind,
            stock=str(record["stock"]),
            date=str(record["date"]),
            gain=float(record["gain"]),
            mae=float(record[f"mae_{final}"]),
            mae_persistence=float(record["mae_persistence"]),
        )
        for kind in kinds
        for record in _distinct((records[i] for i in orders[kind]), count)
    )


def _distinct(ordered: Iterable[Record], count: int) -> list[Record]:
    taken: list[Record] = []
    for record in ordered:
        if len(taken) == count:
            break
        if not any(_alike(record, other) for other in taken):
            taken.append(record)
    return taken


def _alike(first: Record, second: Record) -> bool:
    if first["date"] == second["date"]:
        return True
    early, late = sorted((first, second), key=lambda record: str(record["date"]))
    return first["stock"] == second["stock"] and str(late["date"]) < str(early["target_end"])
