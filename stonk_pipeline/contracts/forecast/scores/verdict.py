"""The rule that turns a comparison into one sentence.

Written down before any result is known, so that nobody can choose the words after seeing the numbers. The subject is
the final model's skill over persistence (median of its answers, test windows) and its date-clustered interval:

    1. fewer distinct dates than `min_dates`, or fewer than MIN_BLOCKS blocks  ->  too little data to tell
    2. the whole interval above zero                                           ->  evidence of skill
    3. the whole interval below zero                                           ->  worse than persistence
    4. otherwise                                                               ->  no evidence of skill
"""

from stonk_pipeline.evaluation.results import Finding, Row, Verdict

MIN_BLOCKS = 4.0
"""Stretches of time, three horizons long each, below which an interval means nothing: a market has its moods, and fewer
stretches may all fall into the same one."""

MANY_UNREADABLE = 0.05
MANY_STRAIGHT = 0.5
MANY_IDENTICAL = 0.5
INPUT_GAIN = 0.005
"""Skill that a forecast must lose when it is given to another window, or it does not come from the window."""
ONE_SIDED = 0.9


def decide(low: float, high: float, dates: int, blocks: float, min_dates: int) -> Finding:
    """The rule at the top of this file.

    Args:
        low, high: interval of the skill over persistence.
        dates: distinct decision dates.
        blocks: those dates divided by the length of a bootstrap block.
        min_dates: fewest dates that a verdict may rest on.
    """
    if dates < min_dates or blocks < MIN_BLOCKS:
        return "too little data to tell"
    if low > 0.0:
        return "evidence of skill"
    if high < 0.0:
        return "worse than persistence"
    return "no evidence of skill"


def give_verdict(row: Row, *, blocks: float, min_dates: int, confidence: float) -> Verdict:
    """The verdict on a model's row, with its sentence.

    Args:
        row: the final model's scores.
        blocks: distinct dates divided by the length of a bootstrap block.
        min_dates: fewest dates that a verdict may rest on.
        confidence: coverage of the row's intervals.
    """
    finding = decide(row.skill_low, row.skill_high, row.dates, blocks, min_dates)
    return Verdict(
        model=row.name,
        finding=finding,
        sentence=_sentence(row, finding, blocks, confidence),
        skill=row.skill,
        low=row.skill_low,
        high=row.skill_high,
        dates=row.dates,
        blocks=blocks,
        confidence=confidence,
        warnings=warnings_of(row),
    )


def _sentence(row: Row, finding: Finding, blocks: float, confidence: float) -> str:
    if finding == "too little data to tell":
        return (
            f"Too little data to tell: {row.dates} test dates hold about {blocks:.0f} independent stretches of time,"
            " and so few cannot separate skill from luck, whatever the numbers look like."
        )
    start, end = {
        "evidence of skill": ("Evidence of skill", ", more than luck explains"),
        "worse than persistence": ("No evidence of skill, and worse than persistence", ""),
        "no evidence of skill": ("No evidence of skill", ", which luck alone can explain"),
    }[finding]
    size = f"{abs(row.skill):.1%} {'smaller' if row.skill >= 0 else 'larger'}"
    return (
        f"{start}: on {row.windows} test windows the final model's errors are {size} than those of simply repeating"
        f" the last price{end} ({confidence:.0%} interval of the skill: {row.skill_low:+.1%} to {row.skill_high:+.1%})."
    )


def warnings_of(row: Row) -> tuple[str, ...]:
    """Signs, in plain words, that a model has collapsed or cannot write a forecast."""
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
