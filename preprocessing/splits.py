"""Train, validation and test by calendar date, the same dates for every stock."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from preprocessing.windows import Windows
from stonk_pipeline.config import DataConfig
from stonk_pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SplitDates:
    """First day of the validation part and first day of the test part."""

    val_start: np.datetime64
    test_start: np.datetime64


def split_dates(calendars: Iterable[np.ndarray], data: DataConfig) -> SplitDates:
    """Where the parts begin.

    Args:
        calendars: each stock's dates, (T,) of datetime64.
        data: `val_start` and `test_start`, or shares of the union of all calendars.

    Raises:
        ConfigError: `val_start` or `test_start` is not an ISO date.
    """
    if data.val_start and data.test_start:
        return SplitDates(_day("val_start", data.val_start), _day("test_start", data.test_start))
    union = np.unique(np.concatenate([np.asarray(dates, dtype="datetime64[D]") for dates in calendars]))
    val, test = share_bounds(len(union), data)
    return SplitDates(union[val], union[test])


def share_bounds(days: int, data: DataConfig) -> tuple[int, int]:
    """Positions, in a calendar of so many days, of the first validation day and the first test day."""
    # 0.7 + 0.1 is a little less than 0.8 in binary: without the margin a whole day would move.
    return int(days * data.train_share + 1e-9), int(days * (data.train_share + data.val_share) + 1e-9)


def members(windows: Windows, dates: SplitDates) -> dict[str, slice]:
    """Which windows belong to which part.

    A window belongs to a part if its whole context and its whole target lie there, so no target reaches across a
    boundary, and no training target's day is ever seen in a validation context. Windows across a boundary are in
    `full` alone.

    Returns:
        `schema.SPLITS` -> slice of the windows (they are ordered by date, so each part is one piece).
    """
    starts, ends = windows.context_start, windows.target_end
    train_stop = int(np.searchsorted(ends, dates.val_start))
    val_first, val_stop = int(np.searchsorted(starts, dates.val_start)), int(np.searchsorted(ends, dates.test_start))
    test_first = int(np.searchsorted(starts, dates.test_start))
    return {
        "train": slice(0, train_stop),
        "val": slice(val_first, max(val_first, val_stop)),
        "test": slice(test_first, len(starts)),
        "full": slice(0, len(starts)),
    }


def _day(name: str, text: str) -> np.datetime64:
    # numpy alone would also take "2016" and "today".
    try:
        return np.datetime64(datetime.date.fromisoformat(text), "D")
    except ValueError as error:
        raise ConfigError(f"data.{name}: {text!r} is not a date; write it as 2016-03-01") from error
