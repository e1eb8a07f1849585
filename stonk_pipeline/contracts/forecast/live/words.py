"""Says in words how far the bands of a forecast can be believed."""

import math

from stonk_pipeline.contracts.forecast.live.calendar import in_weeks
from stonk_pipeline.evaluation.quantiles import INTERVALS, MEDIAN
from stonk_pipeline.records.forward_log import LogEntry
from stonk_pipeline.report.style import percent


def bands_in_words(entry: LogEntry) -> str:
    """Says what share of closes the bands of this model held on test windows, or that they were never calibrated."""
    if entry.coverage is None:
        return (
            "Its bands are the spread of its answers and are not calibrated: they may hold far fewer closes than they "
            "say. The registered model of a finished run has calibrated ones."
        )
    held = [f"its {float(level):.0%} band held {entry.coverage[level]:.0%}" for level in ("0.5", "0.8", "0.9")]
    return f"Calibrated; on {entry.tested:,} test windows, {', '.join(held[:-1])} and {held[-1]} of what came."


def shortest(entry: LogEntry) -> str:
    """Says the same in half a line."""
    if entry.coverage is None:
        return "not calibrated: may hold far fewer closes than they say"
    return f"the 90 % band held {entry.coverage['0.9']:.0%} of what came in {entry.tested:,} test windows"


def decimals_of(entry: LogEntry) -> int:
    """Chooses with how many decimals prices of a forecast are written: two, and more where the last close is small."""
    return min(12, max(2, 3 - math.floor(math.log10(entry.last_close))))


def price(value: float, decimals: int) -> str:
    """Writes a price with so many decimals, and one beyond a billion with four digits."""
    return f"{value:,.{decimals}f}" if abs(value) < 1e9 else f"{value:.4g}"


def move_in_words(entry: LogEntry) -> str:
    """Says how far the median is from the last close on the last day of a forecast, and how far its 90% band reaches.

    Nothing in it says how likely that is: `bands_in_words` does.
    """
    low, high = (entry.quantiles[entry.levels.index(level)][-1] for level in INTERVALS["0.9"])
    median, last, days = entry.quantiles[MEDIAN][-1], entry.last_close, len(entry.targets)
    place, told = decimals_of(entry), percent(abs(median / last - 1))
    period = "week" if in_weeks(entry.last_bar, entry.targets) else "session"
    side = "as good as the last close" if told == "0.0%" else f"{told} {'above' if median > last else 'below'} it"
    return (
        f"From the last close of {price(last, place)} on {entry.last_bar}, the median goes to {price(median, place)} "
        f"by {entry.targets[-1]}, {days} {period}{'' if days == 1 else 's'} ahead: {side}. The 90% band reaches from "
        f"{price(low, place)} to {price(high, place)}."
    )
