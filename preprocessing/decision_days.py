"""Finds the session of forecasts from other programs whose dates have a time, by the rules that bars are read by.

A forecast for a German share may say `2022-03-24 23:00:00+00:00` of the 25th, as its bars do. Its first ten characters
are then the day before, which is a session too, and every forecast would be scored against the wrong closes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from preprocessing.dates import read_stamps
from preprocessing.repairs import refuse
from preprocessing.spacing import SATURDAY, trades_every_day, weekdays
from preprocessing.table import Table
from preprocessing.zones import exchange_zone
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import DATE

WEEKDAYS = 5
"""On so many must there be stamps before they show whose midnight they are: 21:00 in UTC is midnight in Moscow and the
close in New York, and only sessions on Saturdays tell which."""
FIRST, LAST = np.datetime64("1800-01-01"), np.datetime64("2200-01-01")
REMEDY = "write the date of the last known close alone, as 2018-01-02"


def decision_days(path: Path, rows: Sequence[int], texts: Sequence[str]) -> list[str]:
    """Finds the session that each stamp of a stock's forecasts belongs to.

    Args:
        path: the file, for messages.
        rows: (N,) where each stands in it.
        texts: (N,) the stamps, a year first, with a time or a zone behind.

    Returns:
        (N,) ISO dates: of the exchange whose midnight the stamps are, or those written.

    Raises:
        DataError: a stamp that is none, or too few to tell whose midnight they are.
    """
    table = Table(path, "row", np.array(rows), {DATE: np.array(texts, dtype=object)})
    stamps, _ = read_stamps(table, DataConfig())
    wall, minutes = stamps.local, np.nan_to_num(stamps.offset)
    written = wall.astype("datetime64[D]")
    strange = np.isnat(wall) | (written < FIRST) | (written > LAST)
    if strange.any():
        refuse(table, strange, "a date that is none, or of no market", REMEDY)
    clock = wall != written
    weekend = weekdays(written) >= SATURDAY
    plain = np.isnan(stamps.offset[clock]).all() and not weekend.any()
    if plain or trades_every_day(np.unique(written)):
        return [str(day) for day in written]
    if len(np.unique(weekdays(written))) < WEEKDAYS:
        what = f"date {shown(texts[int(clock.argmax())], 40)!r}: too few dates to tell of which exchange's day this is"
        refuse(table, clock, what, REMEDY)
    found = exchange_zone(wall - minutes.astype("timedelta64[m]"))
    if found is None and weekend.any():
        refuse(table, weekend, "a date on a weekend, and no exchange has midnight at these times", REMEDY)
    return [str(day) for day in (written if found is None else found[1])]
