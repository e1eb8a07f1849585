"""Scales bars by their adjusted close (Adj Close) and refuses adjusted closes that must be wrong.

The factor Adj Close / Close changes when a stock pays a dividend or splits, and stays changed: the close before and all
earlier ones have the new factor to the day. So a factor that leaves and comes back, or that changes much on a day on
which the close stays, is no adjustment but a wrong Adj Close.
"""

import numpy as np

from preprocessing.repairs import refuse
from preprocessing.table import ADJUSTED, Table
from preprocessing.units import PRICES, UNITS
from stonk_pipeline.schema import CLOSE, DATE

BACK_WITHIN = 5
"""Bars after which a factor that came back is no adjustment. Stocks pay dividends months apart, and no payment takes an
earlier one back."""
LEAST = 0.005
"""Smallest wrong change of the factor (as a logarithm) that is looked for: half a percent."""
ROUNDINGS = 4.0
"""A change has to be so many times what rounding alone may do to the factor, as cents do to an Adj Close of 0.13."""
BACK = 0.2
"""Share of a change that may be left when the factor has come back."""
LARGE = 0.15
"""A change of the factor (as a logarithm) from which on the close has to show what is adjusted for."""
STILL_BARS, STILL_MOVE = 5, 0.02
"""Bars with one Adj Close over which the close moves so much: it was filled in, not adjusted."""
REMEDY = "correct it, or set data.adjust to false to have the closes as they are"


def adjust(table: Table) -> Table:
    """Scales open, high, low and close by Adj Close / Close.

    Args:
        table: sorted bars as numbers above zero, with an Adj Close.

    Raises:
        DataError: an Adj Close is wrong; names its row.
    """
    close, adjusted = table.columns[CLOSE], table.columns[ADJUSTED]
    factor = adjusted / close
    # Where a price is the close, it becomes the Adj Close itself: a product would miss it by a bit, and prices that
    # stand still would seem to move.
    scaled = {name: np.where(table.columns[name] == close, adjusted, table.columns[name] * factor) for name in PRICES}
    return table.having(scaled)


def check_adjustment(table: Table) -> None:
    """Refuses values of Adj Close that no dividend and no split explains.

    Args:
        table: sorted bars as numbers above zero, not yet scaled, with an Adj Close.

    Raises:
        DataError: one stands still while the close moves, leaves and comes back, or jumps without the close.
    """
    close, adjusted, days = table.columns[CLOSE], table.columns[ADJUSTED], table.columns[DATE]
    still = _still(adjusted, close)
    if still.any():
        what = f"Adj Close stays at {adjusted[still][0]:g} for {_run(still)} bars while the close moves"
        refuse(table, still, what, REMEDY)
    factor = np.log(adjusted / close)
    slack = np.maximum(LEAST, ROUNDINGS * (_rounding(adjusted) / adjusted + _rounding(close) / close))
    gone = _leaves_and_returns(factor, slack)
    if gone.any():
        row = int(gone.argmax())
        what = (
            f"Adj Close / Close of {days[row]} is {np.exp(factor[row] - factor[row - 1]):.4g} times that of the day "
            "before and soon back, as after no dividend or split"
        )
        refuse(table, gone, what, REMEDY)
    steps = np.append(0.0, np.diff(factor))
    moves = np.append(0.0, np.diff(np.log(close)))
    # Half of a real step is in the close at least, in the other direction; a change of the currency's unit has its
    # own message.
    bare = (np.abs(steps) > np.maximum(LARGE, slack)) & (-moves * np.sign(steps) < np.abs(steps) / 2)
    bare &= np.abs(steps) < np.log(UNITS[0] / 2)
    if bare.any():
        row = int(bare.argmax())
        what = (
            f"Adj Close / Close of {days[row]} is {np.exp(steps[row]):.4g} times that of the day before, and the close "
            f"only {np.exp(moves[row]):.4g} times: it shows no dividend or split of that size"
        )
        refuse(table, bare, what, REMEDY)


def _still(adjusted: np.ndarray, close: np.ndarray) -> np.ndarray:
    """(T,) bars in a run of `STILL_BARS` or more with one Adj Close, over which the close moves by `STILL_MOVE`."""
    same = np.append(False, np.abs(np.diff(adjusted)) <= 1e-9 * adjusted[1:])
    starts = np.flatnonzero(~same)
    sizes = np.diff(np.append(starts, len(same)))
    moved = np.maximum.reduceat(close, starts) / np.minimum.reduceat(close, starts) - 1
    rounded = ROUNDINGS * (_rounding(adjusted) / adjusted)[starts]
    return np.repeat((sizes >= STILL_BARS) & (moved > np.maximum(STILL_MOVE, rounded)), sizes)


def _run(flags: np.ndarray) -> int:
    """Length of the first run of true ones."""
    rest = flags[int(flags.argmax()) :]
    return len(rest) if rest.all() else int((~rest).argmax())


def _leaves_and_returns(factor: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """(T,) bars between a change of the factor and its return within `BACK_WITHIN` bars."""
    steps = np.diff(factor)
    found = np.zeros(len(factor), dtype=bool)
    for row in np.flatnonzero(np.abs(steps) > slack[1:]):
        step, later = steps[row], factor[row + 2 : row + 2 + BACK_WITHIN]
        left, most = later - factor[row], max(BACK * abs(step), slack[row] / 2)
        # A dividend that was paid meanwhile raises it, so it may come back to more than it was.
        back = np.flatnonzero(left >= -most if step < 0 else np.abs(left) <= most)
        if len(back) and not found[row : row + 2].any():
            found[row + 1 : row + 2 + back[0]] = True
    return found


def _rounding(values: np.ndarray) -> np.ndarray:
    """(T,) half of the last decimal that the values are written with, at most eight."""
    for decimals in range(8):
        if (np.abs(values - values.round(decimals)) <= 1e-12 * values).all():
            return np.full(len(values), 0.5 * 10.0**-decimals)
    return np.zeros(len(values))
