"""Finds out how far apart bars are (days, weeks, months, irregular) and refuses those that are not wanted.

One long step says little: stocks rest on holidays, and some are hardly traded. So the spacing is what most steps are,
and a stretch of steps of another kind, as in a history that begins with weekly bars, is found by looking at each run of
`STRETCH` steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.periods import DAY, TRADING_DAY, WEEK

KINDS = {
    "daily": (1, 4),
    "weekly": (5, 9),
    "fortnightly": (12, 16),
    "monthly": (25, 36),
    "quarterly": (82, 100),
    "yearly": (350, 380),
}
"""Kind of bars -> fewest and most calendar days from one to the next."""
STRETCH = 20
"""Steps that are looked at together: a stretch of another spacing of this length is found."""
MOST = 0.9
"""Share of the steps that have to be of one kind."""
SINGLE = 0.15
"""Share of steps of a single day that daily bars have at least, also of stocks that are hardly traded."""
FEW = 10
"""Fewer steps are taken as they are."""
REPEATED = 0.05
"""Share of days that may have several rows beneath each other, as a source may add the running bar."""
STRAY = 0.01
"""Share of bars that may be on weekends in a market that rests on them: exchanges have special sessions."""
TRADED = 0.7
"""Share of the busiest day's bars that another day of the week has at least if the market trades on it: Mondays lose
some to holidays."""
SATURDAY = 5
ONE_A_DAY = (
    "only one bar a day is read: make one of them (first open, highest high, lowest low, last close, summed volume)"
)


@dataclass(frozen=True, slots=True)
class Spacing:
    """The spacing of bars, as a kind and in words."""

    kind: str
    """A key of `KINDS`, `mixed` or `irregular`."""
    said: str
    """The same in words, with dates where the spacing changes."""


def find_spacing(days: np.ndarray) -> Spacing | None:
    """Finds the spacing of bars.

    Args:
        days: (T,) datetime64[D], rising, each once.

    Returns:
        The spacing; None if there are too few bars to tell.
    """
    steps = np.diff(days).astype(np.int64)
    if len(steps) < FEW:
        return None
    stretches = sliding_window_view(steps, min(STRETCH, len(steps)))
    pure = {kind: _is_kind(stretches, kind) for kind in KINDS}
    found = [kind for kind in KINDS if pure[kind].any()]
    if len(found) > 1:
        parts = []
        for kind in found:
            starts = np.flatnonzero(pure[kind])
            mine = np.flatnonzero((steps >= KINDS[kind][0]) & (steps <= KINDS[kind][1]))
            mine = mine[(mine >= starts[0]) & (mine < starts[-1] + stretches.shape[1])]
            parts.append((starts[0], f"{kind} from {days[mine[0]]} to {days[mine[-1] + 1]}"))
        return Spacing("mixed", ", ".join(said for _, said in sorted(parts)))
    for kind in KINDS:
        if _is_kind(steps[None], kind)[0]:
            return Spacing(kind, kind)
    # A stock that is traded every few days has long steps among single ones; bars of a week or a month never have.
    if np.mean(steps == 1) >= SINGLE and np.median(steps) <= KINDS["daily"][1]:
        return Spacing("daily", "daily")
    return Spacing("irregular", f"irregular, {np.median(steps):g} days apart in the middle, at most {steps.max()}")


def _is_kind(steps: np.ndarray, kind: str) -> np.ndarray:
    """(N, S) steps -> (N,) whether nearly all of a row are of a kind."""
    low, high = KINDS[kind]
    most: np.ndarray = ((steps >= low) & (steps <= high)).mean(axis=1) >= MOST
    return most & ((steps == 1).mean(axis=1) >= SINGLE) if kind == "daily" else most


def check_spacing(path: Path, days: np.ndarray, wanted: str) -> None:
    """Refuses bars whose spacing is not the wanted one.

    Args:
        path: the file, for messages.
        days: (T,) datetime64[D], rising.
        wanted: `data.bars`.

    Raises:
        DataError: names the spacing and the remedy.
    """
    spacing = find_spacing(days)
    if spacing is None or spacing.kind == wanted:
        return
    if spacing.kind == "weekly":
        remedy = "give daily bars or, outside of an ingest, set data.bars to weekly to forecast weeks"
    elif spacing.kind == "mixed":
        remedy = "cut off the rows of all but one spacing"
    else:
        remedy = f"give it {wanted} bars"
    raise DataError(f"{path}: the bars are {spacing.said}, and {wanted} ones are expected; {remedy}")


def refuse_several_a_day(path: Path, days: np.ndarray) -> None:
    """Refuses days with several neighbouring rows: bars of hours or minutes without a time.

    Args:
        path: the file, for messages.
        days: (T,) datetime64[D] in the file's order; a file that was written twice has its days far apart.

    Raises:
        DataError: names how many rows a day has, and the remedy.
    """
    known = days[~np.isnat(days)]
    again = known[1:][known[1:] == known[:-1]]
    each, counts = np.unique(known, return_counts=True)
    if len(np.unique(again)) > max(1.0, REPEATED * len(each)):
        raise DataError(
            f"{path}: intraday bars, {np.median(counts):.0f} a day (as on {again[0]}); {ONE_A_DAY}, or "
            "delete the rows that are repeats"
        )


def weekend_sessions(days: np.ndarray) -> np.ndarray:
    """Finds bars on Saturdays and Sundays of a market that rests on that day.

    Args:
        days: (T,) datetime64[D].

    Returns:
        (T,) bool; nothing of a market that trades on that day of the week as on others, in Riyadh or around the clock.
    """
    weekday = weekdays(days)
    counts = np.bincount(weekday, minlength=7)
    rests = counts < TRADED * counts.max()
    return np.asarray((weekday >= SATURDAY) & rests[weekday])


def trades_every_day(days: np.ndarray) -> bool:
    """Tells whether bars come on Saturdays and Sundays about as often as on other days."""
    counts = np.bincount(weekdays(days), minlength=7)
    return bool(counts.min() >= TRADED * counts.max() > 0)


def period_of(days: np.ndarray, data: DataConfig) -> str:
    """Returns what one bar spans, a key of `periods.A_YEAR`: found from its days, or set by `data.market_days`.

    Args:
        days: (T,) datetime64[D].
        data: `bars`, `market_days`.
    """
    if data.bars == "weekly":
        return WEEK
    seven = trades_every_day(days) if data.market_days == "auto" else data.market_days == "seven"
    return DAY if seven else TRADING_DAY


def common_period(days: Mapping[str, np.ndarray], data: DataConfig) -> str:
    """Returns what one bar spans in all stocks of a run; refuses a mixture.

    Args:
        days: stock -> (T,) datetime64[D].
        data: `bars`, `market_days`.

    Raises:
        DataError: some stocks trade on weekends and others rest then.
    """
    periods = {stock: period_of(of_stock, data) for stock, of_stock in days.items()}
    if len(set(periods.values())) > 1:
        seven = [stock for stock, period in periods.items() if period == DAY]
        five = [stock for stock, period in periods.items() if period == TRADING_DAY]
        raise DataError(
            f"{', '.join(seven[:5])}: bars on seven days a week; {', '.join(five[:5])}: on five. A forecast of so many "
            "bars ahead would mean different times; give each kind a run of its own, or set data.market_days"
        )
    return next(iter(periods.values()))


def weekdays(days: np.ndarray) -> np.ndarray:
    """Computes weekdays: (T,) datetime64 -> (T,) 0 for Monday to 6 for Sunday."""
    # The first day of numpy's calendar, 1970-01-01, was a Thursday.
    return (days.astype("datetime64[D]").astype(np.int64) + 3) % 7
