"""Turns time stamps into session dates, by finding the exchange's time zone, and refuses intraday bars.

A daily bar is often stamped with midnight of its exchange, written in UTC: `2021-01-03 23:00:00+00:00` is the German
session of the 4th. The zone in which all stamps are at midnight, summer and winter, gives the date back.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from preprocessing.dates import Stamps
from preprocessing.spacing import ONE_A_DAY, SATURDAY, trades_every_day, weekdays
from stonk_pipeline.errors import DataError

# Of several that fit, the first is named; they give the same dates.
ZONES = (
    *("America/New_York", "Europe/London", "Europe/Berlin", "Asia/Tokyo", "Asia/Hong_Kong", "Asia/Shanghai"),
    *("Asia/Kolkata", "Australia/Sydney", "America/Toronto", "America/Sao_Paulo", "Asia/Seoul", "America/Chicago"),
    *("Europe/Helsinki", "Europe/Moscow", "Europe/Istanbul", "Asia/Tel_Aviv", "Asia/Riyadh", "Asia/Singapore"),
    *("Asia/Taipei", "Asia/Bangkok", "Asia/Jakarta", "Asia/Karachi", "Asia/Kuala_Lumpur", "Asia/Manila"),
    *("Asia/Almaty", "Asia/Nicosia", "Pacific/Auckland", "Africa/Johannesburg", "Atlantic/Bermuda"),
    *("Atlantic/Reykjavik", "America/Argentina/Buenos_Aires", "America/Lima", "America/Mexico_City"),
    *("America/Santiago", "Europe/Amsterdam", "Europe/Athens", "Europe/Belgrade", "Europe/Bratislava"),
    *("Europe/Brussels", "Europe/Bucharest", "Europe/Budapest", "Europe/Copenhagen", "Europe/Dublin"),
    *("Europe/Lisbon", "Europe/Ljubljana", "Europe/Luxembourg", "Europe/Madrid", "Europe/Oslo", "Europe/Paris"),
    *("Europe/Prague", "Europe/Riga", "Europe/Rome", "Europe/Stockholm", "Europe/Tallinn", "Europe/Vienna"),
    *("Europe/Vilnius", "Europe/Warsaw", "Europe/Zagreb", "Europe/Zurich"),
)
"""Zones of the exchanges that `exchange_calendars` knows."""
SEVERAL_SHARE = 0.05
"""Share of days with several different stamps above which bars are intraday; a source may add the running one."""
ODD_SHARE = 0.02
"""Share of stamps that may miss midnight, as that of an unfinished session does."""


def session_days(path: Path, stamps: Stamps) -> tuple[np.ndarray, str | None]:
    """Finds the session that each stamp belongs to.

    Args:
        path: the file, for messages.
        stamps: (T,) dates as they are written.

    Returns:
        (dates (T,) datetime64[D], the exchange's zone that was found, or None: the dates are those written)

    Raises:
        DataError: several bars a day, or sessions on weekends among weekdays and no zone that explains them.
    """
    wall, minutes = stamps.local, stamps.offset
    written = wall.astype("datetime64[D]")
    there = ~np.isnat(wall)
    refuse_intraday(path, wall[there] - np.nan_to_num(minutes[there]).astype("timedelta64[m]"), written[there])
    odd = there & (written != wall)
    if odd.sum() <= max(1.0, ODD_SHARE * there.sum()) or trades_every_day(written[there]):
        return written, None
    zoned = not np.isnan(minutes[there]).any()
    weekend = weekdays(written[there]) >= SATURDAY
    if not zoned and not weekend.any():
        return written, None  # a time that every bar has, such as that of the close
    found = exchange_zone(wall[there] - np.nan_to_num(minutes[there]).astype("timedelta64[m]"))
    if found is not None:
        written[there] = found[1]
        return written, found[0]
    if weekend.any():
        raise DataError(
            f"{path}: {weekend.sum()} bars are dated on weekends, as {wall[there][weekend][0]}, and no exchange has "
            "midnight at these times; write the date of each session, without a time"
        )
    return written, None


def refuse_intraday(path: Path, stamps: np.ndarray, days: np.ndarray) -> None:
    """Refuses days with bars at several times; a stamp that comes again is a repeat, and no second bar.

    Raises:
        DataError: names the day, its first times, and how far apart bars are.
    """
    if len(np.unique(days)) == len(np.unique(stamps)):
        return  # the usual case, without the tables that the others need
    known = pd.DataFrame({"stamp": stamps, "day": days}).drop_duplicates("stamp").sort_values("stamp")
    counts = known.groupby("day")["stamp"].size()
    several = counts[counts > 1]
    if len(several) <= SEVERAL_SHARE * len(counts) or (len(several) == 1 and len(counts) > 1):
        return
    apart = known.groupby("day")["stamp"].diff().dropna().dt.total_seconds().median() / 60
    first = known.loc[known["day"] == several.index[0], "stamp"].dt.strftime("%H:%M")
    raise DataError(
        f"{path}: intraday bars, {counts.median():.0f} a day and {apart:.0f} minutes apart "
        f"({several.index[0].date()}: {', '.join(first[:3])}{', …' * (len(first) > 3)}); {ONE_A_DAY}"
    )


def exchange_zone(instants: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Finds the zone in which these times (UTC) are midnights of a trading week: (zone, the dates there)."""
    utc = pd.DatetimeIndex(instants).tz_localize("UTC")
    for name in ZONES:
        local = utc.tz_convert(ZoneInfo(name)).tz_localize(None)
        days = local.normalize()
        if (days != local).sum() <= max(1.0, ODD_SHARE * len(local)) and _is_trading_week(days.to_numpy()):
            return name, days.to_numpy().astype("datetime64[D]")
    return None


def _is_trading_week(days: np.ndarray) -> bool:
    """Whether hardly a bar is on a weekend: Saturday and Sunday, or Friday and Saturday."""
    counts = np.bincount(weekdays(days), minlength=7)
    return bool(min(counts[5] + counts[6], counts[4] + counts[5]) <= 0.01 * counts.sum())
