"""Decides whether called directions are luck: the rule of all contracts, applied to the share of wrong sides.

The subject is a model's skill over the better of two baselines, `1 - its errors / theirs`: the majority class, chosen
with hindsight, and yesterday's sign. The better one is chosen on the same days, which makes the test harder, not
easier.
"""

from dataclasses import replace

import numpy as np

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.scores.calls import Caller, CallRow, Cases, accuracy, baselines, credits, score
from stonk_pipeline.evaluation.losses import End, Losses
from stonk_pipeline.evaluation.verdict import (
    INPUT_GAIN,
    MANY_UNREADABLE,
    ONE_SIDED,
    Ruling,
    Verdict,
    gain,
    judge,
    words,
)

NAMED = {"majority": "always calling the more frequent side", "yesterday": "repeating yesterday's sign"}


def better_baseline(known: Cases) -> Caller:
    """Returns the baseline that was right more often on these very days: who beats it beats both."""
    return max(baselines(known), key=lambda baseline: accuracy(baseline, known))


def losses_of(caller: Caller, known: Cases) -> Losses:
    """Computes wrong sides (1, or 0.5 for a coin) of a caller and the better baseline, on the days that moved."""
    best = better_baseline(known)
    own, baseline = (1.0 - credits(one.up[known.moved], known.rose) for one in (caller, best))
    rows = np.flatnonzero(known.moved)
    dates, ends = tuple(known.dates[row] for row in rows), tuple(known.ends[row] for row in rows)
    return Losses(own, baseline, best.name, dates, ends)


def give_verdict(caller: Caller, known: Cases, comparison: ComparisonConfig, seed: int) -> Verdict:
    """Gives the verdict on one model, with its sentence.

    Args:
        caller: its calls.
        known: what came.
        comparison: `resamples`, `confidence` and `min_dates`.
        seed: of the bootstrap.
    """
    row, baseline = score(caller, known), score(better_baseline(known), known)
    ruling = judge(losses_of(caller, known), comparison, seed)
    said = {"sentence": _sentence(ruling, row, baseline), "warnings": _warnings(row)}
    return Verdict(model=caller.name, baseline=baseline.name, **said, **ruling.model_dump())


def gain_of(
    caller: Caller, over: Caller, known: Cases, comparison: ComparisonConfig, seed: int
) -> tuple[float, End, End]:
    """Computes the accuracy of one model less another's on the same days: (gain, low, high), clustered by date.

    An accuracy is the skill over a caller that is always wrong.
    """
    after, before = losses_of(caller, known), losses_of(over, known)
    (found,), (low,), (high,) = gain(replace(after, baseline=np.ones(len(after.own))), before, comparison, seed)
    return found, low, high


def _sentence(ruling: Ruling, row: CallRow, baseline: CallRow) -> str:
    if ruling.finding == "too little data to tell":
        return (
            f"Too little data to tell: {ruling.dates} dates cannot separate skill from luck, whatever the numbers look"
            " like."
        )
    start, end = words(ruling.finding, "the baseline")
    return (
        f"{start}: {row.accuracy:.1%} of {row.moved} directions were right, against {baseline.accuracy:.1%} for "
        f"{NAMED[baseline.name]}{end}."
    )


def _warnings(row: CallRow) -> tuple[str, ...]:
    found = []
    if row.unreadable_share > MANY_UNREADABLE:
        found.append(f"{row.unreadable_share:.0%} of its answers could not be read and counted as a coin.")
    if row.accuracy - row.swapped_accuracy < INPUT_GAIN:
        found.append("Given to other decisions its calls are as good: they do not follow what the model is shown.")
    if row.up_share > ONE_SIDED or row.up_share < 1.0 - ONE_SIDED:
        side = "up" if row.up_share > ONE_SIDED else "down"
        found.append(f"{max(row.up_share, 1.0 - row.up_share):.0%} of its calls say {side}.")
    return tuple(found)
