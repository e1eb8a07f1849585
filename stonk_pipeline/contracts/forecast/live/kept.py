"""Reads what the JSON of a logged forecast holds besides its entry: the closes before it and the model's answers.

No chain of digests protects that file, so nothing in it counts for the record; it is shown beside the forecast.
"""

import math
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, FiniteFloat

from stonk_pipeline.contracts.forecast.live.files import files_of
from stonk_pipeline.contracts.forecast.page.fans import quoted
from stonk_pipeline.errors import LogError
from stonk_pipeline.files.untrusted import read_json, reason
from stonk_pipeline.records.forward_log import LogEntry
from stonk_pipeline.records.wellformed import LARGEST_RATIO

REMEDY = "delete the file: the page does without it"
SHOWN = {"An answer that ends low": 0.1, "One in the middle": 0.5, "One that ends high": 0.9}
"""What is said of an answer -> where it stands among all, ordered by their last close."""


class _Digest(BaseModel):
    digest: str


class Kept(BaseModel):
    """What a forecast's JSON holds."""

    model_config = ConfigDict(frozen=True)

    entry: _Digest
    closes: dict[str, FiniteFloat] = {}
    """Up to the last bar, by ISO date; empty in files of an earlier version."""
    samples: tuple[tuple[FiniteFloat, ...], ...] = ()
    """(S, H) prices; an unreadable answer is the last close repeated."""
    texts: tuple[str, ...] = ()
    """The S answers as the model wrote them."""


class Answer(NamedTuple):
    """One answer of the model, to be shown. Unescaped."""

    which: str
    words: str
    """Its thinking."""
    numbers: str
    """The rest."""


def read_kept(entry: LogEntry, directory: Path) -> Kept:
    """Reads the JSON of a forecast; what it would hold is empty where there is none.

    Raises:
        LogError: the file is damaged, or is of another forecast; names it.
    """
    path, _, _ = files_of(entry, directory)
    try:
        content = read_json(path, LogError, REMEDY)
    except FileNotFoundError:
        return Kept(entry=_Digest(digest=entry.digest))
    try:
        kept = Kept.model_validate(content)
    except ValueError as error:
        raise LogError(f"{path}: damaged ({reason(error)}); {REMEDY}") from error
    wrong = next(_reasons(kept, entry), None)
    if wrong is not None:
        raise LogError(f"{path}: {wrong}; {REMEDY}")
    return kept


def _reasons(kept: Kept, entry: LogEntry) -> Iterator[str]:
    if kept.entry.digest != entry.digest:
        yield f"of another forecast than entry {entry.n} of the log"
    if len(kept.samples) != len(kept.texts) or any(len(row) != len(entry.targets) for row in kept.samples):
        yield "its answers have not one close for each day"
    if not kept.closes:
        return
    if not all(0 < close <= LARGEST_RATIO * entry.last_close for close in kept.closes.values()):
        yield "a close before the forecast is no price"
    if not all(_iso(day) for day in kept.closes) or any(late <= early for early, late in pairwise(kept.closes)):
        yield "its closes are not of days in their order"
    day, close = list(kept.closes.items())[-1]
    if day != entry.last_bar or not math.isclose(close, entry.last_close):
        yield "its closes do not end with the last bar of the forecast"


def _iso(day: str) -> bool:
    try:
        return date.fromisoformat(day).isoformat() == day
    except ValueError:
        return False


def answers(kept: Kept, entry: LogEntry) -> list[Answer]:
    """Picks a few answers to show: one that ends low, one in the middle and one that ends high; none that is alike.

    The last close repeated is what an unreadable answer counts as, so such answers are left out.
    """
    told = [place for place, row in enumerate(kept.samples) if any(abs(one - entry.last_close) > 1e-6 for one in row)]
    ordered = sorted(told, key=lambda place: kept.samples[place][-1])
    found: dict[str, Answer] = {}
    for which, share in SHOWN.items() if ordered else ():
        text = kept.texts[ordered[round(share * (len(ordered) - 1))]]
        found.setdefault(text, Answer(which, *quoted(text)))
    return list(found.values())
