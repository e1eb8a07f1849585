"""What may be wrong with bars, and what is done about it. Nothing is repaired without a report.

| found | done |
| --- | --- |
| a row without open, high, low or close (or Adj Close, when it is used) | dropped, reported |
| the same row twice | one dropped, reported |
| two different rows of one day | refused |
| dates out of order | sorted, reported |
| a time of day or a time zone | removed, the date kept as written, reported |
| a date that is none, before 1800 or in the future | refused |
| thousands separators (`1,234.5`) | removed, reported |
| a value that is no number, or not finite | refused |
| a price of zero or below | refused |
| high below open or close, low above them, by less than 0.5 % (rounding) | widened, reported |
| the same by more | refused |
| closes that jump by more than `data.split_ratio` | refused: a split that is not adjusted for |
| no volume | taken as 0, reported |
| volume of 0; more than `data.max_gap_days` days without a bar | reported |
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from preprocessing.parsing import ADJUSTED, Table
from stonk_pipeline.config import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

PRICES = (OPEN, HIGH, LOW, CLOSE)
LABELS = {ADJUSTED: "Adj Close"}
ROUNDING = 0.005
"""Largest share by which high and low may miss open and close and still pass for rounding."""
FIRST_DAY = np.datetime64("1800-01-01")
ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?$"
THOUSANDS = r"^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
SHOWN = 5
"""Rows named in a message or a report; of more, the number is given."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Something that was changed in the bars, or that a person should know of them."""

    kind: str
    rows: int
    dates: tuple[str, ...]
    """Days of the first rows (at most `SHOWN`)."""
    detail: str
    """One sentence with the number of rows, the days and what was done."""
    changed: bool
    """False: reported only."""


def clean(table: Table, data: DataConfig) -> tuple[pd.DataFrame, tuple[Repair, ...], bool]:
    """Checks a raw table and makes clean bars of it.

    Args:
        table: a file's content.
        data: `adjust`, `max_gap_days`, `split_ratio`.

    Returns:
        (bars with `schema.BAR_COLUMNS`, what was repaired or is remarkable, whether Adj Close was applied)

    Raises:
        DataError: names file, row and remedy.
    """
    repairs: list[Repair] = []
    adjusted = data.adjust and ADJUSTED in table.columns
    used = (*PRICES, ADJUSTED) if adjusted else PRICES
    days = _days(table, repairs)
    numbers = {name: _numbers(table, name, days, repairs) for name in (*used, VOLUME)}
    table = Table(table.path, table.unit, table.rows, {DATE: days, **numbers})
    table = _drop_nulls(table, used, repairs)
    _check_days(table)
    _check_positive(table, used)
    table = _order(table, repairs)
    table = _widen(table, repairs)
    if adjusted:
        factor = table.columns[ADJUSTED] / table.columns[CLOSE]
        table = table.having({name: table.columns[name] * factor for name in PRICES})
    _check_jumps(table, data)
    table = _check_volume(table, repairs)
    _report_gaps(table, data, repairs)
    columns = table.columns | {DATE: table.columns[DATE].astype("datetime64[s]")}
    return pd.DataFrame({name: columns[name] for name in BAR_COLUMNS}), tuple(repairs), adjusted


def _refuse(table: Table, bad: np.ndarray, what: str, remedy: str) -> None:
    """Raises for the first bad row, and says how many there are."""
    rows = table.rows[bad].tolist()
    more = f" (and {len(rows) - 1} more: {table.unit} {_list(rows[1:])})" if len(rows) > 1 else ""
    raise DataError(f"{table.place(rows[0])}: {what}{more}; {remedy}")


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values[:SHOWN]) + (", …" if len(values) > SHOWN else "")


def _note(repairs: list[Repair], days: np.ndarray, kind: str, what: str, changed: bool = True) -> None:
    """Notes rows of these days, if there are any; `what` goes on after `3 rows (days) `."""
    if not len(days):
        return
    count = f"{len(days)} row{'s' if len(days) > 1 else ''}"
    names = ["no date" if np.isnat(day) else str(day) for day in days[: SHOWN + 1]]
    repairs.append(Repair(kind, len(days), tuple(names[:SHOWN]), f"{count} ({_list(names)}) {what}", changed))


