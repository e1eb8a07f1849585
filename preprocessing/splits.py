"""Splits windows into training, validation and test parts by date, the same dates for every stock."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from preprocessing.windows import Windows
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SplitDates:
    """First day of the validation part, first and last day of the test part."""

    val_start: np.datetime64
    test_start: np.datetime64
    test_end: np.datetime64 | None = None
    """None: the last day there is."""


def split_dates(calendars: Iterable[np.ndarray], data: DataConfig) -> SplitDates:
    """Computes where the parts begin.

    Args:
        calendars: each stock's dates, (T,) of datetime64.
        data: `val_start` and `test_start`, or shares of the union of all calendars.

    Raises:
        ConfigError: `val_start` or `test_start` is not an ISO date.
    """
    days = [np.asarray(dates, dtype="datetime64[D]") for dates in calendars]
    union = np.unique(np.concatenate(days)) if days else np.array([], dtype="datetime64[D]")
    if data.val_start and data.test_start:
        whole = SplitDates(_day("val_start", data.val_start), _day("test_start", data.test_start))
    else:
        val, test = share_bounds(len(union), data)
        whole = SplitDates(union[val], union[test])
    return whole if data.fold is None else fold_dates(union, whole, data.fold, data.folds)


def fold_dates(union: np.ndarray, whole: SplitDates, fold: int, folds: int) -> SplitDates:
    """Computes where the parts of one fold of a walk-forward begin and end.

    The test part is cut into pieces of as many days. Fold i is tested on the i-th piece; the days just before it, as
    many as the whole split's validation part has, are its validation part, and all days before those its training part.

    Args:
        union: all days, (T,) of datetime64[D].
        whole: the split without folds.
        fold: from 1.
        folds: how many there are.

    Raises:
        ConfigError: there are fewer test days than folds.
    """
    val, test = (int(np.searchsorted(union, day)) for day in (whole.val_start, whole.test_start))
    days = len(union) - test
    if days < folds:
        raise ConfigError(f"data.folds: {folds} folds need as many days in the test part, which has {days}")
    start, stop = (test + piece * days // folds for piece in (fold - 1, fold))
    return SplitDates(union[start - (test - val)], union[start], union[stop - 1])


def share_bounds(days: int, data: DataConfig) -> tuple[int, int]:
    """Computes the positions, in a calendar of so many days, of the first validation day and the first test day."""
    # 0.7 + 0.1 is a little less than 0.8 in binary: without the margin a whole day would move.
    return int(days * data.train_share + 1e-9), int(days * (data.train_share + data.val_share) + 1e-9)


def members(windows: Windows, dates: SplitDates) -> dict[str, slice]:
    """Tells which windows belong to which part.

    A window belongs to a part if its whole context and its whole target lie there, so no target reaches across a
    boundary, and no training target's day is ever seen in a validation context. Windows across a boundary are in
    `full` alone.

    Returns:
        `schema.SPLITS` -> slice of the windows (they are ordered by date, so each part is one piece).
    """
    starts, ends = windows.context_start, windows.target_end
    train_stop = int(np.searchsorted(ends, dates.val_start))
    val_first, val_stop = int(np.searchsorted(starts, dates.val_start)), int(np.searchsorted(ends, dates.test_start))
    test_first, test_stop = int(np.searchsorted(starts, dates.test_start)), len(starts)
    if dates.test_end is not None:
        test_stop = int(np.searchsorted(ends, dates.test_end, side="right"))
    return {
        "train": slice(0, train_stop),
        "val": slice(val_first, max(val_first, val_stop)),
        "test": slice(test_first, max(test_first, test_stop)),
        "full": slice(0, len(starts)),
    }


def _day(name: str, text: str) -> np.datetime64:
    # numpy alone would also take "2016" and "today".
    try:
        return np.datetime64(datetime.date.fromisoformat(text), "D")
    except ValueError as error:
        raise ConfigError(f"data.{name}: {text!r} is not a date; write it as 2016-03-01") from error
