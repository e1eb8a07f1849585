"""Reads CSV and Parquet files of unknown origin within limits on bytes, rows and columns."""

import io
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stonk_pipeline.errors import DataError
from stonk_pipeline.files.unpacking import unpack
from stonk_pipeline.files.untrusted import MEGABYTE, read_bytes, reason

LARGEST_CSV = 256 * MEGABYTE
MOST_CELLS = 20_000_000
"""A Parquet file of a few kilobytes can hold one value a billion times, a packed CSV a hundred million empty ones."""
MOST_COLUMNS = 1000


def check_parquet(path: Path, remedy: str) -> None:
    """Checks the sizes that a Parquet file states before its values are unpacked.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no Parquet file, or has more columns or values than this project reads.
    """
    read_bytes(path, DataError, remedy, largest=4 * LARGEST_CSV) if not path.is_file() else None
    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as Parquet ({reason(error)}); {remedy}") from error
    if found.num_columns > MOST_COLUMNS or found.num_rows * max(found.num_columns, 1) > MOST_CELLS:
        raise DataError(
            f"{path}: {found.num_rows:,} rows of {found.num_columns:,} columns, more than are read at once; {remedy}"
        )


def read_frame(path: Path, remedy: str) -> pd.DataFrame:
    """Reads a CSV file (every value as text, `.gz` and `.zip` unpacked) or a Parquet file.

    Words such as `NA` stay what they are: NA is a ticker too.

    Raises:
        DataError: names the file, why it cannot be read, and the remedy.
    """
    try:
        if path.suffix.lower() == ".parquet":
            check_parquet(path, remedy)
            return pd.read_parquet(path)
        content = _content(path, remedy)
        header = content[: content.find(b"\n")] if b"\n" in content else content
        if header.count(b",") >= MOST_COLUMNS:
            raise DataError(f"{path}, line 1: more than {MOST_COLUMNS:,} columns; {remedy}")
        lines = content.count(b"\n")
        if lines * (header.count(b",") + 1) > MOST_CELLS:
            raise DataError(f"{path}: {lines:,} lines, more than are read at once; {remedy}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line with more values than the header
            return pd.read_csv(io.BytesIO(content), dtype=str, index_col=False, keep_default_na=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {remedy}") from error
    except (pa.ArrowException, OSError, ValueError, LookupError, ArithmeticError, TypeError, Warning) as error:
        raise DataError(f"{path}: not readable ({reason(error)}); {remedy}") from error


def _content(path: Path, remedy: str) -> bytes:
    """The text of a CSV file, unpacked, within `LARGEST_CSV` bytes."""
    content = read_bytes(path, DataError, remedy, LARGEST_CSV)
    if path.suffix.lower() not in (".gz", ".zip"):
        return content
    content = unpack(path, LARGEST_CSV, (".csv", ".txt"))
    if len(content) > LARGEST_CSV:
        raise DataError(f"{path}: unpacks to more than {LARGEST_CSV // MEGABYTE} MB; {remedy}")
    return content
