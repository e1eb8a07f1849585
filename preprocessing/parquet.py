"""Reads Parquet files of bars, an index among their columns, up to a size limit."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from preprocessing.dialects import MOST_COLUMNS
from preprocessing.files import MOST_BYTES
from preprocessing.names import name_columns, plain
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import reason
from stonk_pipeline.schema import CLOSE, DATE

MOST_ROWS = 20_000_000
"""A column of one repeated value takes no room in a file, and much in memory."""


def read_parquet(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None, pd.DataFrame]:
    """Reads a file whole.

    Returns:
        (names of the columns, ticker of each column or None, the columns as 0, 1, …)

    Raises:
        DataError: the file is damaged, or larger than bars are.
    """
    try:
        _check_size(path)
        frame = pd.read_parquet(path)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes pyarrow and pandas raise nearly anything
        why = f"{type(error).__name__}: {reason(error)}"
        raise DataError(f"{path}: not readable as Parquet ({why}); write it again") from error
    header, tickers = _levels(frame)
    if frame.index.nlevels > 1 or _is_dated(frame.index, name_columns(header).found.get(DATE)):
        header, tickers, frame = _index_too(frame, header, tickers)
    frame.columns = pd.RangeIndex(frame.shape[1])
    return tuple(header), tuple(tickers) if tickers else None, frame.reset_index(drop=True)


def parquet_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Reads names and tickers of the columns without the columns; nothing of a file that cannot be read."""
    try:
        schema = pq.read_schema(path)
        header, tickers = _levels(schema.empty_table().to_pandas())
        names = schema.names if schema.pandas_metadata is None or not tickers else header
    except Exception:  # read_parquet says what is wrong
        return (), None
    return tuple(names), tuple(tickers) if tickers else None


def _check_size(path: Path) -> None:
    whole = pq.read_metadata(path)
    size = sum(whole.row_group(group).total_byte_size for group in range(whole.num_row_groups))
    for number, most, what in (
        (whole.num_columns, MOST_COLUMNS, "columns"),
        (whole.num_rows, MOST_ROWS, "rows"),
        (size, MOST_BYTES, "bytes"),
        (whole.num_rows * whole.num_columns, MOST_BYTES, "cells"),
    ):
        if number > most:
            raise DataError(f"{path}: {number} {what}, more than the {most} that are read; write one file for a stock")


def _levels(frame: pd.DataFrame) -> tuple[list[str], list[str] | None]:
    """Names and, of two levels of columns, tickers."""
    if frame.columns.nlevels < 2:
        return [str(name) for name in frame.columns], None
    levels = [[str(part) for part in frame.columns.get_level_values(level)] for level in (0, 1)]
    fields, tickers = levels if CLOSE in map(plain, levels[0]) else levels[::-1]
    return fields, tickers


def _is_dated(index: pd.Index, column: str | None) -> bool:
    """Whether the index has the dates: no column does, or one of a weaker name (`day`) beside an index of dates.

    Args:
        index: of one level.
        column: plain name of the column of dates, or None.
    """
    return column is None or (column != DATE and (isinstance(index, pd.DatetimeIndex) or plain(index.name) == DATE))


def _index_too(
    frame: pd.DataFrame, header: list[str], tickers: list[str] | None
) -> tuple[list[str], list[str] | None, pd.DataFrame]:
    """The levels of the index, such as (ticker, date), as columns before the others."""
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    names = [DATE if isinstance(level, pd.DatetimeIndex) else str(level.name or "") for level in levels]
    kept = [number for number, name in enumerate(names) if name]
    columns = [pd.Series(levels[number]).reset_index(drop=True) for number in kept]
    body = frame.reset_index(drop=True)
    body.columns = pd.RangeIndex(body.shape[1])
    header = [*(names[number] for number in kept), *header]
    tickers = tickers and [*[""] * len(kept), *tickers]
    return header, tickers, pd.concat([*columns, body], axis=1)
