"""Reads a file of bars, CSV or Parquet, into a table with known column names and unparsed values."""

import csv
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from preprocessing.csv_rows import read_csv
from preprocessing.dialects import find_dialect
from preprocessing.files import first_lines, is_parquet, read_text
from preprocessing.names import ADJUSTED_SET, ADJUSTED_VOLUME, SPLIT, TICKER, TIME, Named, is_bars, name_columns, plain
from preprocessing.parquet import parquet_names, read_parquet
from preprocessing.repairs import shown
from preprocessing.table import ADJUSTED, KNOWN, Table
from preprocessing.tickers import rows_of, unnamed_rows
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import shown as shown_one
from stonk_pipeline.schema import BAR_COLUMNS, DATE, VOLUME

SETTLED = 2.0
"""Seconds since its last change after which a file is kept in memory for its next ticker."""
NO_TIMES = ("", "0", "00", "0000", "000000", "00:00", "00:00:00", "0:00", "nan", "None")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's cells, before it is known what its columns are."""

    header: tuple[str, ...]
    tickers: tuple[str, ...] | None
    """Ticker of each column, where yfinance wrote several tickers side by side."""
    frame: pd.DataFrame
    """Columns 0, 1, …, as many as the header has."""
    before: int
    """Lines before the first row."""
    said: tuple[str, ...]
    rows_of: dict[str, np.ndarray]
    """Ticker -> its rows, where one column names the ticker; else empty."""
    unnamed: tuple[int, ...]
    """Lines (of Parquet, rows) without a ticker in a file of several."""


def read_table(path: Path, stock: str, data: DataConfig) -> Table:
    """Reads a text or Parquet file, in the dialect that is found.

    Args:
        path: the file; its suffix decides the format.
        stock: picks the columns or the rows where one file has several tickers.
        data: `adjust` says whether adjusted prices are wanted.

    Raises:
        DataError: empty, binary or damaged file, missing or doubled columns, a row with too many values.
    """
    sheet = _sheet(path)
    named, said = name_columns(_own_columns(path, sheet, stock)), list(sheet.said)
    roles = list(named.names)
    doubled = sorted({name for name in roles if name in (*KNOWN, *ADJUSTED_SET.values()) and roles.count(name) > 1})
    if doubled:
        raise DataError(f"{path}: column {', '.join(doubled)} is there more than once; keep one")
    place = {name: number for number, name in enumerate(roles)}
    whole_set = data.adjust and all(name in place for name in ADJUSTED_SET.values())
    if whole_set:
        place |= {name: place[adjusted] for name, adjusted in ADJUSTED_SET.items()}
        place[VOLUME] = place.get(ADJUSTED_VOLUME, place.get(VOLUME, -1))
        said.append("the file's own adjusted open, high, low and close")
    missing = [name for name in BAR_COLUMNS if name not in place and name != VOLUME]
    if missing:
        found = shown([text for text in sheet.header if text.strip()])
        raise DataError(f"{path}: no column {', '.join(missing)} (in any case); found {found or 'none'}")
    if sheet.frame.empty:
        raise DataError(f"{path}: there are no rows under the header; download it again")
    chosen, told = _own_rows(path, sheet, stock)
    wanted = [name for name in KNOWN if place.get(name, -1) >= 0 and not (whole_set and name == ADJUSTED)]
    columns = {name: _column(sheet, place[name], chosen) for name in wanted}
    if TIME in place:
        columns[DATE] = _with_times(columns[DATE], _column(sheet, place[TIME], chosen))
    columns.setdefault(VOLUME, np.full(len(columns[DATE]), np.nan))
    rows = np.arange(sheet.before + 1, sheet.before + 1 + len(sheet.frame))[chosen]
    unit = "row" if is_parquet(path) else "line"
    splits = _column(sheet, place[SPLIT], chosen) if SPLIT in place else None
    return Table(
        path,
        unit,
        rows,
        columns,
        whole_set,
        (*said, *named.said, *told),
        _unused(named, sheet, data, columns),
        splits,
        sheet.unnamed,
    )


def looks_like_bars(path: Path) -> bool:
    """Tells whether a file's header names a date and a close, from its beginning alone."""
    header, _, headerless = _look(path)
    return headerless or is_bars(header)


def file_tickers(path: Path) -> list[str]:
    """Lists the tickers that a file names, in a column or above its columns; empty if it names none."""
    header, tickers, _ = _look(path)
    if tickers:
        return sorted({ticker.strip().upper() for ticker in tickers if ticker.strip()})
    return sorted(_sheet(path).rows_of) if TICKER in name_columns(header).names else []


def _look(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None, bool]:
    """(header, tickers above the columns, whether it has no header and is known all the same)."""
    if is_parquet(path):
        return (*parquet_names(path), False)
    try:
        dialect = find_dialect(first_lines(path))
    except (csv.Error, ValueError):
        return (), None, False
    return dialect.header, dialect.tickers, any("no header" in text for text in dialect.said)


