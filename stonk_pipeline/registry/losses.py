"""Defines the losses that decide a contest of two models, and the settings that both must share."""

from typing import NamedTuple

from stonk_pipeline.evaluation.losses import Losses

SHAPE = ("window", "normalisation", "periods", "warm_up", "volatility_window", "adjust")
"""Settings of the data that decide what a window holds."""


class Rivals(NamedTuple):
    """Losses of two models on the same questions, later than all that either has seen."""

    challenger: Losses | None = None
    """None where there is no such question."""
    champion: Losses | None = None
    """None where there is no champion."""
