"""Formats windows and bars as lines of CSV files, each number once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from preprocessing.windows import Windows
from stonk_pipeline.schema import BAR_COLUMNS, DATE, X_COLUMNS, Y_COLUMNS

DIGITS = 8
"""Significant digits of the numbers on the prompt scale."""
EXACT = ("price_offset", "price_unit")
"""Columns that keep all digits, so that prices can be recovered."""


def significant(values: np.ndarray, digits: int = DIGITS) -> np.ndarray:
    """Rounds each number to so many significant digits, and to 22 decimals; NaN stays."""
    usable = np.isfinite(values) & (values != 0)
    size = np.floor(np.log10(np.abs(np.where(usable, values, 1.0))))
    # Powers of ten up to 10^22 are exact in binary; with larger ones the last digits would be wrong.
    shift = np.minimum(digits - 1 - size, 22)
    # Two branches, because a negative power of ten is not exact in binary and would bring back the digits cut off.
    scale = np.power(10.0, np.abs(shift))
    rounded = np.where(shift >= 0, np.rint(values * scale) / scale, np.rint(values / scale) * scale)
    return np.where(usable, rounded, values)


def sequences(values: np.ndarray) -> pa.Array:
    """Formats (N, L) numbers as N texts such as `[99.5, 100]` (JSON)."""
    count, length = values.shape
    texts = pc.cast(pa.array(significant(values).ravel()), pa.string())
    offsets = pa.array(np.arange(0, count * length + 1, length, dtype=np.int32))
    return pc.binary_join_element_wise("[", pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ", "), "]", "")


def csv_lines(columns: Mapping[str, object]) -> tuple[bytes, list[bytes]]:
    """Formats a table as CSV: (header line, one line a row, each with its line feed). NaN becomes an empty cell."""
    table = pa.table({name: _array(values) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False))
    return (",".join(columns) + "\n").encode(), sink.getvalue().to_pybytes().splitlines(keepends=True)


def _array(values: object) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)


def x_columns(stock: str, windows: Windows) -> dict[str, object]:
    """Builds `schema.X_COLUMNS` of all windows."""
    features = {n: v if n in EXACT else significant(v) for n, v in windows.features.items()}
    columns = features | {
        "stock": pa.repeat(stock, len(windows)),
        "date": windows.date,
        "context_start": windows.context_start,
        "sequence": sequences(windows.context),
    }
    return {name: columns[name] for name in X_COLUMNS}


def y_columns(stock: str, windows: Windows) -> dict[str, object]:
    """Builds `schema.Y_COLUMNS` of all windows."""
    columns = {
        "stock": pa.repeat(stock, len(windows)),
        "date": windows.date,
        "target_start": windows.target_start,
        "target_end": windows.target_end,
        "sequence": sequences(windows.target),
    }
    return {name: columns[name] for name in Y_COLUMNS}


def bar_columns(frame: pd.DataFrame) -> dict[str, object]:
    """Builds `schema.BAR_COLUMNS` of a frame of bars."""
    days = frame[DATE].to_numpy().astype("datetime64[D]")
    return {DATE: days} | {name: significant(frame[name].to_numpy(), 10) for name in BAR_COLUMNS[1:]}


def write_lines(path: Path, header: bytes, lines: list[bytes]) -> None:
    """Writes a CSV file."""
    path.write_bytes(header + b"".join(lines))
