"""Checks the form of an entry of the forward log: one spelling of names and days, and possible prices.

A name that can be written in two ways would be two names, and leave room for a second forecast from the same bar.
"""

import math
import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from stonk_pipeline.evaluation.quantiles import INTERVALS, LEVELS
from stonk_pipeline.files.untrusted import shown

if TYPE_CHECKING:
    from stonk_pipeline.records.forward_log import Forecasted

STOCK = re.compile(r"[A-Z0-9^][A-Z0-9.=^&_-]*")
"""A symbol as files of bars name it."""
MODEL = re.compile(r"(?:adapter:|base:)?[A-Za-z0-9._-]+")
LARGEST_PRICE = 1e100
"""A last close; pictures have no axis for prices near the largest float."""
LARGEST_RATIO = 1e100
"""A price as a multiple of the last close; errors of larger ones are no numbers any more."""


def draw_of(made: "Forecasted") -> tuple[str, str, str]:
    """Returns what there may be only one forecast of: (stock, model, last bar)."""
    return made.stock.upper(), made.model.lower(), made.last_bar


def why_not(made: "Forecasted") -> str | None:
    """Returns the first fault in the form of a forecast; None if there is none."""
    return next(_reasons(made), None)


def _reasons(made: "Forecasted") -> Iterator[str]:
    if not STOCK.fullmatch(made.stock):
        yield f"{shown(made.stock, 40)!r} is no stock's symbol"
    if not MODEL.fullmatch(made.model):
        yield f"{shown(made.model, 40)!r} is no model's id"
    wrong = [day for day in (made.last_bar, *made.targets) if not _iso(day)]
    if wrong:
        yield f"{shown(wrong[0], 40)!r} is no day such as 2026-03-02"
    if made.levels != LEVELS:
        yield f"its quantiles are not those at {len(LEVELS)} levels from {LEVELS[0]:.0%} to {LEVELS[-1]:.0%}"
    if made.volatility is not None and not 0 <= made.volatility < math.inf:
        yield f"its volatility is {made.volatility:g} %, which none is"
    if made.coverage is not None and not all(0 <= share <= 1 for share in made.coverage.values()):
        yield "its measured coverage is not between 0 and 1"
    if made.coverage is not None and not (INTERVALS.keys() <= made.coverage.keys() and (made.tested or 0) > 0):
        yield "its bands are said to be calibrated, but not what each of them held and in how many test windows"
    if not made.targets or [len(row) for row in made.quantiles] != [len(made.targets)] * len(made.levels):
        yield "it has not one price for each of its targets and levels"
        return
    if not 0 < made.last_close <= LARGEST_PRICE:
        yield f"its last close is {made.last_close:g}, which is no price"
        return
    largest = LARGEST_RATIO * made.last_close
    for day, prices in zip(made.targets, zip(*made.quantiles, strict=True), strict=True):
        if not all(abs(price) <= largest for price in prices):
            yield f"a price of {day} is beyond any other"
        if any(later < earlier for earlier, later in pairwise(prices)):
            yield f"its quantiles of {day} fall where their levels rise"


def _iso(day: str) -> bool:
    try:
        return date.fromisoformat(day).isoformat() == day
    except ValueError:
        return False
