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
ROW = "row"
"""Column with the number of the row's line in a CSV file, or of the row in a Parquet file; both count from 1."""
DATE_NAMES = (DATE, "datetime", "timestamp")
KNOWN = (*BAR_COLUMNS[1:], ADJUSTED)
EXTRA = "\0extra"
"""Stands behind the last column of a CSV file, to catch a row with one value too many."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's raw content: `date`, prices, `volume`, perhaps `adjclose`, and `row`."""

    path: Path
    frame: pd.DataFrame
    unit: str
    """What `row` counts: `line` or `row`."""

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}, {self.unit} {row}"


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
    frame, unit = (
        (_read_parquet(path, stock), "row") if path.suffix.lower() == ".parquet" else (_read_csv(path, stock), "line")
    )
    if frame.empty:
        raise DataError(f"{path}: there are no rows under the header; download it again")
    missing = [name for name in BAR_COLUMNS if name not in frame.columns]
    if missing:
        found = ", ".join(str(name) for name in frame.columns if name not in (ROW, EXTRA))
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found {found or 'none'} (upper or lower case is the same)"
        )
    return Table(path, frame[[ROW, *BAR_COLUMNS, *(n for n in (ADJUSTED,) if n in frame.columns)]], unit)


def _plain(name: object) -> str:
    text = re.sub(r"[\s_.*-]+", "", str(name)).lower()
    return DATE if text in DATE_NAMES else text


def _pick(path: Path, names: list[str], tickers: list[str] | None, stock: str) -> list[str]:
    """Column names, with those of other tickers emptied.

    Raises:
        DataError: several tickers and none is the stock, or a column that we need stands there twice.
    """
    if tickers:
        there = sorted({ticker.strip().upper() for ticker in tickers if ticker.strip()})
        if len(there) > 1:
            if stock not in there:
                raise DataError(f"{path}: holds {', '.join(there)}, but not {stock}; write one file for each stock")
            pairs = zip(names, tickers, strict=False)
            names = [n if t.strip().upper() in (stock, "") else "" for n, t in pairs]
    doubled = sorted({name for name in names if name in (DATE, *KNOWN) and names.count(name) > 1})
    if doubled:
        raise DataError(f"{path}: column {', '.join(doubled)} is there more than once; keep one")
    return names


def _read_csv(path: Path, stock: str) -> pd.DataFrame:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8; save it as CSV (UTF-8)") from error
    if "\0" in text:
        raise DataError(f"{path}: a binary file, though it ends in .csv; save it as CSV or rename it")
    names, tickers, lines = _header(text)
    names = _pick(path, names, tickers, stock)
    # A name for each column, also for those we do not need, so that each row's values keep their places.
    labels = [n if n in (DATE, *KNOWN) else f"\0{i}{n}" for i, n in enumerate(names)] + [EXTRA]
    try:
        frame = pd.read_csv(
            io.StringIO(text), header=None, names=labels, skiprows=lines, skip_blank_lines=False, low_memory=False,
            dtype={DATE: "str", EXTRA: "str"}, float_precision="round_trip",
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        if isinstance(error, pd.errors.EmptyDataError):
            return pd.DataFrame(columns=[ROW, *names])
        raise DataError(f"{path}: {str(error).strip()}; repair or delete that line") from error
    frame.columns = pd.Index([*names, EXTRA])
    frame.insert(0, ROW, np.arange(lines + 1, lines + 1 + len(frame)))
    _refuse_extra(path, frame)
    return frame


def _refuse_extra(path: Path, frame: pd.DataFrame) -> None:
    extra = frame[EXTRA].notna()
    if extra.any():
        raise DataError(f"{path}, line {frame.loc[extra, ROW].iloc[0]}: more values than columns; repair or delete it")


def _header(text: str) -> tuple[list[str], list[str] | None, int]:
    """Column names, tickers (None if the file has no row of them), and how many lines they take.

    yfinance writes frames with two levels of columns: a row of fields, a row of tickers, and a row that names the
    index and nothing else. Either of the first two may come first.
    """
    rows = list(csv.reader(io.StringIO("".join(text.splitlines(keepends=True)[:3]))))
    first = [_plain(cell) for cell in rows[0]] if rows else []
    if len(rows) < 2 or not rows[0] or not rows[1] or DATE in first:
        return first, None, 1
    if CLOSE not in first and CLOSE in [_plain(cell) for cell in rows[1]]:
        rows[0], rows[1] = rows[1], rows[0]
    numeric = any(re.match(r"^-?\d+(\.\d+)?$", cell.strip()) for cell in rows[1][1:])
    if numeric or rows[1][0].strip().lower() not in ("ticker", "price", ""):
        return first, None, 1
    names = [DATE, *(_plain(cell) for cell in rows[0][1:])]
    named = len(rows) > 2 and rows[2] and _plain(rows[2][0]) == DATE and not any(cell.strip() for cell in rows[2][1:])
    return names, ["", *rows[1][1:]], 3 if named else 2


def _read_parquet(path: Path, stock: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as Parquet ({str(error)[:100]}); write it again") from error
    tickers = None
    if frame.columns.nlevels > 1:
        levels = [[str(part) for part in frame.columns.get_level_values(level)] for level in (0, 1)]
        fields, tickers = levels if CLOSE in map(_plain, levels[0]) else levels[::-1]
        frame.columns = pd.Index(fields)
    names = _pick(path, [_plain(name) for name in frame.columns], tickers, stock)
    frame.columns = pd.Index(names)
    frame = frame.loc[:, [name in (DATE, *KNOWN) for name in names]]
    if DATE not in frame.columns:
        if not isinstance(frame.index, pd.DatetimeIndex) and _plain(frame.index.name) != DATE:
            return frame.assign(**{ROW: np.arange(1, len(frame) + 1)})
        frame = frame.assign(**{DATE: frame.index})
    return frame.reset_index(drop=True).assign(**{ROW: np.arange(1, len(frame) + 1)})
