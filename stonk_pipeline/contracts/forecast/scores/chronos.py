"""Forecasts with Chronos-Bolt, a small time-series foundation model, as one more baseline (arXiv 2403.07815).

It has read many series, perhaps these too; it is not trained here and sees closes alone, up to each decision date.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.schema import History, Window

CONTEXT = 512
"""Closes shown; what the published Bolt models were made for."""
BATCH = 64


def load(model: str) -> Any:
    """Loads a Chronos model onto the CPU.

    Args:
        model: a local directory or a Hugging Face name, such as `amazon/chronos-bolt-tiny`.

    Raises:
        ConfigError: the package is not installed, or the weights cannot be had.
    """
    try:
        from chronos import BaseChronosPipeline
    except ImportError as error:
        raise ConfigError(
            f"comparison.chronos: {model} needs the package chronos-forecasting ({error}); install the extra `chronos` "
            "of pyproject.toml, or leave the setting out"
        ) from error
    try:
        return BaseChronosPipeline.from_pretrained(model, device_map="cpu", use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"comparison.chronos: no Chronos model can be loaded from {model}: {error}; give a local directory or a "
            "Hugging Face name, or leave the setting out"
        ) from error


def forecast(
    pipeline: Any, windows: Sequence[Window], horizon: int, histories: Mapping[str, History]
) -> NDArray[np.float64]:
    """Computes the model's median forecasts, (N, H) on each window's prompt scale.

    Args:
        pipeline: of `load`.
        windows: what to forecast from.
        horizon: days ahead.
        histories: of every stock; only closes up to a window's date are used for it.
    """
    import torch

    prices = []
    for first in range(0, len(windows), BATCH):
        known = [_known(window, histories[window.stock]) for window in windows[first : first + BATCH]]
        shown = [torch.tensor(closes, dtype=torch.float32) for closes in known]
        quantiles, _ = pipeline.predict_quantiles(shown, prediction_length=horizon, quantile_levels=[0.5])
        prices.append(quantiles[:, :, 0].numpy().astype(np.float64))
    offset = np.array([[window.price_offset] for window in windows])
    unit = np.array([[window.price_unit] for window in windows])
    return np.asarray((np.concatenate(prices) - offset) / unit)


def _known(window: Window, history: History) -> tuple[float, ...]:
    return history.closes[: bisect_right(history.dates, window.date)][-CONTEXT:]
