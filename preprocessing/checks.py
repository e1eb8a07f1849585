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

from preprocessing.parsing import ADJUSTED, ROW, Table
from stonk_pipeline.config import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

PRICES = [OPEN, HIGH, LOW, CLOSE]
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
    frame = table.frame.copy()
    for name in frame.columns.difference([ROW, DATE]):
        frame[name] = _numbers(table, frame, name, repairs)
    adjusted = data.adjust and ADJUSTED in frame.columns
    used = [*PRICES, ADJUSTED] if adjusted else PRICES
    frame[DATE] = _days(table, frame, repairs)
    frame = _drop_nulls(table, frame, used, repairs)
    _check_days(table, frame)
    _check_positive(table, frame, used)
    frame = _order(table, frame, repairs)
    frame = _widen(table, frame, repairs)
    if adjusted:
        factor = (frame[ADJUSTED] / frame[CLOSE]).to_numpy()
        frame = frame.assign(**{name: frame[name] * factor for name in PRICES})
    _check_jumps(table, frame, data)
    frame = _check_volume(table, frame, repairs)
    _report_gaps(frame, data, repairs)
    return frame[list(BAR_COLUMNS)].reset_index(drop=True), tuple(repairs), adjusted


def _refuse(table: Table, frame: pd.DataFrame, bad: pd.Series | np.ndarray, what: str, remedy: str) -> None:
    """Raises for the first bad row, if there is one, and says how many there are."""
    rows = frame.loc[np.asarray(bad), ROW].tolist()
    if not rows:
        return
    more = f" (and {len(rows) - 1} more: {table.unit}s {_list(rows[1:])})" if len(rows) > 1 else ""
    raise DataError(f"{table.place(rows[0])}: {what}{more}; {remedy}")


def _list(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values[:SHOWN]) + (", …" if len(values) > SHOWN else "")


def _report(
    repairs: list[Repair], frame: pd.DataFrame, rows: pd.Series | np.ndarray, kind: str, what: str, changed: bool = True
) -> None:
    """Notes the rows of `frame`, if there are any; `what` follows `3 rows (days) `."""
    days = [str(day)[:10] for day in frame.loc[np.asarray(rows), DATE]]
    if days:
        count = f"{len(days)} row{'s' * (len(days) > 1)}"
        repairs.append(Repair(kind, len(days), tuple(days[:SHOWN]), f"{count} ({_list(days)}) {what}", changed))


def _numbers(table: Table, frame: pd.DataFrame, name: str, repairs: list[Repair]) -> pd.Series:
    """A column as float64."""
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("float64")
    text = column.astype("str").str.strip()
    separated = text.str.match(THOUSANDS).fillna(False).astype(bool)
    values = pd.to_numeric(text.where(~separated, text.str.replace(",", "")), errors="coerce").astype("float64")
    bad = values.isna() & column.notna() & ~text.isin(["", "null", "nan", "NaN", "None"])
    if bad.any():
        example = text[bad].iloc[0]
        _refuse(table, frame, bad, f"column {name}: {example!r} is not a number", "write numbers as 1234.5")
    _report(repairs, frame, separated, "thousands", f"had thousands separators in {name}, removed")
    return values


def _days(table: Table, frame: pd.DataFrame, repairs: list[Repair]) -> pd.Series:
    """Dates as datetime64 at midnight, without zone: the date as it is written. NaT where there is none."""
    column = frame[DATE]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        _report(repairs, frame, column.notna(), "time_zone", "had a time zone; the local date is kept")
        return column.dt.tz_localize(None).dt.normalize()
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return column.dt.normalize()
    # Parquet may hold dates, or times of mixed zones, as objects; their text is ISO.
    text = column.astype("str").str.strip().where(column.notna())
    plain = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    odd = plain.isna() & text.notna()
    if not odd.any():
        return plain
    day = text[odd].str.extract(ISO)[0]
    later = pd.to_datetime(day, format="%Y-%m-%d", errors="coerce")
    if later.isna().any():
        where = odd & ~frame.index.isin(later.dropna().index)
        _refuse(table, frame, where, f"date {text[where].iloc[0]!r} cannot be read", "write dates as 2016-06-29")
    _report(repairs, frame, odd, "time_of_day", "had a time or a time zone; the date is kept as written")
    return plain.where(~odd, later.reindex(plain.index))


def _drop_nulls(table: Table, frame: pd.DataFrame, used: list[str], repairs: list[Repair]) -> pd.DataFrame:
    null = frame[used].isna().any(axis=1)
    _report(repairs, frame, null, "null", f"had no value for {', '.join(used)} (or some of them) and were dropped")
    if null.all():
        raise DataError(f"{table.path}: no row has all of {', '.join(used)}; download it again")
    return frame[~null]


