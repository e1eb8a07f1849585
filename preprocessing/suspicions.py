"""Reports price jumps that look like a small stock split which nobody adjusted for.

A jump is named when a stock opens and closes at a usual split's ratio to its last close, and the others do not move
with it. On the 25 real stocks of five years that the tests use where they are there, no day is named by error:
`test_suspect_splits_names_no_day_of_real_bars`.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd

from preprocessing.ohlcv import Bars
from preprocessing.repairs import Repair
from stonk_pipeline.schema import CLOSE, DATE, OPEN

WHOLE = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
ODD = ((6, 5), (5, 4), (4, 3), (7, 5), (3, 2), (8, 5), (5, 3), (7, 4), (9, 5), (5, 2), (7, 2))
FEWER = ((2, 3), (3, 4), (4, 5), (3, 5), (2, 5))
RATIOS = (
    *(Fraction(new, old) for new, old in (*ODD, *FEWER)),
    *(Fraction(new) for new in WHOLE),
    *(Fraction(1, old) for old in WHOLE),
)
"""New shares for an old one."""
OPEN_TOLERANCE, CLOSE_TOLERANCE = 0.02, 0.04
"""Largest share by which open and close may miss the ratio: what a night and a day usually move beside a split."""
SAME_MOVE, SAME_SHARE = 0.5, 0.1
"""A jump is the market's, not a split, where so many of the other stocks moved so much of it (as logarithms)."""


def suspect_splits(market: Sequence[Bars]) -> list[Bars]:
    """Adds to each stock's report the jumps that look like small splits; the bars stay the same.

    Args:
        market: all stocks that were read, so that a day on which many move is no suspicion.
    """
    series = {bars.stock: _log_moves(bars.frame[CLOSE], bars.frame[DATE]) for bars in market}
    jumps = {bars.stock: _jumps(bars.frame) for bars in market}
    days = sorted({bars.frame[DATE].iloc[row] for bars in market for row in jumps[bars.stock]})
    moves = {day: {stock: moved[day] for stock, moved in series.items() if day in moved.index} for day in days}
    return [_with_suspicions(bars, jumps[bars.stock], moves) for bars in market]


def _log_moves(values: pd.Series, days: pd.Series) -> pd.Series:
    return pd.Series(np.append(0.0, np.diff(np.log(values.to_numpy()))), index=pd.DatetimeIndex(days))


def _jumps(frame: pd.DataFrame) -> dict[int, Fraction]:
    """Row -> the split whose ratio the open and the close have to the close before."""
    closes = frame[CLOSE].to_numpy()
    opened, closed = frame[OPEN].to_numpy()[1:] / closes[:-1], closes[1:] / closes[:-1]
    # Twice as many shares at half the price.
    ratios = np.array([float(ratio) for ratio in RATIOS])
    open_miss, close_miss = (np.abs(moved[:, None] * ratios - 1) for moved in (opened, closed))
    hits = (open_miss <= OPEN_TOLERANCE) & (close_miss <= CLOSE_TOLERANCE)
    # Usual ratios lie close enough together for one jump to hit two.
    nearest = np.where(hits, open_miss + close_miss, np.inf).argmin(axis=1)
    return {int(row) + 1: RATIOS[nearest[row]] for row in np.flatnonzero(hits.any(axis=1))}


def _with_suspicions(bars: Bars, jumps: dict[int, Fraction], moves: dict[pd.Timestamp, dict[str, float]]) -> Bars:
    repairs: list[Repair] = []
    for row, ratio in sorted(jumps.items()):
        day = bars.frame[DATE].iloc[row]
        move = moves[day][bars.stock]
        others = np.array([other for stock, other in moves[day].items() if stock != bars.stock])
        if len(others) and np.mean(others * np.sign(move) >= SAME_MOVE * abs(move)) >= SAME_SHARE:
            continue
        detail = (
            f"1 row ({day.date()}) opens and closes at about {1 / float(ratio):.4g} times the close before, as after a "
            f"split of {ratio.numerator} for {ratio.denominator} that is not adjusted for"
            f"{', and the other stocks do not' if len(others) else ''}; kept, adjust the bars if it is one"
        )
        repairs.append(Repair("split_suspected", 1, (str(day.date()),), detail, changed=False))
    return replace(bars, repairs=(*bars.repairs, *repairs)) if repairs else bars
