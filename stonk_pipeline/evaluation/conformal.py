"""Calibrates forecast intervals on the validation windows by split conformal prediction.

Split conformal prediction for quantile forecasts (Romano, Patterson and Candès 2019, "Conformalized quantile
regression", theorem 1): on n calibration windows measure how far each outcome lies outside its interval (negative:
inside); widen every later interval by the ceil((n + 1) * level)-th smallest of these distances. If calibration and
later windows are *exchangeable*, an interval so widened covers its outcome with a probability of at least `level`.

They are not exchangeable here: windows overlap, stocks move together, and validation comes before the test. So the
promise is approximate, and better the more alike the two stretches of time are (Barber, Candès, Ramdas and Tibshirani
2023, "Conformal prediction beyond exchangeability"). That is why coverage is always shown before and after. Distances
are measured in each window's own volatility, which makes calm and wild stretches more alike.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from stonk_pipeline.evaluation.distribution import LEVELS, central_interval
from stonk_pipeline.evaluation.metrics import Floats


def margins(samples: Floats, truth: Floats, size: Floats, levels: Sequence[float] = LEVELS) -> dict[float, Floats]:
    """Computes how much wider the intervals have to be, by level and day ahead.

    Args:
        samples: (N, S, H) answers to the calibration windows, on any scale.
        truth: (N, H) what came, on the same scale.
        size: (N,) daily volatility on that scale.
        levels: nominal coverages.

    Returns:
        Level -> (H,), in volatilities; negative where the intervals are too wide. With fewer windows than the level
        needs (n + 1 < 1 / (1 - level)) it is the largest distance seen, which promises n / (n + 1) alone.
    """
    count = len(truth)
    found = {}
    for level in levels:
        low, high = central_interval(samples, level)
        outside = np.maximum(low - truth, truth - high) / size[:, None]
        # The margin guards against 0.95 * 20 being a little more than 19 in binary.
        rank = min(int(np.ceil((count + 1) * level - 1e-9)), count)
        found[level] = np.sort(outside, axis=0)[rank - 1]
    return found


def calibrated(samples: Floats, size: Floats, by_level: Mapping[float, Floats]) -> dict[float, Floats]:
    """Widens intervals by their margins: level -> (N, 2, H). Where low and high cross, both are their middle.

    Args:
        samples: (N, S, H) answers to the windows to be forecast.
        size: (N,) daily volatility on their scale.
        by_level: of `margins`.
    """
    found = {}
    for level, margin in by_level.items():
        low, high = central_interval(samples, level)
        low, high = low - size[:, None] * margin, high + size[:, None] * margin
        middle = (low + high) / 2
        found[level] = np.stack([np.minimum(low, middle), np.maximum(high, middle)], axis=1)
    return found


def coverage(ends: Floats, truth: Floats) -> float:
    """Computes the share of closes within intervals (N, 2, H)."""
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())
