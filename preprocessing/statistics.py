"""Computes statistics of a window's closes (extremes, trend, autocorrelation), for all windows at once."""

import numpy as np

from stonk_pipeline.schema import STATISTICS

NOTHING = 1e-12
"""Correlations below this are rounding errors of zero."""


def window_statistics(closes: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the statistics of each row.

    Args:
        closes: (N, L) closes of N windows of L >= 5 bars, oldest first, on any scale.

    Returns:
        `schema.STATISTICS` -> (N,). Time steps count from 1 (the oldest bar); among equal values the oldest counts.
        `median_timestep` is the bar whose close is nearest to the median. The trend is the least-squares line through
        the closes: slope a bar, R2 within 0 and 1 (0 for constant closes) and its sign. `lag_k` is Pearson's
        correlation of the closes with the closes k bars earlier, over the L - k pairs; NaN where either is constant.
    """
    median = np.median(closes, axis=1)
    slope, strength = _trend(closes)
    values = {
        "min": closes.min(axis=1),
        "min_timestep": closes.argmin(axis=1) + 1.0,
        "max": closes.max(axis=1),
        "max_timestep": closes.argmax(axis=1) + 1.0,
        "mean": closes.mean(axis=1),
        "median": median,
        "median_timestep": np.abs(closes - median[:, None]).argmin(axis=1) + 1.0,
        "trend_slope": slope,
        "trend_strength": strength,
        "trend_direction": np.sign(slope),
        **{f"lag_{k}": _correlation(closes[:, k:], closes[:, :-k]) for k in (1, 2, 3)},
    }
    return {name: values[name] for name in STATISTICS}


def _centred(values: np.ndarray) -> np.ndarray:
    # Less the first value before less the mean: constant rows become exact zeros.
    shifted = values - values[:, :1]
    centred: np.ndarray = shifted - shifted.mean(axis=1, keepdims=True)
    return centred


def _trend(closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and R2 of the least-squares line through each row, both (N,)."""
    time = np.arange(closes.shape[1]) - (closes.shape[1] - 1) / 2
    correlation = np.nan_to_num(_correlation(closes, np.broadcast_to(time, closes.shape)))
    deviation: np.ndarray = np.sqrt(np.square(_centred(closes)).sum(axis=1))
    return correlation * deviation / np.sqrt(np.square(time).sum()), correlation**2


def _correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row with its partner, (N,); NaN where one of them is constant."""
    left, right = _centred(left), _centred(right)
    norm = np.sqrt(np.square(left).sum(axis=1) * np.square(right).sum(axis=1))
    values: np.ndarray = np.full(len(norm), np.nan)
    # Sums over rows, not a matrix product: its rounding depends on how many rows there are.
    np.divide((left * right).sum(axis=1), norm, out=values, where=norm > 0)
    # What is left of exact zeros after rounding has a sign by chance.
    values[np.abs(values) < NOTHING] = 0.0
    return values.clip(-1.0, 1.0)
