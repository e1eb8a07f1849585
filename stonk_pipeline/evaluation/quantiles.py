"""Several answers to quantiles of each coming close, and the scores of quantiles."""

import numpy as np

from stonk_pipeline.evaluation.metrics import Floats

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""5 %, 10 %, … 95 %."""
INTERVALS = {"0.5": (0.25, 0.75), "0.8": (0.1, 0.9), "0.9": (0.05, 0.95)}
"""Nominal coverage -> the quantiles at its ends."""
MEDIAN = LEVELS.index(0.5)


def quantiles_of(samples: Floats) -> Floats:
    """(S, H) answers -> (L, H) quantiles at `LEVELS`, at rank p (S + 1): those of a new draw."""
    return np.asarray(np.quantile(samples, LEVELS, axis=0, method="weibull"))


def crps_of(quantiles: Floats, truth: float) -> float:
    """Continuous ranked probability score of one close from its quantiles (L,), in the unit of both.

    Twice the mean pinball loss over `LEVELS` (Gneiting and Ranjan 2011); of a single value it is the absolute error.

    >>> crps_of(np.full(len(LEVELS), 101.0), 103.0)
    2.0
    """
    levels = np.asarray(LEVELS)
    error = truth - quantiles
    return float(2.0 * np.mean(np.maximum(levels * error, (levels - 1.0) * error)))


def inside(quantiles: Floats, truth: float) -> dict[str, bool]:
    """Nominal coverage -> whether a close lies within that interval of its quantiles (L,)."""
    return {
        name: bool(quantiles[LEVELS.index(low)] <= truth <= quantiles[LEVELS.index(high)])
        for name, (low, high) in INTERVALS.items()
    }
