"""Refuses bars where the file's own column of stock splits shows that prices were not adjusted for one.

Alpha Vantage calls it `split_coefficient`, Tiingo `splitFactor`, yfinance `Stock Splits`; 0 and 1 mean that there is
none, 2 that there are two shares for one, written as a number, `2:1` or `2/1`.
"""

import re

import numpy as np

from preprocessing.repairs import Repair, note, refuse
from preprocessing.table import Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.schema import CLOSE, DATE, OPEN

SHARES = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(?:[:/]|for)\s*([0-9]*\.?[0-9]+)\s*")
LEAST = 1.03
"""Smallest split that closes can show: a smaller one is an ordinary day's move."""
SURE = 1.09
"""Smallest split for which such a move is refused, not named: adjusted prices hardly move so far on just that day."""
NEAR = 0.5
"""Share of a split's size (as a logarithm) by which open and close may miss it: nearer to it than to no split."""


def check_splits(table: Table, data: DataConfig, repairs: list[Repair]) -> None:
    """Refuses prices that move as far as a split of that day says, and reports small splits.

    Both the open and the close have to: an adjusted price moves by the day's own news alone.

    Args:
        table: sorted bars as numbers, adjusted where that is done, perhaps with `splits`.
        data: `adjust`.
        repairs: receives a note for each split from `LEAST` to `SURE`.

    Raises:
        DataError: names row, ratio and remedy.
    """
    if table.splits is None or len(table.rows) < 2:
        return
    ratio = np.array([_ratio(cell) for cell in table.splits.tolist()])
    size = np.abs(np.log(ratio))
    before = np.append(np.nan, table.columns[CLOSE][:-1])
    moved = [np.log(table.columns[name] / before) for name in (OPEN, CLOSE)]
    # Some sources give old shares for new ones, so the direction is left open.
    hit = [np.abs(np.abs(move) - size) <= NEAR * size for move in moved]
    bad = (size >= np.log(LEAST)) & hit[0] & hit[1] & (np.sign(moved[0]) == np.sign(moved[1]))
    small = bad & (size < np.log(SURE))
    what = "on which the file names a split, and the prices move as if they were not adjusted for it; kept, adjust them"
    note(repairs, table.columns[DATE][small], "split_suspected", what, changed=False)
    bad &= ~small
    if not bad.any():
        return
    row = int(bad.argmax())
    what = (
        f"the file names a split of {ratio[row]:.6g} on {table.columns[DATE][row]}, and the close is "
        f"{np.exp(moved[1][row]):.4g} times the one before: the prices are not adjusted for it"
    )
    remedy = "add a column Adj Close, or give adjusted prices" if data.adjust else "set data.adjust to true, if it has"
    remedy += "" if data.adjust else " an Adj Close, or give adjusted prices"
    refuse(table, bad, what, f"{remedy}; if they are adjusted and the move is real, empty that cell")


def _ratio(cell: object) -> float:
    """New shares for an old one; 1 where a cell names no split."""
    text = str(cell).strip()
    shares = SHARES.fullmatch(text)
    try:
        value = float(shares[1]) / float(shares[2]) if shares else float(text)
    except (ValueError, ZeroDivisionError):
        return 1.0
    return value if 1e-6 < value < 1e6 else 1.0
