"""Turns several answers into quantiles of each coming close, and scores quantiles."""

import numpy as np

from stonk_pipeline.evaluation.metrics import Floats

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""5 %, 10 %, … 95 %."""
INTERVALS = {"0.5": (0.25, 0.75), "0.8": (0.1, 0.9), "0.9": (0.05, 0.95)}
"""Nominal coverage -> the quantiles at its ends."""
MEDIAN = LEVELS.index(0.5)


def quantiles_of(samples: Floats) -> Floats:
    """Computes (L, H) quantiles at `LEVELS` of (S, H) answers, at rank p (S + 1): those of a new draw."""
    return np.asarray(np.quantile(samples, LEVELS, axis=0, method="weibull"))


def normal_quantiles(mean: float, deviation: float) -> Floats:
    """Computes the quantiles at `LEVELS` of a normal distribution, (L,)."""
    from scipy.stats import norm

    return np.asarray(mean + deviation * norm.ppf(LEVELS))


def crps_of(quantiles: Floats, truth: float) -> float:
    """Computes the CRPS of one close from its quantiles (L,), in the unit of both.

    Twice the mean pinball loss over `LEVELS` (Gneiting and Ranjan 2011); of a single value it is the absolute error.

    >>> crps_of(np.full(len(LEVELS), 101.0), 103.0)
    2.0
    """
    return crps_of_all(quantiles, np.asarray(truth))


def crps_of_all(quantiles: Floats, truth: Floats) -> float:
    """Computes the mean CRPS of many closes from their quantiles, (L, ...) at `LEVELS`, as `crps_of` does for one."""
    levels = np.reshape(LEVELS, (-1,) + (1,) * truth.ndim)
    error = truth - quantiles
    return float(2.0 * np.mean(np.maximum(levels * error, (levels - 1.0) * error)))


def inside(quantiles: Floats, truth: float) -> dict[str, bool]:
    """Tells whether a close lies within each interval of its quantiles (L,): nominal coverage -> bool."""
    return {
        name: bool(quantiles[LEVELS.index(low)] <= truth <= quantiles[LEVELS.index(high)])
        for name, (low, high) in INTERVALS.items()
    }
