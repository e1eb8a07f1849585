"""Is a called direction luck? The forecast recipe's tests and rule, applied to the share of wrong sides.

The subject is a model's skill over the better of two baselines, `1 - its errors / theirs`: the majority class, chosen
with hindsight, and yesterday's sign. The better one is chosen on the same days, which makes the test harder, not
easier. Clusters of dates, blocks, intervals and the rule itself are those of `significance` and `verdict`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.scores.calls import Caller, CallRow, Cases, baselines, credits, score
from stonk_pipeline.evaluation.metrics import skill
from stonk_pipeline.evaluation.results import Finding, Result
from stonk_pipeline.evaluation.significance import SPANS, cluster, diebold_mariano, skill_intervals, target_span
from stonk_pipeline.evaluation.verdict import MANY_UNREADABLE, ONE_SIDED, decide

SWAP_GAIN = 0.005
"""Accuracy that calls must lose when they are given to other decisions, or they do not come from the input."""

CallFinding = Literal["evidence of skill", "no evidence of skill", "worse than the baseline", "too little data to tell"]
_FINDINGS: dict[Finding, CallFinding] = {
    "evidence of skill": "evidence of skill",
    "no evidence of skill": "no evidence of skill",
    "worse than persistence": "worse than the baseline",
    "too little data to tell": "too little data to tell",
}


class CallVerdict(Result):
    """What the scores say about one model."""

    model: str
    finding: CallFinding
    sentence: str
    baseline: str
    """The better baseline on these days."""
    skill: float
    """1 - share of wrong sides / that of the baseline."""
    low: float
    high: float
    p_value: float
    """Two-sided Diebold-Mariano p-value against the baseline."""
    dates: int
    blocks: float
    confidence: float
    warnings: tuple[str, ...] = ()


def judge(caller: Caller, known: Cases, comparison: ComparisonConfig, seed: int) -> CallVerdict:
    """The verdict on one model.

    Args:
        caller: its calls.
        known: what came.
        comparison: `resamples`, `confidence` and `min_dates`.
        seed: of the bootstrap.
    """
    rows = [score(baseline, known) for baseline in baselines(known)]
    best = max(range(len(rows)), key=lambda place: rows[place].accuracy)
    rose, moved = known.rose, known.moved
    loss = 1.0 - credits(caller.up[moved], rose)
    reference = 1.0 - credits(baselines(known)[best].up[moved], rose)
    dates = [date for date, there in zip(known.dates, moved, strict=True) if there]
    ends = [end for end, there in zip(known.ends, moved, strict=True) if there]
    clusters, span = cluster(dates), target_span(dates, ends)
    low, high = skill_intervals(
        clusters.sums(loss[:, None]),
        clusters.sums(reference[:, None]),
        span=span,
        resamples=comparison.resamples,
        confidence=comparison.confidence,
        seed=seed,
    )
    blocks = len(clusters.dates) / (SPANS * span)
    finding = _FINDINGS[decide(float(low[0]), float(high[0]), len(clusters.dates), blocks, comparison.min_dates)]
    row = score(caller, known)
    test = diebold_mariano(clusters.shares(loss), clusters.shares(reference), span)
    return CallVerdict(
        model=caller.name,
        finding=finding,
        sentence=_sentence(finding, row, rows[best], len(clusters.dates)),
        baseline=rows[best].name,
        skill=float(skill(loss, reference)),
        low=float(low[0]),
        high=float(high[0]),
        p_value=test.p_value,
        dates=len(clusters.dates),
        blocks=blocks,
        confidence=comparison.confidence,
        warnings=_warnings(row),
    )


def gain_of(caller: Caller, over: Caller, known: Cases, comparison: ComparisonConfig, seed: int) -> Sequence[float]:
    """Accuracy of one model less that of another on the same days: (gain, low, high), clustered by date."""
    rose, moved = known.rose, known.moved
    difference = credits(caller.up[moved], rose) - credits(over.up[moved], rose)
    dates = [date for date, there in zip(known.dates, moved, strict=True) if there]
    ends = [end for end, there in zip(known.ends, moved, strict=True) if there]
    clusters, one = cluster(dates), np.ones((len(difference), 1))
    low, high = skill_intervals(
        clusters.sums(one - difference[:, None]),  # 1 - mean(1 - d) / mean(1) is the mean of d
        clusters.sums(one),
        span=target_span(dates, ends),
        resamples=comparison.resamples,
        confidence=comparison.confidence,
        seed=seed,
    )
    return float(difference.mean()), float(low[0]), float(high[0])


def _sentence(finding: CallFinding, row: CallRow, baseline: CallRow, dates: int) -> str:
    if finding == "too little data to tell":
        return (
            f"Too little data to tell: {dates} dates cannot separate skill from luck, whatever the numbers look like."
        )
    start, end = {
        "evidence of skill": ("Evidence of skill", ", more than luck explains"),
        "worse than the baseline": ("No evidence of skill, and worse than the baseline", ""),
        "no evidence of skill": ("No evidence of skill", ", which luck alone can explain"),
    }[finding]
    named = {"majority": "always calling the more frequent side", "yesterday": "repeating yesterday's sign"}
    return (
        f"{start}: {row.accuracy:.1%} of {row.moved} directions were right, against {baseline.accuracy:.1%} for "
        f"{named[baseline.name]}{end}."
    )


def _warnings(row: CallRow) -> tuple[str, ...]:
    found = []
    if row.unreadable_share > MANY_UNREADABLE:
        found.append(f"{row.unreadable_share:.0%} of its answers could not be read and counted as a coin.")
    if row.accuracy - row.swapped_accuracy < SWAP_GAIN:
        found.append("Given to other decisions its calls are as good: they do not follow what the model is shown.")
    if row.up_share > ONE_SIDED or row.up_share < 1.0 - ONE_SIDED:
        side = "up" if row.up_share > ONE_SIDED else "down"
        found.append(f"{max(row.up_share, 1.0 - row.up_share):.0%} of its calls say {side}.")
    return tuple(found)
