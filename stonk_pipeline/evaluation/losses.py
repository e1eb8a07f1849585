"""Turns one loss a question, of a model and of the best forecast that needs no model, into a skill and its interval.

Whatever a contract asks, it is judged by such losses: the error of a forecast beside that of the last price, the wrong
side of a call beside that of the better baseline. Verdict, gain and the contest of two models all begin here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation.metrics import Floats, skill
from stonk_pipeline.evaluation.significance import Clusters, DieboldMariano, cluster, diebold_mariano, skill_intervals

FEWEST_BLOCKS = 4.0
"""Blocks of dates from which an interval is given. On one it has no width, and on fewer than four it is so wide that it
holds everything and tells nothing (`benchmarks/group_intervals.py`)."""

End = float | None
"""Of an interval; None where the dates are too few for one."""


@dataclass(frozen=True, eq=False)
class Losses:
    """One loss a question of a model, and of what it has to beat; smaller is better."""

    own: Floats
    """(N,), or (N, K) of K models on the same questions."""
    baseline: Floats
    """(N,), or (N, 1) or (N, K) beside K models."""
    against: str
    """What has the baseline's losses, for a sentence."""
    dates: tuple[str, ...]
    """(N,) decision dates (ISO): the questions of one date are one observation."""
    ends: tuple[str, ...]
    """(N,) last dates of the outcomes (ISO)."""

    def take(self, rows: Sequence[int]) -> "Losses":
        """Selects the losses of some questions alone."""
        dates, ends = (tuple(days[row] for row in rows) for days in (self.dates, self.ends))
        return replace(self, own=self.own[rows], baseline=self.baseline[rows], dates=dates, ends=ends)

    @cached_property
    def clusters(self) -> Clusters:
        """Groups the questions by decision date."""
        return cluster(self.dates, self.ends)

    def skill(self) -> Floats:
        """Computes 1 - loss / loss of the baseline: a number, or (K,)."""
        return skill(self.own, self.baseline)

    def interval(self, comparison: ComparisonConfig, seed: int) -> tuple[Floats, Floats]:
        """Computes low and high end of the date-clustered interval of the skill, shaped as `skill`."""
        own, baseline = (np.reshape(loss, (len(loss), -1)) for loss in (self.own, self.baseline))
        low, high = skill_intervals(
            self.clusters.sums(own),
            self.clusters.sums(baseline),
            span=self.clusters.span,
            resamples=comparison.resamples,
            confidence=comparison.confidence,
            seed=seed,
        )
        return low.reshape(self.own.shape[1:]), high.reshape(self.own.shape[1:])

    def limits(self, comparison: ComparisonConfig, seed: int) -> tuple[list[End], list[End]]:
        """Lists low and high end of the interval of each of K skills; None where there are too few dates for one."""
        if self.clusters.blocks < FEWEST_BLOCKS:
            none: list[End] = [None] * max(1, self.own[:1].size)
            return none, none
        low, high = self.interval(comparison, seed)
        return [*map(float, np.ravel(low))], [*map(float, np.ravel(high))]

    def test(self) -> DieboldMariano:
        """Tests one model's losses against the baseline's; dates weigh by their questions, as they do in a skill."""
        return diebold_mariano(self.clusters.shares(self.own), self.clusters.shares(self.baseline), self.clusters.span)
