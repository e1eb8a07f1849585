"""Finds a change of currency unit within a file, such as pence to pounds, and refuses or repairs it."""

from dataclasses import dataclass

import numpy as np

from preprocessing.repairs import SHOWN, Repair, refuse
from preprocessing.table import Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.schema import CLOSE, DATE, HIGH, LOW, OPEN

PRICES = (OPEN, HIGH, LOW, CLOSE)
UNITS = (100, 1000)
"""How many of the small unit make a large one: pence and pounds, fils and dinars."""
TOLERANCE = 1.25
"""Largest factor by which the price itself may have moved on the day of the change."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring bars in another unit than the last one."""

    rows: slice
    factor: float
    """Their prices are so many times what they would be in the unit of the last bar."""
    said: str
    """Number of rows and days, for messages."""

    @property
    def how(self) -> str:
        """Words how the bars differ."""
        return f"{max(self.factor, 1 / self.factor):g} times as {'large' if self.factor > 1 else 'small'}"


def check_units(table: Table, data: DataConfig, repairs: list[Repair]) -> Table:
    """Refuses bars whose currency's unit changes, or gives all of them the unit of the last one.

    Args:
        table: sorted bars as numbers.
        data: `repair_units`; a jump within `split_ratio` is taken for real.
        repairs: receives one entry for each stretch of bars that was scaled.

    Raises:
        DataError: the unit changes, and that is not to be repaired.
    """
    steps = unit_steps(table)
    found = _stretches(table, steps)
    if not found:
        return table
    if not data.repair_units:
        if data.split_ratio < UNITS[0]:
            _refuse_units(table, steps, found)
        return table
    scaled = {name: table.columns[name].copy() for name in PRICES}
    for stretch in found:
        days = table.columns[DATE][stretch.rows]
        large = stretch.factor > 1
        for values in scaled.values():
            # Division and multiplication by a whole number give back what the file would have held.
            piece = values[stretch.rows]
            values[stretch.rows] = piece / stretch.factor if large else piece * round(1 / stretch.factor)
        what = f"{'divided' if large else 'multiplied'} by {max(stretch.factor, 1 / stretch.factor):g}"
        detail = f"{stretch.said} in another unit of the currency, {stretch.how} as the last bars; {what}"
        repairs.append(Repair("unit", len(days), tuple(map(str, days[:SHOWN])), detail, changed=True))
    return table.having(scaled)


def unit_steps(table: Table) -> np.ndarray:
    """Computes (T,) by which unit a bar differs from the one before: 100, 0.01, …, or 1 where it does not.

    Measured on the middle of each bar's four prices: a single wrong one does not move it.
    """
    middle = np.median([table.columns[name] for name in PRICES], axis=0)
    moves = np.append(0.0, np.diff(np.log(middle)))
    steps = np.ones(len(moves))
    for unit in UNITS:
        near = np.abs(np.abs(moves) - np.log(unit)) <= np.log(TOLERANCE)
        steps[near] = np.where(moves[near] > 0, float(unit), 1 / unit)
    return steps


def _stretches(table: Table, steps: np.ndarray) -> list[Stretch]:
    """All stretches of bars that are not in the unit of the last one, oldest first."""
    changes = np.flatnonzero(steps != 1.0)
    if not len(changes):
        return []
    edges = [0, *changes.tolist(), len(steps)]
    found: list[Stretch] = []
    factor = 1.0
    for start, end in zip(edges[-2::-1], edges[:0:-1], strict=True):
        if not np.isclose(factor, 1.0):
            days = table.columns[DATE]
            rows = f"{end - start} row{'s' if end - start > 1 else ''}"
            span = str(days[start]) if end - start == 1 else f"{days[start]} to {days[end - 1]}"
            found.insert(0, Stretch(slice(start, end), factor, f"{rows} ({span})"))
        factor /= steps[start]
    return found


def _refuse_units(table: Table, steps: np.ndarray, found: list[Stretch]) -> None:
    change = np.arange(len(steps)) == np.argmax(steps != 1.0)
    days = table.columns[DATE][change]
    unit = max(steps[change][0], 1 / steps[change][0])
    stretches = ", ".join(f"{stretch.said} {stretch.how}" for stretch in found[:SHOWN])
    more = ", …" if len(found) > SHOWN else ""
    refuse(
        table,
        change,
        f"the prices change by a factor of about {unit:g} on {days[0]}, as pence and pounds do; "
        f"beside the last bars, {stretches}{more}",
        "set data.repair_units to true to have all given the unit of the last bars (the same mends a split of "
        f"{unit:g} to 1), or correct them",
    )
