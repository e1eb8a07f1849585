"""Decides whether a model's losses show skill or luck: the one rule of all contracts, which add their own sentence.

Written down before any result is known, so that nobody can choose the words after seeing the numbers. The subject is
the final model's skill over the best forecast that needs no model, on the test part, and its date-clustered interval:

    1. fewer distinct dates than `min_dates`, or fewer than MIN_BLOCKS blocks  ->  too little data to tell
    2. the whole interval above zero                                           ->  evidence of skill
    3. the whole interval below zero                                           ->  worse than the baseline
    4. otherwise                                                               ->  no evidence of skill
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation.headline import Addition
from stonk_pipeline.evaluation.losses import FEWEST_BLOCKS, End, Losses
from stonk_pipeline.evaluation.results import Result

MIN_BLOCKS = FEWEST_BLOCKS
"""Stretches of time, three horizons long each, below which an interval means nothing: a market has its moods, and fewer
stretches may all fall into the same one."""

MANY_UNREADABLE = 0.05
INPUT_GAIN = 0.005
"""Skill or accuracy that answers must lose when they are given to other questions, or they do not come from them."""
ONE_SIDED = 0.9


def _renamed(value: Any) -> Any:
    """Reads a finding as files of earlier versions have it."""
    return "worse than the baseline" if value == "worse than persistence" else value


Finding = Annotated[
    Literal["evidence of skill", "no evidence of skill", "worse than the baseline", "too little data to tell"],
    BeforeValidator(_renamed),
]


class Ruling(Result):
    """The finding about a model's losses, and the numbers that it rests on."""

    finding: Finding
    skill: float
    low: float | None
    high: float | None
    """Of the interval; None where the dates are too few for one."""
    p_value: float
    """Two-sided Diebold-Mariano p-value against the baseline."""
    dates: int
    blocks: float
    confidence: float


class BestBaseline(Result):
    """The numeric baseline with the smallest error on the test part, and what the final model adds to it."""

    name: str
    """Chosen with hindsight, on the very questions that it is compared on, which helps it a little."""
    skill: float
    """Over the baseline of the verdict."""
    low: float | None
    high: float | None
    addition: Addition
    """What the interval of the gain says of the model."""
    gain: float
    """Skill of the model less that of this baseline."""
    gain_low: float | None
    gain_high: float | None


class Verdict(Result):
    """What the comparison says about the final model: a ruling in a contract's words (`verdict.json`)."""

    model: str
    finding: Finding
    sentence: str
    baseline: str = Field("", exclude_if=lambda name: not name)
    """The better baseline on these days, where there are several; empty where there is one, and then not written."""
    skill: float
    """1 - loss / loss of the baseline."""
    low: float | None
    high: float | None
    """Of the interval; None where the dates are too few for one."""
    p_value: float | None = Field(None, exclude_if=lambda value: value is None)
    """Two-sided Diebold-Mariano p-value against the baseline; None, and not written, where a table has it."""
    dates: int
    """Distinct decision dates."""
    blocks: float
    """Those dates divided by the length of a block: how many stretches of time hardly share anything."""
    confidence: float
    warnings: tuple[str, ...] = ()
    """Signs that a model has stopped looking at its input, or cannot write an answer."""
    best_baseline: BestBaseline | None = Field(None, exclude_if=lambda best: best is None)
    """None, and not written, where the verdict is against the best one already."""


def enough(dates: int, blocks: float, min_dates: int) -> bool:
    """Tells whether so many dates, and stretches of time that hardly share anything, can tell skill from luck."""
    return dates >= min_dates and blocks >= MIN_BLOCKS


def decide(low: End, high: End, dates: int, blocks: float, min_dates: int) -> Finding:
    """Applies the rule at the top of this file.

    Args:
        low, high: interval of the skill over the baseline.
        dates: distinct decision dates.
        blocks: those dates divided by the length of a bootstrap block.
        min_dates: fewest dates that a verdict may rest on.
    """
    if low is None or high is None or not enough(dates, blocks, min_dates):
        return "too little data to tell"
    if low > 0.0:
        return "evidence of skill"
    if high < 0.0:
        return "worse than the baseline"
    return "no evidence of skill"


def addition(low: End, high: End, dates: int, blocks: float, min_dates: int) -> Addition:
    """Says by the rule of the verdict whether a model adds to a baseline; `low` and `high` are of its gain over it."""
    if low is None or high is None or not enough(dates, blocks, min_dates):
        return "too little data to tell"
    return "adds to it" if low > 0.0 else "is worse than it" if high < 0.0 else "no evidence that it adds to it"


def judge(
    losses: Losses, comparison: ComparisonConfig, seed: int, known: tuple[float, End, End] | None = None
) -> Ruling:
    """Applies the rule to the losses of one model.

    `known` is its skill, low and high where a table has them already: resampled beside other models, sums are rounded
    in another order, and a verdict is to show the very numbers of its table.
    """
    clusters = losses.clusters
    lows, highs = losses.limits(comparison, seed) if known is None else ([known[1]], [known[2]])
    dates, blocks = len(clusters.dates), clusters.blocks
    return Ruling(
        finding=decide(lows[0], highs[0], dates, blocks, comparison.min_dates),
        skill=float(losses.skill() if known is None else known[0]),
        low=lows[0],
        high=highs[0],
        p_value=losses.test().p_value,
        dates=dates,
        blocks=blocks,
        confidence=comparison.confidence,
    )


def gain(
    after: Losses, before: Losses, comparison: ComparisonConfig, seed: int
) -> tuple[list[float], list[End], list[End]]:
    """Computes the skills of K models less those of others on the same questions, with the ends of their intervals.

    The difference of two skills over the same baseline is itself a skill, of the loss (baseline + own - the other's).
    """
    less = replace(after, own=after.baseline + after.own - before.own)
    return np.ravel(less.skill()).tolist(), *less.limits(comparison, seed)


def unread(
    whole: Verdict, dates: Sequence[str], cutoff: str, again: Callable[[list[int]], Verdict | None]
) -> tuple[int, Verdict | None]:
    """Counts the questions decided after a base model's knowledge cutoff, and gives the verdict on them alone.

    `whole` is the verdict on all questions, and `again` judges those at some positions.
    """
    later = [place for place, date in enumerate(dates) if date > cutoff]
    if len(later) == len(dates):
        return len(later), whole
    return len(later), again(later) if later else None


def words(finding: Finding, against: str) -> tuple[str, str]:
    """Words how a sentence on a finding begins, and how its comparison with the baseline ends."""
    return {
        "evidence of skill": ("Evidence of skill", ", more than luck explains"),
        "worse than the baseline": (f"No evidence of skill, and worse than {against}", ""),
        "no evidence of skill": ("No evidence of skill", ", which luck alone can explain"),
    }[finding]
