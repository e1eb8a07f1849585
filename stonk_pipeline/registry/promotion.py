"""The rule by which a challenger takes the champion's place. Written down before any result, as the verdict's is.

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

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from stonk_pipeline.evaluation.metrics import Floats, skill
from stonk_pipeline.evaluation.significance import (
    SPANS,
    Clusters,
    cluster,
    diebold_mariano,
    skill_intervals,
    target_span,
)
from stonk_pipeline.evaluation.verdict import MIN_BLOCKS

Outcome = Literal["promoted", "refused", "too little data"]


class Margin(BaseModel):
    """How far the challenger is ahead of one rival."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: float
    """1 - MAE / MAE of the rival."""
    low: float
    high: float
    p_value: float
    """One-sided: how often so large a lead would come about by luck."""

    def holds(self, level: float) -> bool:
        """Whether the lead is more than luck."""
        return self.low > 0.0 and self.p_value <= level


class Decision(BaseModel):
    """What the rule says of one trial."""

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
        """Whether the challenger takes the champion's place."""
        return self.outcome == "promoted"


def trial_level(trial: int, confidence: float) -> float:
    """Largest one-sided p-value in the k-th trial: alpha / (k (k + 1)).

    >>> round(trial_level(1, 0.95), 6), round(trial_level(2, 0.95), 6)
    (0.0125, 0.004167)
    """
    return (1.0 - confidence) / 2.0 / (trial * (trial + 1))


def decide(
    challenger: Floats,
    champion: Floats | None,
    persistence: Floats,
    dates: Sequence[str],
    ends: Sequence[str],
    *,
    trial: int,
    confidence: float = 0.95,
    min_dates: int = 20,
    resamples: int = 2000,
    seed: int = 0,
    baseline: str = "persistence",
) -> Decision:
    """The rule at the top of this file.

    Args:
        challenger, champion, persistence: (N,) losses of the same windows; `champion` is None where there is none.
        dates: decision date of each window (ISO).
        ends: last date of each window's target (ISO).
        trial: which trial this is since the last promotion by the rule, from 1.
        confidence: coverage of the intervals; alpha is half of what is left.
        min_dates: fewest distinct dates that may decide.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        baseline: what `persistence` is called, for the sentence.
    """
    level = trial_level(trial, confidence)
    clusters, span = cluster(dates), target_span(dates, ends) if len(dates) else 1
    blocks = len(clusters.dates) / (SPANS * span)
    margins: list[Margin] = []
    if len(clusters.dates) >= min_dates and blocks >= MIN_BLOCKS:
        rivals = [persistence] if champion is None else [persistence, champion]
        margins = [
            _margin(challenger, rival, clusters, span, confidence=confidence, resamples=resamples, seed=seed)
            for rival in rivals
        ]
    outcome: Outcome = "too little data"
    if margins:
        outcome = "promoted" if all(margin.holds(level) for margin in margins) else "refused"
    return Decision(
        outcome=outcome,
        sentence=_sentence(outcome, margins, len(clusters.dates), blocks, level, trial, baseline),
        trial=trial,
        level=level,
        over_persistence=margins[0] if margins else None,
        over_champion=margins[1] if len(margins) > 1 else None,
        windows=len(dates),
        dates=len(clusters.dates),
        blocks=blocks,
        first_date=clusters.dates[0] if clusters.dates else None,
        last_date=clusters.dates[-1] if clusters.dates else None,
    )


def _margin(
    own: Floats, rival: Floats, clusters: Clusters, span: int, *, confidence: float, resamples: int, seed: int
) -> Margin:
    from scipy.stats import t

    if np.array_equal(own, rival):
        return Margin(skill=0.0, low=0.0, high=0.0, p_value=1.0)
    low, high = skill_intervals(
        clusters.sums(own[:, None]),
        clusters.sums(rival[:, None]),
        span=span,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    statistic = diebold_mariano(clusters.shares(own), clusters.shares(rival), span).statistic
    freedom = len(clusters.dates) / (SPANS * span) - 1.0
    return Margin(
        skill=float(skill(own, rival)),
        low=float(low[0]),
        high=float(high[0]),
        p_value=float(t.cdf(statistic, freedom)),
    )


def _sentence(
    outcome: Outcome, margins: list[Margin], dates: int, blocks: float, level: float, trial: int, baseline: str
) -> str:
    if outcome == "too little data":
        return (
            f"Not promoted: {dates} dates that neither model has seen hold about {blocks:.0f} independent stretches of "
            f"time, and at least {MIN_BLOCKS:.0f} are needed to tell."
        )
    names = (baseline, "the champion")
    said = [
        f"{abs(margin.skill):.1%} {'smaller' if margin.skill >= 0 else 'larger'} than those of {name} "
        f"(interval of the skill {margin.low:+.1%} to {margin.high:+.1%}, p {margin.p_value:.2g})"
        for name, margin in zip(names, margins, strict=False)
    ]
    failed = [name for name, margin in zip(names, margins, strict=False) if not margin.holds(level)]
    begin = "Promoted" if not failed else f"Not promoted, for it does not beat {' or '.join(failed)} beyond luck"
    return f"{begin}: on {dates} dates its errors are {' and '.join(said)}; trial {trial} allows p up to {level:.2g}."
