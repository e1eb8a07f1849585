"""Checks the weekdays of bars, which reveal dates that are one day off, and drops unfinished weeks.

Nearly all exchanges trade from Monday to Friday. Bars from Tuesday to Saturday, or from Sunday to Thursday, are mostly
those of such an exchange with every date one day off, since midnight was written in another zone and cut to a date. The
few markets with another week have to be named by `data.market_days`.
"""

import datetime

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from preprocessing.repairs import Repair, note, refuse, remark
from preprocessing.spacing import FEW, KINDS, SATURDAY, STRAY, TRADED, trades_every_day, weekdays, weekend_sessions
from preprocessing.table import Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.schema import DATE

NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
REST = {"five": (5, 6), "sunday_to_thursday": (4, 5)}
"""`data.market_days` -> days of the week without sessions."""
STRETCH, FEWEST = 150, 40
"""Bars that have to hold every day of the trading week, and the fewest that do: some seven months. New York rested on
Wednesdays from June to December 1968, for 116 bars."""
NEVER = 0.02
"""Share of the bars below which a market does not trade on a day of the week; a fifth is usual."""
SUNDAY = 6
REMEDIES: dict[tuple[int, ...], str] = {
    (6, 0, 1, 2, 3): "dates that are one day early, as those in UTC of a market east of Greenwich, need the time or "
    "the zone that was cut off; if the market trades on these days (Riyadh; Tel Aviv until 2025), set data.market_days "
    "to sunday_to_thursday",
    (1, 2, 3, 4, 5): "dates that are one day late, as those of the end of a day, have to be those of the session",
}
"""Days of the week with sessions -> what to do."""


def check_week(table: Table, data: DataConfig, repairs: list[Repair], zoned: bool) -> None:
    """Refuses dates that no trading week explains; notes sessions on days of rest.

    Args:
        table: sorted daily or weekly bars.
        data: `market_days`: what is set is believed, and what contradicts it is noted.
        repairs: receives a note.
        zoned: the file says in which zone its dates are, so they are not off.

    Raises:
        DataError: there are sessions on weekends, or a day of the week has none.
    """
    if data.market_days == "seven":
        return
    days = table.columns[DATE]
    weekday = weekdays(days)
    if data.market_days in REST:
        bad = np.isin(weekday, REST[data.market_days]) if data.bars == "daily" else np.zeros(len(days), dtype=bool)
        rest = "a Saturday or Sunday" if data.market_days == "five" else "a Friday or Saturday"
        note(repairs, days[bad], "weekend", f"on {rest}, though the market rests then; kept", changed=False)
        missing = _missing_day(days) if data.bars == "daily" and data.market_days == "five" else None
        if missing is not None:
            remark(repairs, table, "missing_weekday", f"{missing[1]}; kept")
        return
    if data.bars == "daily" and not zoned and len(days) >= FEWEST // 2 and not trades_every_day(days):
        _refuse_other_weeks(table, weekday)
    bad = weekend_sessions(days)
    if bad.sum() > STRAY * len(days):
        what = f"{days[bad][0]} is on a weekend, and this market trades on weekdays"
        remedy = "write the date of each session (times in UTC belong to the day before or after), or set "
        refuse(table, bad, what, remedy + "data.market_days to five if it was traded then")
    note(repairs, days[bad], "weekend", "on a Saturday or Sunday, though the market rests then; kept", changed=False)
    missing = _missing_day(days) if data.bars == "daily" and not zoned and not trades_every_day(days) else None
    if missing is not None:
        remedy = "add the missing bars, write the date of each session if the dates are off, or set data.market_days "
        remedy += "to five if the market rested on that day"
        refuse(table, np.arange(len(days)) == missing[0], missing[1], remedy)


def _refuse_other_weeks(table: Table, weekday: np.ndarray) -> None:
    """Raises where Saturdays or Sundays are traded as often as other days, and not all seven."""
    counts = np.bincount(weekday, minlength=7)
    traded = counts >= TRADED * counts.max()
    if not traded[SATURDAY:].any():
        return
    days = table.columns[DATE]
    order = (6, 0, 1, 2, 3, 4, 5) if traded[SUNDAY] else tuple(range(7))
    found = tuple(day for day in order if traded[day])
    span = ", ".join(NAMES[day] for day in found)
    remedy = REMEDIES.get(found, "if the market traded on these days, set data.market_days to five")
    refuse(table, weekday >= SATURDAY, f"{days[weekday >= SATURDAY][0]} is on a weekend; sessions on {span}", remedy)


def _missing_day(days: np.ndarray) -> tuple[int, str] | None:
    """(first of `STRETCH` bars without one of Monday to Friday, which day that is in words), or None."""
    weekday, count = weekdays(days), len(days)
    if count < FEWEST:
        return None
    size = min(STRETCH, count)
    for day in range(SATURDAY):
        shares = sliding_window_view(weekday == day, size).mean(axis=1)
        if shares.min() <= (NEVER if count >= STRETCH else 0.0):
            first = int(shares.argmin())
            return first, f"hardly a bar on a {NAMES[day]} from {days[first]} to {days[first + size - 1]}"
    return None


def drop_unfinished_week(table: Table, data: DataConfig, repairs: list[Repair], today: np.datetime64) -> Table:
    """Drops the last weekly bar if its week was not over when the file was written, or is not over now.

    Yahoo gives the running week by two rows: one dated as the other weeks are, and one dated on its last session.

    Args:
        table: sorted bars, whose spacing was checked.
        data: `bars`; anything but weekly bars is left as it is.
        repairs: receives a note.
        today: the day (UTC).
    """
    days = table.columns[DATE]
    if data.bars != "weekly" or len(days) <= FEW:
        return table
    weekday = weekdays(days)
    usual = int(np.bincount(weekday, minlength=7).argmax())
    before, last = days[-2], days[-1]
    # Weeks are dated by their first day, or by their last session.
    dated_first = usual in (SUNDAY, 0)
    step = int((last - before).astype(int))
    cut = step < KINDS["weekly"][0] or (weekday[-2] == usual and step == KINDS["weekly"][0])
    drop = np.zeros(len(days), dtype=bool)
    drop[-1] = cut
    drop[-2] = cut and dated_first and weekday[-2] == usual
    if not cut:
        ahead = 4 + (usual == SUNDAY) if dated_first else (usual - int(weekday[-1])) % 7
        end = last + np.timedelta64(ahead, "D")
        drop[-1] = last <= today and (today <= end if dated_first else today < end)
    note(repairs, days[drop], "unfinished_week", "of a week that was not over; dropped")
    return table.take(~drop)


def today() -> np.datetime64:
    """Returns today's date in UTC."""
    return np.datetime64(datetime.datetime.now(datetime.UTC).date())
