"""Parses dates: finds the form of a column, and refuses it where day and month could be either."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from preprocessing.repairs import Repair, note, refuse
from preprocessing.table import Table
from preprocessing.values import cell_text
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import DATE

CLOCK = (
    r"(?:[T ,]\s*(?P<h>[0-9]{1,2}):(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,][0-9]+)?)?(?:\s*(?P<half>[AaPp])[Mm])?)?"
)
ZONE = r"\s*(?P<zone>Z|(?:UTC|GMT)?[+-][0-9]{2}:?[0-9]{2}|UTC|GMT)?"
NAME = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FORMS = {
    "iso": r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})",
    "year_first": r"(?P<y>[0-9]{4})[./](?P<m>[0-9]{1,2})[./](?P<d>[0-9]{1,2})",
    "compact": r"(?P<y>1[89][0-9]{2}|20[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
    "two_orders": r"(?P<a>[0-9]{1,2})[./-](?P<b>[0-9]{1,2})[./-](?P<y>[0-9]{4})",
    "month_name": rf"(?i:(?:[a-z]{{3}},? )?{NAME} (?P<d>[0-9]{{1,2}}),? (?P<y>[0-9]{{4}}))",
    "day_name": r"(?i:(?:[a-z]{3},? )?(?P<d>[0-9]{1,2})[ -]" + NAME + r"[ ,-]+(?P<y>[0-9]{4}))",
}
"""Regular expressions of the dates that people write, before a clock and a zone."""
ISO = re.compile(FORMS["iso"], re.ASCII)
EPOCH, SERIAL = r"[0-9]{9,19}", r"[2-6][0-9]{4}(?:\.[0-9]+)?"
EPOCH_UNITS = ((1e17, "ns", "nanoseconds"), (1e14, "us", "microseconds"), (1e11, "ms", "milliseconds"))
"""From which number on a time since 1970 is in this unit; so each unit begins in 1973."""
SAID = {
    "year_first": "dates as 2021/01/04",
    "compact": "dates as 20210104",
    "month_name": "month names in the dates",
    "day_name": "month names in the dates",
    "serial": "dates as Excel's serial days",
}
SERIAL_START = np.datetime64("1899-12-30")
"""Day 0 of Excel's dates from March 1900 on."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """Dates as they are written, with their times of day and zones."""

    local: np.ndarray
    """(T,) datetime64[s], as the clock shows it; NaT where there is none."""
    offset: np.ndarray
    """(T,) minutes east of UTC; NaN where no zone is written."""


def read_stamps(table: Table, data: DataConfig) -> tuple[Stamps, list[str]]:
    """Parses the dates of a file.

    Args:
        table: a file's content.
        data: `dates` decides whether the day or the month comes first where both may.

    Returns:
        (dates, for the report: what is unusual in how they are written)

    Raises:
        DataError: a date that cannot be read or has another form than the most, or day and month may be either.
    """
    column = table.columns[DATE]
    if column.dtype.kind == "M":
        return _bare(column.astype("datetime64[s]")), []
    quick = _plain_days(column)
    if quick is not None:
        return _bare(quick), []
    text = cell_text(column)
    numbered = text.str.match("[0-9]").fillna(False).astype(bool)  # pandas reads "today" and "now", whatever the format
    plain = pd.to_datetime(text.astype(object).where(numbered, None), format="%Y-%m-%d", errors="coerce")
    days, there = plain.to_numpy().astype("datetime64[s]"), text.notna().to_numpy(dtype=bool)
    if not (np.isnat(days) & there).any():
        return _bare(days), []
    form = _form(text)
    if form == "epoch":
        stamps, said = _epochs(text)
    elif form == "serial":
        stamps, said = _serials(text), [SAID[form]]
    else:
        stamps, said = _written(table, text, form, data)
    bad = np.isnat(stamps.local) & there
    if bad.any():
        refuse(table, bad, f"date {shown(text[bad].iloc[0], 60)!r} cannot be read", "write dates as 2016-06-29")
    return stamps, said


def tell_times(stamps: Stamps, days: np.ndarray, zone: str | None, repairs: list[Repair]) -> None:
    """Reports times of day and zones in the dates; midnight alone changes nothing.

    Args:
        stamps: as they are written.
        days: (T,) datetime64[D], the sessions they belong to.
        zone: in which they are at midnight; None if the dates are those written.
        repairs: what is known so far.
    """
    there = ~np.isnat(stamps.local)
    clock = there & (stamps.local != stamps.local.astype("datetime64[D]"))
    if zone is not None:
        note(repairs, days[there], "time_of_day", f"at midnight in {zone}; the date there taken")
        return
    what = "with a time of day; removed, the date kept as written"
    note(repairs, days[clock], "time_of_day", what)
    zoned = there & ~np.isnan(stamps.offset) & ~clock
    what = "at midnight with a time zone; the date is taken as written"
    note(repairs, days[zoned], "time_of_day", what, changed=False)


def _bare(local: np.ndarray) -> Stamps:
    return Stamps(local, np.full(len(local), np.nan))


def _plain_days(column: np.ndarray) -> np.ndarray | None:
    """Days of cells that are all as 2021-01-04, which is quick to see and the usual case; else None."""
    cells = column.tolist()
    if not all(isinstance(cell, str) and ISO.fullmatch(cell) for cell in cells):
        return None
    try:
        return np.array(cells, dtype="datetime64[D]").astype("datetime64[s]")
    except ValueError:
        return None  # no day of the calendar; said below


