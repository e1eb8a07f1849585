"""Checks bars and repairs or refuses them, by the table below. Nothing is repaired without a report.

| found | done |
| --- | --- |
| a row without open, high, low or close (or Adj Close, when it is used) | dropped, reported |
| a row without a ticker in a file of several | left out, reported |
| the same row twice | one dropped, reported |
| two rows of one day with the same prices and two volumes | the larger volume kept, reported |
| two rows of one day with different prices | refused |
| the newest day first | turned round, said |
| dates out of order otherwise | sorted, reported |
| times that are midnight of an exchange in another zone | the date there taken, reported (`preprocessing.zones`) |
| another time of day | removed, the date kept as written, reported |
| several bars a day; sessions on weekends, or a weekday without any (`preprocessing.weeks`) | refused |
| an unfinished week behind weekly bars | dropped, reported |
| bars that are not those of `data.bars` | refused (`preprocessing.spacing`) |
| midnight with a time zone | the date taken as written, said |
| a date that is none, before 1800 or in the future | refused |
| another dialect of numbers and dates (`preprocessing.values`, `preprocessing.dates`) | read, said in one line |
| a value that is no number, or not finite | refused |
| an Adj Close that leaves and comes back, stands still, or jumps alone (`preprocessing.adjustment`) | refused |
| a split that the file's own column names and the closes show (`preprocessing.split_columns`) | refused |
| a price of zero or below, or outside of 1e-9 to 1e12, also after adjustment | refused |
| prices 100 or 1,000 times as large or small for a time (`preprocessing.units`) | refused, or repaired and reported |
| an open, high or low far from its bar and the close before (`preprocessing.outliers`) | the same |
| high below open or close, low above them, by less than 0.5 % (rounding) | widened, reported |
| the same by more | refused |
| closes that jump by more than `data.split_ratio` | refused: a split that is not adjusted for |
| a jump as after a small split, in this stock alone (`preprocessing.suspicions`) | reported |
| no volume in a row, or in the file | taken as 0, reported |
| volume of 0; more than `data.max_gap_days` days without a bar | reported |
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from preprocessing.adjustment import adjust, check_adjustment
from preprocessing.dates import read_stamps, tell_times
from preprocessing.decimals import LABELS
from preprocessing.outliers import check_outliers
from preprocessing.repairs import Repair, remark
from preprocessing.repairs import listed as _list
from preprocessing.repairs import note as _note
from preprocessing.repairs import refuse as _refuse
from preprocessing.spacing import check_spacing, refuse_several_a_day
from preprocessing.split_columns import check_splits
from preprocessing.table import ADJUSTED, Table
from preprocessing.units import PRICES, check_units
from preprocessing.values import read_numbers
from preprocessing.weeks import check_week, drop_unfinished_week, today
from preprocessing.zones import session_days
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, VOLUME

ROUNDING = 0.005
"""Largest share by which high and low may miss open and close and still pass for rounding."""
SINGLE_PRECISION = 1e-6
"""Prices of one day that differ by less are the same: sources round them differently."""
FIRST_DAY = np.datetime64("1800-01-01")
LEAST_PRICE, MOST_PRICE = 1e-9, 1e12
"""Between the smallest coins and any index; adjusted prices too."""


def clean(table: Table, data: DataConfig) -> tuple[pd.DataFrame, tuple[Repair, ...], bool]:
    """Checks a raw table and makes clean bars of it.

    Args:
        table: a file's content.
        data: `adjust`, `max_gap_days`, `split_ratio`, `outlier_factor`, `repair_outliers`, `repair_units`.

    Returns:
        (bars with `schema.BAR_COLUMNS`, what was repaired or is remarkable, whether Adj Close was applied)

    Raises:
        DataError: names file, row and remedy.
    """
    repairs: list[Repair] = []
    adjusted = data.adjust and ADJUSTED in table.columns
    used = (*PRICES, ADJUSTED) if adjusted else PRICES
    table, zoned = _read_values(table, (*used, VOLUME), data, repairs)
    table = _drop_nulls(table, used, repairs)
    _check_days(table)
    _check_positive(table, used)
    table = _order(table, repairs)
    check_spacing(table.path, table.columns[DATE], data.bars)
    check_week(table, data, repairs, zoned)
    table = drop_unfinished_week(table, data, repairs, today())
    if adjusted:
        raw, table = table, adjust(table)
        _check_positive(table, PRICES)
        check_adjustment(raw)
    # Adjusted bars: a split that Adj Close makes good is no jump in them.
    table = check_units(table, data, repairs)
    _check_positive(table, PRICES)
    table = _widen(check_outliers(table, data, repairs), repairs)
    check_splits(table, data, repairs)
    _check_jumps(table, data)
    table = _check_volume(table, repairs)
    _report_gaps(table, data, repairs)
    columns = table.columns | {DATE: table.columns[DATE].astype("datetime64[s]")}
    frame = pd.DataFrame({name: columns[name] for name in BAR_COLUMNS})
    return frame, tuple(repairs), adjusted or table.adjusted


def _read_values(table: Table, names: Sequence[str], data: DataConfig, repairs: list[Repair]) -> tuple[Table, bool]:
    """(the table with days and numbers in place of text, whether their zone is known); tells how they were written."""
    stamps, dates_said = read_stamps(table, data)
    numbers, numbers_said = read_numbers(table, names, data)
    days, zone = session_days(table.path, stamps)
    refuse_several_a_day(table.path, days)
    said = [*table.dialect, *dates_said, *numbers_said]
    if said:
        remark(repairs, table, "dialect", f"read as: {'; '.join(said)}")
    if table.unused:
        columns = shown(", ".join(repr(name) for name in table.unused))
        what = f"not used, though it looks like an adjusted price: {columns}; call it Adj Close to have it used"
        remark(repairs, table, "not_used", what)
    if table.unnamed:
        count = f"{len(table.unnamed)} row{'s' if len(table.unnamed) > 1 else ''}"
        what = f"{count} without a ticker left out of every stock ({table.unit} {_list(table.unnamed)})"
        repairs.append(Repair("no_ticker", len(table.unnamed), (), what, changed=True))
    tell_times(stamps, days, zone, repairs)
    zoned = zone is not None or bool((np.nan_to_num(stamps.offset) != 0).any())
    return replace(table, columns={DATE: days, **numbers}), zoned


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
        bad = ~((values >= LEAST_PRICE) & (values <= MOST_PRICE))
        if bad.any():
            remedy = "correct it, or empty the row's prices so that it is dropped"
            if name == ADJUSTED:
                remedy += ", or set data.adjust to false"
            _refuse(
                table,
                bad,
                f"{LABELS.get(name, name)} is {values[bad][0]:g}, not a price above zero{_bound(values[bad][0])}",
                remedy,
            )


def _order(table: Table, repairs: list[Repair]) -> Table:
    """Sorted by date, each day once."""
    steps = np.diff(table.columns[DATE]).astype(int)
    if (steps < 0).sum() > (steps > 0).sum():
        remark(repairs, table, "newest_first", "newest first in the file; turned round")
        table, steps = table.take(slice(None, None, -1)), -steps[::-1]
    days = table.columns[DATE]
    if (steps > 0).all():
        return table
    late = np.append(False, steps < 0)
    _note(repairs, days[late], "unsorted", "dated before the row above; all rows sorted by date")
    table = table.take(np.argsort(days, kind="stable"))
    frame = pd.DataFrame(table.columns)
    same = frame.duplicated().to_numpy()
    again = np.append(False, np.diff(table.columns[DATE]).astype(int) == 0)
    prices = frame.drop(columns=[DATE, VOLUME]).to_numpy()
    clash = again & np.append(False, (np.abs(prices[1:] / prices[:-1] - 1) > SINGLE_PRECISION).any(axis=1))
    if clash.any():
        what = f"a second, different row of {table.columns[DATE][clash][0]}"
        _refuse(table, clash, what, "keep the right one (several bars a day are not supported)")
    _note(repairs, table.columns[DATE][same], "duplicate", "repeated without a difference; one copy dropped")
    return _larger_volumes(table.take(~same), repairs)


def _larger_volumes(table: Table, repairs: list[Repair]) -> Table:
    """Of rows of one day with the same prices, the one with the larger volume: a session's volume only grows."""
    days = table.columns[DATE]
    volume = np.nan_to_num(table.columns[VOLUME], nan=-np.inf)
    table = table.take(np.lexsort((-volume, days)))
    second = np.append(False, np.diff(days).astype(int) == 0)
    _note(repairs, days[second], "two_volumes", "repeated with the same prices; the larger volume kept")
    return table.take(~second)


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


def _bound(price: float) -> str:
    """For a price that is one, but of a size that no stock has and that arithmetic makes 0 or infinite."""
    return f" that can be: {LEAST_PRICE:g} to {MOST_PRICE:g}" if 0 < price < np.inf else ""


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
    if np.isnan(volume).all():
        remark(repairs, table, "no_volume", "no volume in the file; taken as 0, nothing uses it")
        return table.having({VOLUME: np.zeros(len(days))})
    _note(repairs, days[np.isnan(volume)], "no_volume", "without a volume; taken as 0")
    _note(repairs, days[volume == 0], "zero_volume", "with a volume of 0; kept", changed=False)
    return table.having({VOLUME: np.nan_to_num(volume)})


def _report_gaps(table: Table, data: DataConfig, repairs: list[Repair]) -> None:
    days = table.columns[DATE]
    steps = np.append(0, np.diff(days).astype(int))
    wide = steps > data.max_gap_days
    what = f"after more than {data.max_gap_days} days without a bar (at most {steps.max()}); kept"
    _note(repairs, days[wide], "gap", what, changed=False)
