"""Decides whether a challenger replaces the champion, by a rule that was fixed before any result was known.

On dates later than anything that either model has seen, the challenger must beat the champion *and* persistence:

    1. enough data: the verdict's own demands (`min_dates`, MIN_BLOCKS stretches of time);
    2. the whole date-clustered interval of its skill over each of the two lies above zero, as in the verdict;
    3. against each of the two, the one-sided p-value of the Diebold-Mariano test is at most the level of this trial.

The level falls with every comparison since the last promotion by this rule, won or lost: with alpha = (1 - confidence)
/ 2, the k-th trial has alpha / (k (k + 1)). These levels add up to alpha however many trials follow (Bonferroni's
inequality, with the split over an open-ended row of tests that Foster and Stine, 2008, call alpha spending). So the
chance that a model which is no better ever takes a given champion's place by luck is at most alpha, where a constant
level would let one of many tries through in the end. Both tests must pass, so there is no further price for their
being two (Berger's intersection-union test, 1982).

Student's t of the test has one degree of freedom less than there are stretches of time that hardly share anything
(three horizons each), as the intervals have: with few of them the usual T - 1 would take luck for skill.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.verdict import MIN_BLOCKS, enough

Outcome = Literal["promoted", "refused", "too little data"]


class Rivals(NamedTuple):
    """Losses of two models on the same questions, later than all that either has seen."""

    challenger: Losses | None = None
    """None where there is no such question."""
    champion: Losses | None = None
    """None where there is no champion."""


class Margin(BaseModel):
    """The lead of the challenger over one rival, with its interval and p-value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: float
    """1 - MAE / MAE of the rival."""
    low: float
    high: float
    p_value: float
    """One-sided: how often so large a lead would come about by luck."""

    def holds(self, level: float) -> bool:
        """Tells whether the lead is more than luck."""
        return self.low > 0.0 and self.p_value <= level


class Decision(BaseModel):
    """The decision of the rule in one trial, with its reasons."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    sentence: str
    trial: int
    """Which trial since the last promotion by the rule, from 1."""
    level: float
    """Largest p-value that this trial allows."""
    over_persistence: Margin | None
    over_champion: Margin | None
    """None where there is no champion to beat."""
    windows: int
    dates: int
    blocks: float
    first_date: str | None
    last_date: str | None

    @property
    def promote(self) -> bool:
        """Tells whether the challenger takes the champion's place."""
        return self.outcome == "promoted"


def trial_level(trial: int, confidence: float) -> float:
    """Computes the largest one-sided p-value that passes in the k-th trial: alpha / (k (k + 1)).

    >>> round(trial_level(1, 0.95), 6), round(trial_level(2, 0.95), 6)
    (0.0125, 0.004167)
    """
    return (1.0 - confidence) / 2.0 / (trial * (trial + 1))


def decide(
    losses: Losses | None, rival: Losses | None, *, trial: int, comparison: ComparisonConfig, seed: int
) -> Decision:
    """Applies the rule at the top of this file.

    Args:
        losses: of the challenger; None where no question is later than what the models have seen.
        rival: of the champion on the same questions; None where there is no champion.
        trial: which trial this is since the last promotion by the rule, from 1.
        comparison: `resamples`, `min_dates` and `confidence`; alpha is half of what the confidence leaves.
        seed: of the bootstrap.
    """
    losses = losses or Losses(np.empty(0), np.empty(0), "", (), ())
    rivals = [losses] if rival is None else [losses, replace(losses, baseline=rival.own, against="the champion")]
    level, clusters = trial_level(trial, comparison.confidence), losses.clusters
    dates, blocks = len(clusters.dates), clusters.blocks
    margins: dict[str, Margin] = {}
    if enough(dates, blocks, comparison.min_dates):
        margins = {over.against: _margin(over, comparison, seed) for over in rivals}
    first, second = (*margins.values(), None, None)[:2]
    outcome: Outcome = "too little data"
    if margins:
        outcome = "promoted" if all(margin.holds(level) for margin in margins.values()) else "refused"
    return Decision(
        outcome=outcome,
        sentence=_sentence(outcome, margins, dates, blocks, level, trial),
        trial=trial,
        level=level,
        over_persistence=first,
        over_champion=second,
        windows=len(losses.own),
        dates=dates,
        blocks=blocks,
        first_date=clusters.dates[0] if dates else None,
        last_date=clusters.dates[-1] if dates else None,
    )


def _margin(over: Losses, comparison: ComparisonConfig, seed: int) -> Margin:
    """How far a model is ahead of what has the baseline's losses."""
    from scipy.stats import t

    if np.array_equal(over.own, over.baseline):
        return Margin(skill=0.0, low=0.0, high=0.0, p_value=1.0)
    low, high = over.interval(comparison, seed)
    p_value = t.cdf(over.test().statistic, over.clusters.blocks - 1.0)
    return Margin(skill=float(over.skill()), low=float(low), high=float(high), p_value=float(p_value))


def _sentence(outcome: Outcome, margins: dict[str, Margin], dates: int, blocks: float, level: float, trial: int) -> str:
    if outcome == "too little data":
        return (
            f"Not promoted: {dates} dates that neither model has seen hold about {blocks:.0f} independent stretches of "
            f"time, and at least {MIN_BLOCKS:.0f} are needed to tell."
        )
    said = [
        f"{abs(margin.skill):.1%} {'smaller' if margin.skill >= 0 else 'larger'} than those of {name} "
        f"(interval of the skill {margin.low:+.1%} to {margin.high:+.1%}, p {margin.p_value:.2g})"
        for name, margin in margins.items()
    ]
    failed = [name for name, margin in margins.items() if not margin.holds(level)]
    begin = "Promoted" if not failed else f"Not promoted, for it does not beat {' or '.join(failed)} beyond luck"
    return f"{begin}: on {dates} dates its errors are {' and '.join(said)}; trial {trial} allows p up to {level:.2g}."
