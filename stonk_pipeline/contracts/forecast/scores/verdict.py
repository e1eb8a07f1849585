"""Puts the verdict on forecasts into words: a sentence on the final model, and signs that it has collapsed."""

from collections.abc import Sequence

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.forecast.scores.rows import Row
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.verdict import (
    INPUT_GAIN,
    MANY_UNREADABLE,
    ONE_SIDED,
    BestBaseline,
    Ruling,
    Verdict,
    addition,
    gain,
    words,
)

MANY_STRAIGHT = 0.5
MANY_IDENTICAL = 0.5
DECIMALS = 6
"""Of errors in percent, beyond which two forecasts are one: smoothing with a weight of 1 is persistence."""


def give_verdict(row: Row, ruling: Ruling, best: BestBaseline | None = None) -> Verdict:
    """Gives the verdict on a model's row, with its sentence; the p-value stands in the row."""
    numbers = ruling.model_dump(exclude={"p_value"})
    said = {"sentence": _sentence(row, ruling), "warnings": warnings_of(row)}
    return Verdict(model=row.name, best_baseline=best, **said, **numbers)


def best_row(rows: Sequence[Row]) -> Row:
    """Finds the baseline with the smallest error; persistence, which stands first, unless one is truly better."""
    return min((row for row in rows if row.kind == "baseline"), key=lambda row: round(row.mae, DECIMALS))


def best_baseline(
    row: Row, own: Losses, ruling: Ruling, after: Losses, comparison: ComparisonConfig, seed: int
) -> BestBaseline:
    """Compares a model with the best numeric baseline on the same windows: the bootstrap draws dates for both at once.

    Args:
        row: of the baseline.
        own: its losses.
        ruling: on the model.
        after: the losses of the model.
        comparison: resamples, confidence and the fewest dates.
        seed: of the bootstrap.
    """
    (found,), (low,), (high,) = gain(after, own, comparison, seed)
    return BestBaseline(
        name=row.name,
        skill=row.skill,
        low=row.skill_low,
        high=row.skill_high,
        addition=addition(low, high, ruling.dates, ruling.blocks, comparison.min_dates),
        gain=found,
        gain_low=low,
        gain_high=high,
    )


def _sentence(row: Row, ruling: Ruling) -> str:
    if ruling.finding == "too little data to tell":
        return (
            f"Too little data to tell: {row.dates} test dates hold about {ruling.blocks:.0f} independent "
            f"{'stretch' if round(ruling.blocks) == 1 else 'stretches'} of time, and so few cannot separate skill from "
            "luck, whatever the numbers look like."
        )
    start, end = words(ruling.finding, "persistence")
    size = f"{abs(row.skill):.1%} {'smaller' if row.skill >= 0 else 'larger'}"
    return (
        f"{start}: on {row.windows} test windows the final model's errors are {size} than those of simply repeating"
        f" the last price{end} ({ruling.confidence:.0%} interval of the skill: {row.skill_low:+.1%} to"
        f" {row.skill_high:+.1%})."
    )


def warnings_of(row: Row) -> tuple[str, ...]:
    """Lists signs, in plain words, that a model has collapsed or cannot write a forecast."""
    found = []
    if row.unreadable_share > MANY_UNREADABLE:
        found.append(
            f"{row.unreadable_share:.0%} of its answers could not be read and counted as the last price repeated."
        )
    if row.straight_share > MANY_STRAIGHT:
        found.append(f"{row.straight_share:.0%} of its answers are straight lines.")
    if row.identical_share > MANY_IDENTICAL:
        found.append(f"{row.identical_share:.0%} of its answers are one and the same.")
    if row.skill - row.swapped_skill < INPUT_GAIN:
        found.append("Given to other windows its forecasts are as good: they do not follow what the model is shown.")
    if row.up_share > ONE_SIDED or row.up_share < 1.0 - ONE_SIDED:
        side = "up" if row.up_share > ONE_SIDED else "down"
        share = max(row.up_share, 1.0 - row.up_share)
        found.append(f"{share:.0%} of its answers say {side}: it may have stopped looking at its input.")
    return tuple(found)
