"""Calibrates forecast intervals by how far earlier outcomes lay from their forecasts: split conformal prediction.

The several answers of a model to one window are often far too alike, so that their quantiles cannot be believed. A
calibrated interval stands around the median answer instead, and is as wide as past errors of that median say:

    median ± radius * volatility,    radius: the ceil((n + 1) * level)-th smallest |outcome - median| / volatility

over n earlier windows, for each day ahead by itself (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018,
"Distribution-free predictive inference for regression", sections 2.2 and 5.2). Measured in each window's own
volatility, calm and wild windows are alike. If earlier and later windows are *exchangeable*, such an interval covers
its outcome with a probability of at least `level`.

They are not exchangeable here: windows overlap, stocks move together, and times change. So the promise is approximate
(Barber, Candès, Ramdas and Tibshirani 2023, "Conformal prediction beyond exchangeability"), which is why measured
coverage is always shown beside the nominal one. And the radius moves along: for a window it rests on the validation
windows and on those test windows whose last outcome was known on its decision date, as it would in use.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.evaluation.quantiles import LEVELS

NOMINAL = tuple(sorted({round(1 - 2 * level, 2) for level in LEVELS if level < 0.5} | {0.5, 0.95}))
"""Nominal coverages of the intervals that are calibrated: those whose ends are the logged quantiles, 50 and 95 %."""


class Known(NamedTuple):
    """Errors of median answers whose outcomes are known from a day on."""

    errors: Floats
    """(N, H) `relative_errors`."""
    decided: NDArray[np.str_]
    """(N,) decision dates (ISO)."""
    ended: NDArray[np.str_]
    """(N,) dates of the last outcome (ISO)."""


def relative_errors(median: Floats, truth: Floats, size: Floats) -> Floats:
    """Computes |outcome - median| in daily volatilities, (N, H).

    Args:
        median, truth: (N, H), on any scale.
        size: (N,) daily volatility on that scale.
    """
    return np.asarray(np.abs(truth - median) / size[:, None])


def radius(errors: Floats, level: float) -> Floats:
    """Computes the half width of an interval, (H,), in daily volatilities.

    Args:
        errors: (N, H) `relative_errors` of earlier windows.
        level: nominal coverage.

    Returns:
        The ceil((N + 1) * level)-th smallest error of each day. With fewer windows than the level needs (N + 1 <
        1 / (1 - level)) it is the largest one, which promises N / (N + 1) alone.
    """
    count = len(errors)
    # The margin guards against 0.95 * 20 being a little more than 19 in binary.
    rank = min(int(np.ceil((count + 1) * level - 1e-9)), count)
    return np.asarray(np.sort(errors, axis=0)[rank - 1])


def rolling(known: Known, asked: Known, levels: Sequence[float] = NOMINAL) -> dict[float, Floats]:
    """Computes the half widths for windows in the order of time, each from what was known on its decision date.

    Args:
        known: the calibration windows, all of them known before the first that is asked about.
        asked: the windows to be forecast, with what came. Only outcomes that ended by a decision date count for it.
        levels: nominal coverages.

    Returns:
        Level -> (N, H), in daily volatilities.
    """
    found = {level: np.empty_like(asked.errors) for level in levels}
    for date in np.unique(asked.decided):
        so_far = np.vstack([known.errors, asked.errors[asked.ended <= date]])
        for level in levels:
            found[level][asked.decided == date] = radius(so_far, level)
    return found


def intervals(median: Floats, size: Floats, radii: Mapping[float, Floats]) -> dict[float, Floats]:
    """Builds intervals around median answers: level -> (N, 2, H).

    Args:
        median: (N, H) on any scale.
        size: (N,) daily volatility on that scale.
        radii: level -> (N, H) or (H,), in daily volatilities.
    """
    return {
        level: np.stack([median - size[:, None] * wide, median + size[:, None] * wide], axis=1)
        for level, wide in radii.items()
    }


def quantiles(ends: Mapping[float, Floats]) -> Floats:
    """Takes the quantiles at `quantiles.LEVELS` from intervals: (L, ...).

    Args:
        ends: level -> (..., 2, H) for each of `NOMINAL`; the median lies in the middle of each.
    """
    rows = []
    for level in LEVELS:
        low, high = np.moveaxis(ends[round(abs(1 - 2 * level), 2) or NOMINAL[0]], -2, 0)
        rows.append((low + high) / 2 if level == 0.5 else low if level < 0.5 else high)
    return np.array(rows)


def coverage(ends: Floats, truth: Floats) -> float:
    """Computes the share of closes within intervals (N, 2, H)."""
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())