def _check_days(table: Table, frame: pd.DataFrame) -> None:
    _refuse(table, frame, frame[DATE].isna(), "a row without a date", "write it as 2016-06-29, or delete the row")
    days = frame[DATE].to_numpy().astype("datetime64[D]")
    # Markets east of here may be a day ahead.
    last = np.datetime64(datetime.datetime.now(datetime.UTC).date()) + 1
    for bad, what in ((days > last, "is in the future"), (days < FIRST_DAY, "is before 1800")):
        if bad.any():
            _refuse(table, frame, bad, f"date {days[bad][0]} {what}", "correct or delete the row")


def _check_positive(table: Table, frame: pd.DataFrame, used: list[str]) -> None:
    for name in used:
        values = frame[name].to_numpy()
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            remedy = "correct it, or empty the row's prices so that it is dropped"
            if name == ADJUSTED:
                remedy += ", or set data.adjust to false"
            _refuse(table, frame, bad, f"{name} is {values[bad][0]:g}, not a price above zero", remedy)


def _order(table: Table, frame: pd.DataFrame, repairs: list[Repair]) -> pd.DataFrame:
    """Sorted by date, each day once."""
    late = (frame[DATE].diff() < pd.Timedelta(0)).to_numpy()
    _report(repairs, frame, late, "unsorted", "came before the date of the row above; all rows were sorted by date")
    if late.any():
        frame = frame.sort_values(DATE, kind="stable")
    again = frame.duplicated(DATE).to_numpy()
    same = frame.duplicated(frame.columns.difference([ROW])).to_numpy()
    clash = again & ~same
    if clash.any():
        day = str(frame.loc[clash, DATE].iloc[0])[:10]
        remedy = "keep the right one (bars within a day are not supported)"
        _refuse(table, frame, clash, f"a second, different row of {day}", remedy)
    _report(repairs, frame, same, "duplicate", "stood there twice; one was dropped")
    return frame[~same]


def _widen(table: Table, frame: pd.DataFrame, repairs: list[Repair]) -> pd.DataFrame:
    """High and low that enclose open and close."""
    body = frame[[OPEN, CLOSE]]
    top, bottom = body.max(axis=1), body.min(axis=1)
    for bad, what in (
        (frame[HIGH] < top * (1 - ROUNDING), "high is below open or close"),
        (frame[LOW] > bottom * (1 + ROUNDING), "low is above open or close"),
    ):
        _refuse(table, frame, bad, f"{what} by more than {ROUNDING:.1%}", "correct the row, or empty its prices")
    narrow = (frame[HIGH] < top) | (frame[LOW] > bottom)
    _report(
        repairs,
        frame,
        narrow,
        "range",
        f"had a high or low within open and close (by less than {ROUNDING:.1%}), widened",
    )
    return frame.assign(**{HIGH: np.maximum(frame[HIGH], top), LOW: np.minimum(frame[LOW], bottom)})


def _check_jumps(table: Table, frame: pd.DataFrame, data: DataConfig) -> None:
    closes = frame[CLOSE].to_numpy()
    ratio = np.concatenate([[1.0], closes[1:] / closes[:-1]])
    bad = np.maximum(ratio, 1 / ratio) > data.split_ratio
    if bad.any():
        day, jump = str(frame.loc[bad, DATE].iloc[0])[:10], ratio[bad][0]
        what = f"the close of {day} is {jump:.4g} times the one before, which looks like a split"
        _refuse(table, frame, bad, what, "adjust the bars for splits, or, if the move is real, raise data.split_ratio")


def _check_volume(table: Table, frame: pd.DataFrame, repairs: list[Repair]) -> pd.DataFrame:
    volume = frame[VOLUME]
    _refuse(
        table, frame, (volume < 0) | np.isinf(volume), "volume is negative or not finite", "correct it, or empty it"
    )
    _report(repairs, frame, volume.isna(), "no_volume", "had no volume; taken as 0")
    _report(repairs, frame, volume == 0, "zero_volume", "have a volume of 0; kept", changed=False)
    return frame.assign(**{VOLUME: volume.fillna(0.0)})


def _report_gaps(frame: pd.DataFrame, data: DataConfig, repairs: list[Repair]) -> None:
    days = frame[DATE].diff().dt.days.to_numpy()
    wide = days > data.max_gap_days
    longest = int(np.nanmax(days)) if wide.any() else 0
    what = f"follow on more than {data.max_gap_days} days without a bar (at most {longest}); kept"
    _report(repairs, frame, wide, "gap", what, changed=False)
