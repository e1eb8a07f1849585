"""Computes forecast errors, skill, and the shape of forecasts.

All errors are in *percent of the window's last close*, whatever scale the prompt had, so that stocks of any price can
be averaged. Arrays are (N, H) for N windows and H days ahead, (N, S, H) with S sampled answers a window.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stonk_pipeline.schema import Forecast, Unreadable, Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TINY = 1e-9


def percent_scale(windows: Sequence[Window]) -> tuple[Floats, Floats]:
    """Computes the offset and unit that turn each window's prompt scale into percent of its last close.

    A price is `offset + unit * value` and percent is `100 * price / last price`; on the `rebased` scale that changes
    nothing, `standard` and `raw` become comparable across stocks.

    Returns:
        (offset, unit), each (N, 1): percent = offset + unit * value.
    """
    offset = np.array([[window.price_offset] for window in windows], dtype=np.float64)
    unit = np.array([[window.price_unit] for window in windows], dtype=np.float64)
    last = np.array([[window.last] for window in windows], dtype=np.float64)
    price = offset + unit * last
    return 100.0 * offset / price, 100.0 * unit / price


def fill_unreadable(answers: Sequence[Sequence[Forecast | Unreadable]], persistence: Floats) -> tuple[Floats, Bools]:
    """Stacks answers; an unreadable one counts as persistence, so that failing to answer can never pay.

    Args:
        answers: N windows of S answers.
        persistence: (N, H), on the prompt scale as the answers are.

    Returns:
        Values (N, S, H) on the prompt scale, and (N, S) whether each answer was readable.
    """
    filled = [
        [answer.values if isinstance(answer, Forecast) else last for answer in samples]
        for samples, last in zip(answers, persistence, strict=True)
    ]
    readable = [[isinstance(answer, Forecast) for answer in samples] for samples in answers]
    return np.array(filled, dtype=np.float64), np.array(readable, dtype=np.bool_)


def median_forecast(samples: Floats) -> Floats:
    """Takes the median of the answers day by day, (N, S, H) -> (N, H): the forecast that minimises the MAE."""
    return np.asarray(np.median(samples, axis=1))


def absolute_errors(forecast: Floats, truth: Floats) -> Floats:
    """Computes |forecast - truth|, (N, H), in the unit of the inputs."""
    return np.abs(forecast - truth)


def mae(forecast: Floats, truth: Floats) -> Floats:
    """Computes the mean absolute error of each window over its days, (N,)."""
    return np.asarray(absolute_errors(forecast, truth).mean(axis=-1))


def mse(forecast: Floats, truth: Floats) -> Floats:
    """Computes the mean squared error of each window over its days, (N,)."""
    return np.asarray(((forecast - truth) ** 2).mean(axis=-1))


def single_mae(samples: Floats, truth: Floats) -> Floats:
    """Computes the expected MAE of a single answer: the mean over the S answers. (N, S, H), (N, H) -> (N,)."""
    return np.asarray(np.abs(samples - truth[:, None, :]).mean(axis=(1, 2)))


def skill(loss: Floats, reference: Floats) -> Floats:
    """Computes 1 - mean loss / mean loss of the reference (Murphy 1988) over axis 0: 0 as good as it, 1 perfect.

    A ratio of means, not a mean of ratios: a window in which hardly anything moved has a reference near 0, and its
    ratio would drown all others. Sums by date do as well as single windows. A reference without any error (nothing
    moved at all) is taken as `TINY`, so that the skill stays finite; a forecast as perfect as it has skill 0.

    Args:
        loss: (N, ...) losses.
        reference: of the same shape, or one that broadcasts to it.

    Returns:
        The skills, of shape (...).
    """
    base = np.broadcast_to(reference, loss.shape).sum(axis=0)
    return np.asarray((base - loss.sum(axis=0)) / np.maximum(base, TINY))


def direction_accuracy(forecast: Floats, truth: Floats, last: float = 100.0) -> float:
    """Computes the share of windows whose last day lies on the forecast side of the last close.

    No move, in forecast or truth, counts one half, as a coin would; so persistence has 0.5.
    """
    agreement = np.sign(forecast[..., -1] - last) * np.sign(truth[..., -1] - last)
    return float(0.5 + 0.5 * agreement.mean())


def up_share(forecast: Floats, last: float = 100.0) -> float:
    """Computes the share of forecasts that end above the last close, no move counting one half."""
    return float(0.5 + 0.5 * np.sign(forecast[..., -1] - last).mean())


def straight_lines(values: Floats, decimals: int) -> Bools:
    """Tells which forecasts (..., H) are straight lines, as far as their decimals can tell.

    A line rounded to a step of 10**-decimals has second differences of at most one step (its first differences take
    two neighbouring values), so one step is allowed. Fewer than three days cannot tell: none counts.
    """
    if values.shape[-1] < 3:
        return np.zeros(values.shape[:-1], dtype=np.bool_)
    steps = np.rint(np.diff(np.round(values, decimals), n=2, axis=-1) * 10.0**decimals)
    return np.asarray((np.abs(steps) <= 1.0).all(axis=-1))


def identical_share(samples: Floats, readable: Bools) -> float:
    """Computes the share of readable answers that are the most common one, as moves from the last close.

    Args:
        samples: (N, S, H), percent of the last close.
        readable: (N, S).
    """
    given = np.round(samples[readable] - 100.0, 3)
    if not len(given):
        return 0.0
    return float(np.unique(given, axis=0, return_counts=True)[1].max() / len(given))
