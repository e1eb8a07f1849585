"""Checks that forecasts of other programs are of the very windows that are scored.

A window without a forecast counts as persistence. A file whose dates or symbols are written in another way has none,
and would be given the scores of persistence as its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import shown

MIN_SHARE = 0.5
"""Of the test windows that need a forecast of their own before a file is scored."""
Key = tuple[str, str]
"""(stock, decision date)."""


@dataclass(frozen=True)
class Match:
    """Counts of how the rows of a file match bars and test windows."""

    rows: int
    matching: int
    """Rows of a test window."""
    covered: int
    """Test windows with a row."""
    windows: int
    strangers: int
    """Rows of no bar at all; the others are of a bar, inside or outside of the test part."""
    stranger: Key | None
    """The first of them."""

    @property
    def share(self) -> float:
        """Computes the share of test windows with a forecast of their own, 0 to 1."""
        return self.covered / self.windows if self.windows else 0.0


def match(rows: Mapping[Key, int], wanted: list[Key], bars: set[Key]) -> Match:
    """Matches the rows of a file with the test windows.

    Args:
        rows: key -> rows of the file, in their order.
        wanted: of the test windows.
        bars: of every bar.

    Example:
        >>> day = ("A", "2018-01-03")
        >>> found = match({("A", "02/01/2018"): 2, day: 1}, [day], {day})
        >>> found.share, found.matching, found.stranger
        (1.0, 1, ('A', '02/01/2018'))
    """
    tested = set(wanted)
    strange = [key for key in rows if key not in bars]
    return Match(
        rows=sum(rows.values()),
        matching=sum(count for key, count in rows.items() if key in tested),
        covered=len(tested & rows.keys()),
        windows=len(tested),
        strangers=sum(rows[key] for key in strange),
        stranger=strange[0] if strange else None,
    )


def require_match(name: str, rows: Mapping[Key, int], wanted: list[Key], bars: set[Key], least: float) -> str | None:
    """Refuses a file whose forecasts are of other windows; returns a note on rows that are of no bar, or None.

    Args:
        name: of the file.
        rows, wanted, bars: as for `match`.
        least: share of the test windows that need a forecast of their own.

    Raises:
        DataError: no row is of a test window, or too few windows have one.
    """
    found = match(rows, wanted, bars)
    if not found.matching:
        first = next(iter(rows))
        raise DataError(f"{name}: none of {found.rows} rows matches a test window: {_beside(first, wanted)}")
    if found.share < least:
        missing = next(key for key in wanted if key not in rows)
        cause = f"; the first row of no bar is {_named(found.stranger)}" if found.stranger else ""
        raise DataError(
            f"{name}: only {found.covered} of {found.windows} test windows ({found.share:.1%}) have a forecast, and "
            f"the others would count as persistence{cause}; the first window without one is {_named(missing)}. Give "
            f"their forecasts, name the file's stocks with --stock, or allow it with --min-share {_floor(found.share)}"
        )
    if found.stranger is None:
        return None
    return (
        f"{name}: {found.strangers} of {found.rows} rows are of no bar and count for nothing, the first of them "
        f"{_named(found.stranger)}"
    )


def _beside(first: Key, wanted: list[Key]) -> str:
    same = [key for key in wanted if key[0] == first[0]]
    expected = (same or wanted)[0]
    where = "" if same else f"; {shown(first[0], 40)!r} is no stock of these bars"
    last = (same or wanted)[-1][1]
    return (
        f"the first row is {_named(first)}, the first expected {_named(expected)}{where}. Name stocks as their files "
        "are named, and write the date of the last known close as year-month-day; the test part is "
        f"{expected[1]} to {last}"
    )


def _named(key: Key) -> str:
    return f"{shown(key[0], 40)!r} on {shown(key[1], 40)!r}"


def _floor(share: float) -> str:
    """A share, rounded so that it is not above itself."""
    return f"{int(share * 1000) / 1000:g}"
