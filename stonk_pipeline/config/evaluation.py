"""Defines the settings of the comparison."""

from typing import Annotated, Literal

from pydantic import Field

from stonk_pipeline.config.base import PositiveInt, Settings
from stonk_pipeline.files.roots import PathOrName


class ComparisonConfig(Settings):
    """Settings of the comparison of all models."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """Who samples; `auto` takes vLLM where it can be imported."""
    windows: PositiveInt = 400
    """Test windows, spread evenly over stocks and dates; the same for every model."""
    samples: PositiveInt = 8
    """Answers for each window; the forecast is their median."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least likely tokens beyond this share of probability are left out; 1 keeps all."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples of blocks of dates."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of the intervals."""
    min_dates: PositiveInt = 20
    """Fewer distinct test dates than this are too little data for a verdict."""
    cost_bps: Annotated[float, Field(ge=0)] = 5.0
    """Cost of one trade in basis points, in the back-test."""
    conformal: bool = True
    """Calibrate forecast intervals on as many validation windows, and show their coverage before and after."""
    chronos: PathOrName | None = None
    """A Chronos-Bolt model as one more baseline: a local directory or a Hugging Face name (extra `chronos`)."""
    slippage_bps: Annotated[float, Field(ge=0)] = 5.0
    """What the price moves against a trade, in basis points, in the back-test."""
    trials: PositiveInt | None = None
    """How many strategies were tried, for the deflated Sharpe ratio; not given: the models that are compared."""
