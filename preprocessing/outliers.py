"""Finds single prices far from all others, such as a high that is 100 times too high, and refuses or repairs them.

A price is compared with the other prices of its own bar and with the close before, so with nothing that comes later:
what is done about a bar does not change when the next one arrives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from preprocessing.repairs import Repair, refuse
from preprocessing.table import Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.schema import CLOSE, DATE, HIGH, LOW, OPEN

MOST_ROWS, MOST_SHARE = 5, 0.01
"""A column with more outliers than both is wrong as a whole, and not repaired."""


@dataclass(frozen=True, slots=True)
class Outliers:
    """The outliers of one column."""

    name: str
    bad: np.ndarray
    """(T,) which rows."""
    nearest: np.ndarray
    """(T,) the nearest price that the others allow."""


def check_outliers(table: Table, data: DataConfig, repairs: list[Repair]) -> Table:
    """Refuses prices far out of the range of their own bar and the close before, or pulls them back.

    An open goes to the nearer of its close and the close before, within its own high and low; a high or a low to its
    own open and close.

    Args:
        table: sorted bars as numbers.
        data: `outlier_factor`, `repair_outliers`.
        repairs: receives one entry for each price that was pulled back.

    Raises:
        DataError: there are outliers and they are not to be repaired, or too many for single ones.
    """
    for found in _outliers(table, data.outlier_factor):
        name, bad = found.name, found.bad
        if not bad.any():
            continue
        values = table.columns[name]
        times = np.maximum(values / found.nearest, found.nearest / values)
        what = f"{name} is {_times(values[bad][0] / found.nearest[bad][0])} what its own bar and the close before allow"
        if not data.repair_outliers:
            remedy = (
                f"correct it, or set data.repair_outliers to true to have it pulled back to them, or, if it is real, "
                f"set data.outlier_factor above {np.ceil(times[bad].max() * 100) / 100:g}"
            )
            refuse(table, bad, what, remedy)
        if bad.sum() > max(MOST_ROWS, MOST_SHARE * len(bad)):
            refuse(table, bad, what, "so many are no single errors: correct the column, or leave the file out")
        for row in np.flatnonzero(bad):
            day, old, new = str(table.columns[DATE][row]), values[row], found.nearest[row]
            detail = f"1 row ({day}, {table.unit} {table.rows[row]}) with {name} {old:.6g}, "
            detail += f"{_times(old / new)} what its own bar and the close before allow; pulled back to {new:.6g}"
            repairs.append(Repair("outlier", 1, (day,), detail, changed=True))
        table = table.having({name: np.where(bad, found.nearest, values)})
    return table


def _outliers(table: Table, factor: float) -> Iterator[Outliers]:
    """The outliers of open, high and low; an open is judged first, since the others are measured by it."""
    open_, high, low, close = (table.columns[name] for name in (OPEN, HIGH, LOW, CLOSE))
    before = np.append(close[:1], close[:-1])
    least, most = np.minimum(close, before), np.maximum(close, before)
    bad = (open_ > most * factor) | (open_ < least / factor)
    # A bar that opened far from yesterday has that price outside its own range.
    nearest = np.clip(np.clip(open_, least, most), np.minimum(low, close), np.maximum(high, close))
    yield Outliers(OPEN, bad, nearest)
    open_ = np.where(bad, nearest, open_)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    # A high below its own close is the outlier only where the close agrees with the one before.
    agreed = most <= least * factor
    yield Outliers(HIGH, (high > np.maximum(top, before) * factor) | (agreed & (high < top / factor)), top)
    yield Outliers(LOW, (low < np.minimum(bottom, before) / factor) | (agreed & (low > bottom * factor)), bottom)


def _times(ratio: float) -> str:
    return f"{ratio:.4g} times"
