"""Forecasts that need no model. They see what a model sees, and the training part; never a target of the test part."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.schema import Target, Window

POOLED = "*"
"""Key of the mean over all training windows, for stocks without any of their own."""


def persistence(windows: Sequence[Window], horizon: int) -> Floats:
    """The last close, repeated: (N, H) on each window's prompt scale."""
    last = np.array([window.last for window in windows], dtype=np.float64)
    return np.repeat(last[:, None], horizon, axis=1)


def daily_drift(windows: Sequence[Window], targets: Sequence[Target]) -> dict[str, float]:
    """Mean daily log-return of each stock over its training windows, and pooled under `POOLED`.

    Each window contributes the mean over its context and target, all of which lie in the training part.

    Raises:
        ValueError: windows and targets differ in number.
    """
    returns: dict[str, list[float]] = defaultdict(list)
    for window, target in zip(windows, targets, strict=True):
        first = window.price_offset + window.price_unit * window.context[0]
        final = window.price_offset + window.price_unit * target.values[-1]
        days = len(window.context) - 1 + len(target.values)
        returns[window.stock].append(float(np.log(final / first)) / days)
    means = {stock: float(np.mean(values)) for stock, values in returns.items()}
    pooled = [value for values in returns.values() for value in values]
    means[POOLED] = float(np.mean(pooled)) if pooled else 0.0
    return means


def drift(windows: Sequence[Window], horizon: int, daily: Mapping[str, float]) -> Floats:
    """The last close, growing by the stock's training drift every day: (N, H) on each window's prompt scale.

    Args:
        windows: what to forecast from.
        horizon: days ahead.
        daily: mean daily log-returns, from `daily_drift`; a stock that is not in it grows by the pooled mean.
    """
    rate = np.array([daily.get(window.stock, daily[POOLED]) for window in windows], dtype=np.float64)
    offset = np.array([[window.price_offset] for window in windows], dtype=np.float64)
    unit = np.array([[window.price_unit] for window in windows], dtype=np.float64)
    last = np.array([[window.last] for window in windows], dtype=np.float64)
    price = (offset + unit * last) * np.exp(rate[:, None] * np.arange(1, horizon + 1))
    return np.asarray((price - offset) / unit)
