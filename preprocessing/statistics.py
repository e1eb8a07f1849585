"""Statistics of a window's closes, for all windows at once."""

import numpy as np

from stonk_pipeline.schema import STATISTICS


def window_statistics(closes: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of each row.

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
    time = np.arange(closes.shape[1]) - (closes.shape[1] - 1) / 2
    centred = _centred(closes)
    covariance, spread = centred @ time, np.square(centred).sum(axis=1)
    strength = np.divide(covariance**2, spread * (time @ time), out=np.zeros_like(spread), where=spread > 0)
    return covariance / (time @ time), np.minimum(strength, 1.0)


def _correlation(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    later, earlier = _centred(later), _centred(earlier)
    norm = np.sqrt(np.square(later).sum(axis=1) * np.square(earlier).sum(axis=1))
    values: np.ndarray = np.full(len(norm), np.nan)
    np.divide((later * earlier).sum(axis=1), norm, out=values, where=norm > 0)
    return values.clip(-1.0, 1.0)
