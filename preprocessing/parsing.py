"""A file of bars to a table with known column names, values as they stand in the file."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE

ADJUSTED = "adjclose"
DATE_NAMES = (DATE, "datetime", "timestamp")
KNOWN = (*BAR_COLUMNS, ADJUSTED)
EXTRA = "\0extra"
"""Stands behind the last column of a CSV file, to catch a row with one value too many."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns of bars."""

    path: Path
    unit: str
    """What `rows` counts: `line` of a CSV file or `row` of a Parquet file, both from 1."""
    rows: np.ndarray
    columns: dict[str, np.ndarray]
    """`schema.BAR_COLUMNS`, perhaps `adjclose` -> (T,); numbers, or objects as they stand in the file."""

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}, {self.unit} {row}"

    def take(self, rows: np.ndarray) -> "Table":
        """The table with these rows (a mask or positions) alone."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Table(self.path, self.unit, self.rows[rows], columns)

    def having(self, columns: dict[str, np.ndarray]) -> "Table":
        """The table with these columns in place of its own."""
        return Table(self.path, self.unit, self.rows, self.columns | columns)


def read_table(path: Path, stock: str) -> Table:
    """Reads a CSV or Parquet file.

    Args:
        path: the file; its suffix decides the format.
        stock: picks the columns where yfinance wrote several tickers into one file.

    Raises:
        DataError: empty, binary or damaged file, missing or doubled columns, a row with too many values.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; download it again")
    parquet = path.suffix.lower() == ".parquet"
    frame, before = (_read_parquet(path, stock), 0) if parquet else _read_csv(path, stock)
    missing = [name for name in BAR_COLUMNS if name not in frame.columns]
    if missing:
        found = ", ".join(str(name) for name in frame.columns if name and name != EXTRA)
        raise DataError(f"{path}: no column {', '.join(missing)} (in any case); found {found[:200] or 'none'}")
    if frame.empty:
        raise DataError(f"{path}: there are no rows under the header; download it again")
    rows = np.arange(before + 1, before + 1 + len(frame))
    columns = {name: _values(frame[name]) for name in KNOWN if name in frame.columns}
    return Table(path, "row" if parquet else "line", rows, columns)


def _values(column: pd.Series) -> np.ndarray:
    """Numbers and dates as they are; everything else as objects, so that its text can be read."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufM":
        return column.to_numpy()
    if isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values: np.ndarray = column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
    return values


def _plain(name: object) -> str:
    text = re.sub(r"[\s_.*-]+", "", str(name)).lower()
    return DATE if text in DATE_NAMES else text


def _pick(path: Path, names: list[str], tickers: list[str] | None, stock: str) -> list[str]:
    """Column names, empty for the columns of other tickers.

    Raises:
        DataError: several tickers and none is the stock, or a column that we need stands there twice.
    """
    there = sorted({ticker.strip().upper() for ticker in tickers or [] if ticker.strip()})
    if tickers and len(there) > 1:
        if stock not in there:
            raise DataError(f"{path}: holds {', '.join(there)}, but not {stock}; write one file for each stock")
        mine = [ticker.strip().upper() in (stock, "") for ticker in tickers]
        names = [name if keep else "" for name, keep in zip(names, mine, strict=True)]
    doubled = sorted({name for name in names if name in KNOWN and names.count(name) > 1})
    if doubled:
        raise DataError(f"{path}: column {', '.join(doubled)} is there more than once; keep one")
    return names


def _read_csv(path: Path, stock: str) -> tuple[pd.DataFrame, int]:
    """The columns, and how many lines stand before the first row."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8; save it as CSV (UTF-8)") from error
    if "\0" in text:
        raise DataError(f"{path}: a binary file, though its name ends in .csv; save it as CSV, or rename it")
    try:
        names, tickers, lines = _header(text)
    except csv.Error as error:
        raise DataError(f"{path}: the first lines are no header of a CSV file ({error}); download it again") from error
    names = _pick(path, names, tickers, stock)
    # A label for each column, also for those not needed, so that each row's values keep their places.
    labels = [name if name in KNOWN else f"\0{place}" for place, name in enumerate(names)] + [EXTRA]
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            header=None,
            names=labels,
            skiprows=lines,
            skip_blank_lines=False,
            low_memory=False,
            dtype={DATE: "object", EXTRA: "object"},
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=names), lines
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: {str(error).strip()}; repair or delete that line") from error
    frame.columns = pd.Index([*names, EXTRA])
    extra = frame[EXTRA].notna().to_numpy()
    if extra.any():
        line = lines + 1 + int(extra.argmax())
        raise DataError(f"{path}, line {line}: more values than the header has columns; repair or delete that line")
    return frame, lines


def _header(text: str) -> tuple[list[str], list[str] | None, int]:
    """Column names, tickers (None if the file has no row of them), and how many lines they take.

    yfinance writes frames with two levels of columns: a row of fields, a row of tickers, and a row that names the
    index and nothing else. Either of the first two may come first.
    """
    start = [line for _, line in zip(range(3), io.StringIO(text), strict=False)]
    rows = [row or [""] for row in csv.reader(start)]
    first = [_plain(cell) for cell in rows[0]]
    if len(rows) < 2 or DATE in first:
        return first, None, 1
    # A frame's index has no name unless someone gave it one.
    flat = [DATE, *first[1:]] if len(first) > 1 and not first[0] else first
    second = [_plain(cell) for cell in rows[1]]
    if CLOSE not in first and CLOSE in second:
        rows[0], rows[1], first = rows[1], rows[0], second
    if CLOSE not in first or rows[1][0].strip().lower() not in ("ticker", "price", "") or len(rows[1]) != len(first):
        return flat, None, 1
    if any(re.fullmatch(r"-?\d+(\.\d+)?", cell.strip()) for cell in rows[1][1:]):
        return flat, None, 1
    named = len(rows) > 2 and _plain(rows[2][0]) == DATE and not any(cell.strip() for cell in rows[2][1:])
    return [DATE, *first[1:]], ["", *rows[1][1:]], 3 if named else 2


def _read_parquet(path: Path, stock: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as Parquet ({str(error)[:100]}); write it again") from error
    tickers = None
    if frame.columns.nlevels > 1:
        levels = [[str(part) for part in frame.columns.get_level_values(level)] for level in (0, 1)]
        fields, tickers = levels if CLOSE in map(_plain, levels[0]) else levels[::-1]
        frame.columns = pd.Index(fields)
    names = _pick(path, [_plain(name) for name in frame.columns], tickers, stock)
    frame.columns = pd.Index(names)
    if DATE not in names and (isinstance(frame.index, pd.DatetimeIndex) or _plain(frame.index.name) == DATE):
        frame = frame.assign(**{DATE: frame.index})
    return frame.reset_index(drop=True)
