"""What a contest is decided by, and what both models must have in common."""

from typing import NamedTuple

from stonk_pipeline.evaluation.metrics import Floats

SHAPE = ("window", "normalisation", "periods", "warm_up", "volatility_window", "adjust")
"""Settings of the data that decide what a window holds."""


class Losses(NamedTuple):
    """(N,) losses on the same questions: errors in percent of the last close, or wrong sides."""

    challenger: Floats
    champion: Floats | None
    baseline: Floats
    """Of persistence, or of the better baseline of called directions."""
    dates: list[str]
    ends: list[str]
    against: str
    """What the baseline is called in a sentence."""