def _form(text: pd.Series) -> str:
    """The form that most dates have; the first of `FORMS` if several do."""
    patterns = {name: pattern + CLOCK + ZONE for name, pattern in FORMS.items()} | {"epoch": EPOCH, "serial": SERIAL}
    counts = {name: int(text.str.fullmatch(pattern).fillna(False).sum()) for name, pattern in patterns.items()}
    return max(counts, key=lambda name: counts[name])


def _epochs(text: pd.Series) -> tuple[Stamps, list[str]]:
    """Seconds or their parts since 1970; each by its size, for Binance changed the unit in 2025."""
    numbers = pd.to_numeric(text.where(text.str.fullmatch(EPOCH)), errors="coerce").fillna(0).to_numpy(dtype=np.float64)
    # As integers: the nanoseconds of a day's last second would round to the next day as floats.
    whole = np.array([int(cell) if value else 0 for cell, value in zip(text, numbers, strict=True)], dtype=np.uint64)
    local, units, left = np.full(len(text), "NaT", dtype="datetime64[s]"), [], whole >= 10**8
    for least, unit, name in (*EPOCH_UNITS, (1e8, "s", "seconds")):
        mine = left & (whole >= np.uint64(least))
        if mine.any():
            units.append(name)
            local[mine] = whole[mine].astype(np.int64).astype(f"datetime64[{unit}]").astype("datetime64[s]")
        left &= ~mine
    return Stamps(local, np.where(np.isnat(local), np.nan, 0.0)), [f"dates as {' and '.join(units)} since 1970 (UTC)"]


def _serials(text: pd.Series) -> Stamps:
    days = pd.to_numeric(text.where(text.str.fullmatch(SERIAL)), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    seconds = np.rint(np.nan_to_num(days) * 86400).astype("timedelta64[s]")
    return _bare(np.where(np.isnan(days), np.datetime64("NaT", "s"), SERIAL_START.astype("datetime64[s]") + seconds))


def _written(table: Table, text: pd.Series, form: str, data: DataConfig) -> tuple[Stamps, list[str]]:
    parts = text.str.extract(f"^{FORMS[form]}{CLOCK}{ZONE}$")
    year = _integers(parts["y"])
    if form == "two_orders":
        a, b = _integers(parts["a"]), _integers(parts["b"])
        day_first = _day_first(table, text, a, b, data)
        day, month = (a, b) if day_first else (b, a)
        said = [f"dates with the {'day' if day_first else 'month'} first"]
    else:
        names = form in ("month_name", "day_name")
        month = _month_numbers(parts["name"]) if names else _integers(parts["m"])
        day, said = _integers(parts["d"]), [SAID[form]] if form in SAID else []
    local = _days(year, month, day).astype("datetime64[s]") + _seconds(parts)
    return Stamps(local, _offsets(parts["zone"])), said


def _integers(text: pd.Series) -> np.ndarray:
    """(T,) int64; 0 where there is none."""
    return pd.to_numeric(text, errors="coerce").fillna(0).to_numpy(dtype=np.int64)


def _month_numbers(names: pd.Series) -> np.ndarray:
    numbers = names.str.lower().map({name: number for number, name in enumerate(MONTHS, start=1)})
    return numbers.fillna(0).to_numpy(dtype=np.int64)


def _day_first(table: Table, text: pd.Series, a: np.ndarray, b: np.ndarray, data: DataConfig) -> bool:
    """Whether the day stands before the month: a number above 12 can only be a day.

    Raises:
        DataError: no number is, or some first and some second ones.
    """
    if data.dates != "auto":
        return data.dates == "day_first"
    first, second = bool((a > 12).any()), bool((b > 12).any())
    if first == second:
        example = shown(text[(a > 0)].iloc[0], 60)
        why = (
            "in some dates the day can only be first, in others only second" if first else "day and month may be either"
        )
        bad = np.arange(len(text)) == int((a > 0).argmax())
        refuse(
            table, bad, f"date {example!r}: {why}", "set data.dates to day_first or month_first, or write 2016-06-29"
        )
    return first


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """(T,) datetime64[D]; NaT for a day that no calendar has."""
    start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = start.astype("datetime64[D]") + (day - 1)
    real = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == start)
    return np.where(real, days, np.datetime64("NaT", "D"))


def _seconds(parts: pd.DataFrame) -> np.ndarray:
    """(T,) timedelta64[s] since midnight; NaT for a time that no clock shows."""
    hour, minute, second = (_integers(parts[name]) for name in ("h", "min", "s"))
    half = parts["half"].str.lower()
    noon = half.notna().to_numpy(dtype=bool)
    real = (minute < 60) & (second < 60) & (hour < 24) & ~(noon & ((hour < 1) | (hour > 12)))
    hour = np.where(noon, hour % 12 + 12 * (half == "p").fillna(False).to_numpy(dtype=np.int64), hour)
    seconds = (hour * 3600 + minute * 60 + second).astype("timedelta64[s]")
    return np.where(real, seconds, np.timedelta64("NaT", "s"))


def _offsets(zone: pd.Series) -> np.ndarray:
    """(T,) minutes east of UTC; NaN without a zone."""
    parts = zone.str.extract(r"([+-])([0-9]{2}):?([0-9]{2})$")
    minutes = _integers(parts[1]) * 60 + _integers(parts[2])
    signed = np.where((parts[0] == "-").fillna(False).to_numpy(dtype=bool), -minutes, minutes)
    return np.where(zone.isna().to_numpy(dtype=bool), np.nan, signed.astype(np.float64))
