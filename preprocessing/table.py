"""Defines a file of bars as a table: known column names, values as they stand in the file."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stonk_pipeline.schema import BAR_COLUMNS

ADJUSTED = "adjclose"
KNOWN = (*BAR_COLUMNS, ADJUSTED)


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of bars in a file."""

    path: Path
    unit: str
    """What `rows` counts: `line` of a CSV file or `row` of a Parquet file, both from 1."""
    rows: np.ndarray
    columns: dict[str, np.ndarray]
    """`schema.BAR_COLUMNS` (perhaps without a volume), perhaps `adjclose` -> (T,); numbers, times, or objects as they
    stand in the file."""
    adjusted: bool = False
    """Open, high, low and close are adjusted ones, as the file gives them."""
    dialect: tuple[str, ...] = ()
    """What is unusual in how the file was read, such as `semicolons between the columns`."""
    unused: tuple[str, ...] = ()
    """Columns that look like an adjusted price and are not used, as the file calls them."""
    splits: np.ndarray | None = None
    """(T,) cells of the file's own column of splits, where it has one."""
    unnamed: tuple[int, ...] = ()
    """Rows (as `rows` counts them) that name no ticker, in a file of several."""

    def place(self, row: int) -> str:
        """Words where a row stands, for messages."""
        return f"{self.path}, {self.unit} {row}"

    def take(self, rows: np.ndarray | slice) -> "Table":
        """Returns the table with these rows (a mask, positions or a slice) alone."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        splits = None if self.splits is None else self.splits[rows]
        return replace(self, rows=self.rows[rows], columns=columns, splits=splits)

    def having(self, columns: dict[str, np.ndarray]) -> "Table":
        """Returns the table with these columns in place of its own."""
        return replace(self, columns=self.columns | columns)