def _sheet(path: Path) -> Sheet:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    status = path.stat()
    if time.time() - status.st_mtime < SETTLED:
        return _read_sheet(path)
    return _kept_sheet(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=1)
def _kept_sheet(path: Path, changed: int, size: int, number: int) -> Sheet:
    """The last file, so that one file of many tickers is read once and not for each of them."""
    del changed, size, number
    return _read_sheet(path)


def _read_sheet(path: Path) -> Sheet:
    if is_parquet(path):
        header, tickers, frame = read_parquet(path)
        return _sheet_of(header, tickers, frame, 0, ())
    content, encoding = read_text(path)
    said: tuple[str, ...] = (f"{encoding} text",) if encoding else ()
    try:
        dialect = find_dialect(content[: 1 << 20].decode("utf-8", errors="ignore"))
    except csv.Error as error:
        why = f"the first lines are no header of a CSV file ({shown_one(error)})"
        raise DataError(f"{path}: {why}; repair them, or download it again") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}; delete those that are empty") from error
    frame = read_csv(path, content, dialect.separator, len(dialect.header), dialect.lines)
    said += dialect.said
    return _sheet_of(dialect.header, dialect.tickers, frame, dialect.lines, said)


def _sheet_of(
    header: tuple[str, ...], tickers: tuple[str, ...] | None, frame: pd.DataFrame, before: int, said: tuple[str, ...]
) -> Sheet:
    rows = rows_of(header, frame)
    unnamed = tuple(before + 1 + row for row in unnamed_rows(rows, frame))
    return Sheet(header, tickers, frame, before, said, rows, unnamed)


def _own_columns(path: Path, sheet: Sheet, stock: str) -> list[str]:
    """The header, empty above the columns of other tickers."""
    there = sorted({ticker.strip().upper() for ticker in sheet.tickers or () if ticker.strip()})
    if len(there) < 2 or sheet.tickers is None:
        return list(sheet.header)
    if stock not in there:
        raise DataError(f"{path}: holds {shown(there)}, but not {stock}; name one of them, or write one file")
    mine = [ticker.strip().upper() in (stock, "") for ticker in sheet.tickers]
    return [name if keep else "" for name, keep in zip(sheet.header, mine, strict=True)]


def _own_rows(path: Path, sheet: Sheet, stock: str) -> tuple[np.ndarray | slice, list[str]]:
    """The rows of the stock: all, if the file names at most one ticker."""
    there = sheet.rows_of
    if len(there) < 2:
        other = [name for name in there if name != stock]
        return slice(None), [f"its ticker column says {shown(other)}"] if other else []
    if stock not in sheet.rows_of:
        raise DataError(
            f"{path}: holds {shown(sorted(there))}, but not {stock}; name one of them, or write one file for each stock"
        )
    return sheet.rows_of[stock], [f"the rows of {stock} among those of {len(there)} tickers"]


def _column(sheet: Sheet, number: int, rows: np.ndarray | slice) -> np.ndarray:
    """The rows of a column; of text without a detour through a series, which would take a market-wide file minutes."""
    column = sheet.frame[number]
    if isinstance(column.dtype, pd.StringDtype):
        values: np.ndarray = column.array[rows].to_numpy(dtype=object, na_value=None)
        return values
    return _values(column.iloc[rows])


def _values(column: pd.Series) -> np.ndarray:
    """Numbers and dates as they are; everything else as objects, so that its text can be read."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufM":
        return column.to_numpy()
    if isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values: np.ndarray = column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
    return values


def _with_times(days: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Dates with the clock of another column behind them; as they are where that is midnight throughout."""
    clocks = ["" if value is None else str(value).strip() for value in times.tolist()]
    if all(clock in NO_TIMES for clock in clocks) or days.dtype.kind not in "O":
        return days
    # Stooq writes 153000 for half past three.
    shown = [
        f"{c.zfill(6)[:2]}:{c.zfill(6)[2:4]}:{c.zfill(6)[4:]}" if c.isdigit() and len(c) < 7 else c for c in clocks
    ]
    joined = [
        None if day is None else f"{day} {clock}".strip() for day, clock in zip(days.tolist(), shown, strict=True)
    ]
    return np.array(joined, dtype=object)


def _unused(named: Named, sheet: Sheet, data: DataConfig, columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Columns that look like adjusted prices, where such are wanted and not used."""
    if not data.adjust:
        return ()
    found = {plain(text): text.strip() for text in sheet.header}
    known = [found.get(named.found[name], name) for name in ADJUSTED_SET.values() if name in named.found]
    used = ADJUSTED in columns or all(name in named.found for name in ADJUSTED_SET.values())
    return named.suspects if used else (*named.suspects, *known)