def _numbers(table: Table, name: str, days: np.ndarray, repairs: list[Repair]) -> np.ndarray:
    """A column as float64; NaN where there is no value."""
    column = table.columns[name]
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    text = pd.Series(column, dtype=object).astype("string").str.strip()
    separated = text.str.fullmatch(THOUSANDS).fillna(False).to_numpy(dtype=bool)
    plain = text.where(~separated, text.str.replace(",", "", regex=False))
    values = pd.to_numeric(plain, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = (
        np.isnan(values) & text.notna().to_numpy() & ~text.isin(["", "null", "nan", "NaN", "None"]).to_numpy(dtype=bool)
    )
    if bad.any():
        _refuse(
            table, bad, f"{LABELS.get(name, name)} is {text[bad].iloc[0]!r}, not a number", "write numbers as 1234.5"
        )
    _note(repairs, days[separated], "thousands", f"with thousands separators in {LABELS.get(name, name)}; removed")
    return values


def _days(table: Table, repairs: list[Repair]) -> np.ndarray:
    """Dates as datetime64[D], as they are written, without time and zone; NaT where there is none."""
    column = table.columns[DATE]
    if column.dtype.kind == "M":
        days = column.astype("datetime64[D]")
        _note(repairs, days[(days != column) & ~np.isnat(days)], "time_of_day", "with a time of day; removed")
        return days
    # Parquet may hold dates, or times with zones, as objects; their text is ISO too.
    text = pd.Series([None if value is None else str(value) for value in column], dtype=object)
    plain = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    odd = (plain.isna() & text.notna()).to_numpy()
    days = plain.to_numpy().astype("datetime64[D]")
    if odd.any():
        parts = text[odd].astype("string").str.strip().str.extract(ISO)[0]
        days[odd] = pd.to_datetime(parts, format="%Y-%m-%d", errors="coerce").to_numpy().astype("datetime64[D]")
        bad = odd & np.isnat(days)
        if bad.any():
            _refuse(table, bad, f"date {str(text[bad].iloc[0])!r} cannot be read", "write dates as 2016-06-29")
        _note(repairs, days[odd], "time_of_day", "with a time or a time zone; removed, the date kept as written")
    return days


def _drop_nulls(table: Table, used: Sequence[str], repairs: list[Repair]) -> Table:
    null = np.asarray(np.isnan([table.columns[name] for name in used]).any(axis=0))
    names = ", ".join(LABELS.get(name, name) for name in used)
    if null.all():
        raise DataError(f"{table.path}: no row has all of {names}; download it again")
    if null.any():
        what = f"without one of {names}; dropped ({table.unit} {_list(table.rows[null].tolist())})"
        _note(repairs, table.columns[DATE][null], "null", what)
        table = table.take(~null)
    return table


def _check_days(table: Table) -> None:
    days = table.columns[DATE]
    if np.isnat(days).any():
        _refuse(table, np.isnat(days), "a row without a date", "write it as 2016-06-29, or delete the row")
    # Markets east of here may be a day ahead.
    last = np.datetime64(datetime.datetime.now(datetime.UTC).date()) + 1
    for bad, what in ((days > last, "is in the future"), (days < FIRST_DAY, "is before 1800")):
        if bad.any():
            _refuse(table, bad, f"date {days[bad][0]} {what}", "correct or delete the row")


def _check_positive(table: Table, used: Sequence[str]) -> None:
    for name in used:
        values = table.columns[name]
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            remedy = "correct it, or empty the row's prices so that it is dropped"
            if name == ADJUSTED:
                remedy += ", or set data.adjust to false"
            _refuse(table, bad, f"{LABELS.get(name, name)} is {values[bad][0]:g}, not a price above zero", remedy)


def _order(table: Table, repairs: list[Repair]) -> Table:
    """Sorted by date, each day once."""
    days = table.columns[DATE]
    steps = np.diff(days).astype(int)
    if (steps > 0).all():
        return table
    late = np.append(False, steps < 0)
    _note(repairs, days[late], "unsorted", "dated before the row above; all rows sorted by date")
    table = table.take(np.argsort(days, kind="stable"))
    frame = pd.DataFrame(table.columns)
    same = frame.duplicated().to_numpy()
    clash = frame.duplicated(DATE).to_numpy() & ~same
    if clash.any():
        what = f"a second, different row of {table.columns[DATE][clash][0]}"
        _refuse(table, clash, what, "keep the right one (several bars a day are not supported)")
    _note(repairs, table.columns[DATE][same], "duplicate", "repeated without a difference; one copy dropped")
    return table.take(~same)


def _widen(table: Table, repairs: list[Repair]) -> Table:
    """High and low that enclose open and close."""
    open_, high, low, close = (table.columns[name] for name in PRICES)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    for bad, what in (
        (high < top * (1 - ROUNDING), "high is below open or close"),
        (low > bottom * (1 + ROUNDING), "low is above open or close"),
    ):
        if bad.any():
            _refuse(table, bad, f"{what} by more than {ROUNDING:.1%}", "correct the row, or empty its prices")
    narrow = (high < top) | (low > bottom)
    what = f"with a high or low within open and close, by less than {ROUNDING:.1%}; widened"
    _note(repairs, table.columns[DATE][narrow], "range", what)
    return table.having({HIGH: np.maximum(high, top), LOW: np.minimum(low, bottom)})


def _check_jumps(table: Table, data: DataConfig) -> None:
    closes, days = table.columns[CLOSE], table.columns[DATE]
    ratio = np.append(1.0, closes[1:] / closes[:-1])
    bad = np.maximum(ratio, 1 / ratio) > data.split_ratio
    if bad.any():
        what = f"the close of {days[bad][0]} is {ratio[bad][0]:.4g} times the one before, which looks like a split"
        remedy = f"adjust the bars for splits or, if the move is real, set data.split_ratio above {data.split_ratio:g}"
        _refuse(table, bad, what, remedy)


def _check_volume(table: Table, repairs: list[Repair]) -> Table:
    volume, days = table.columns[VOLUME], table.columns[DATE]
    bad = (volume < 0) | np.isinf(volume)
    if bad.any():
        _refuse(table, bad, f"volume is {volume[bad][0]:g}", "correct it, or leave it empty")
    _note(repairs, days[np.isnan(volume)], "no_volume", "without a volume; taken as 0")
    _note(repairs, days[volume == 0], "zero_volume", "with a volume of 0; kept", changed=False)
    return table.having({VOLUME: np.nan_to_num(volume)})


def _report_gaps(table: Table, data: DataConfig, repairs: list[Repair]) -> None:
    days = table.columns[DATE]
    steps = np.append(0, np.diff(days).astype(int))
    wide = steps > data.max_gap_days
    what = f"after more than {data.max_gap_days} days without a bar (at most {steps.max()}); kept"
    _note(repairs, days[wide], "gap", what, changed=False)
