"""Says in words how far the bands of a forecast can be believed."""

from stonk_pipeline.records.forward_log import LogEntry


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
