"""Defines what the first screen of every report holds: what was tested on, the headline, cautions, what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stonk_pipeline.evaluation.headline import Tone, tone
from stonk_pipeline.evaluation.verdict import Verdict

NAMED = 4
"""Stocks that are named; of more, the first ones and their number."""


class Advice(NamedTuple):
    """What to do next, and the command that does it."""

    what: str
    command: str


def three(*advice: Advice) -> list[Advice]:
    """Picks the first three whose commands differ."""
    return list({each.command: each for each in reversed(advice)}.values())[::-1][:3]


ADDS = {
    "adds to it": "It adds",
    "evidence of skill": "It adds",
    "no evidence that it adds to it": "No evidence",
    "no evidence of skill": "No evidence",
    "is worse than it": "It is worse",
    "worse than the baseline": "It is worse",
    "too little data to tell": "Too little data",
}
"""What an addition, or a finding against the best baseline itself, says in two words."""


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """The words of the first screen that a contract chooses; the rest follows from the verdict."""

    headline: str
    tone: Tone
    tested_on: str = ""
    """A sentence: generated or real, which stocks, how many questions on how many dates."""
    generated: bool = False
    """Whether the word stands in front of it."""
    recipe: str = ""
    caution: str = ""
    """Why the result says little whatever it is; empty if nothing."""
    advice: Sequence[Advice] = field(default=())


def plain(verdict: Verdict) -> FirstScreen:
    """Makes the first screen of a contract that adds nothing to the verdict."""
    return FirstScreen(verdict.finding.capitalize(), tone(verdict.finding))


def names(stocks: Sequence[str]) -> str:
    """Names stocks: all of a few, of many the first ones and how many more there are."""
    if len(stocks) <= NAMED:
        return ", ".join(stocks)
    return f"{', '.join(stocks[: NAMED - 1])} and {len(stocks) - NAMED + 1} more"
