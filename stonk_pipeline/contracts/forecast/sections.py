"""Holds the settings of the prompt, the rewards and the sampling of forecasts, and what each stage gets of all."""

from typing import Annotated, Literal

from pydantic import Field

from stonk_pipeline.config.base import PositiveInt, Settings
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, WarmupConfig


class PromptConfig(Settings):
    """Settings of what the prompt shows."""

    decimals: Annotated[int, Field(ge=0, le=6)] = 2
    """Decimals of prices in the prompt."""
    indicators: bool = True
    """Show the technical indicators."""
    statistics: bool = True
    """Show the statistics of the window."""
    differences: bool = False
    """Show the last move and the distance of the close from its EMA, which a model can otherwise compute."""
    name_period: bool = True
    """Say weeks where the bars are weekly. Off: the words of daily bars, the only ones that stonk-tiny was taught."""
    show_ticker: bool = False
    """Name the stock. Off, so that a model cannot recite history that it read in its pre-training."""
    show_dates: bool = False
    """Give the date of the last close. Off for the same reason."""


class RewardWeights(Settings):
    """Weights of the reward's components; each component lies within -1 and 1 before weighting."""

    skill: Annotated[float, Field(ge=0)] = 1.0
    """Forecast error against persistence."""
    direction: Annotated[float, Field(ge=0)] = 0.1
    """Sign of the move to the last day."""
    trading: Annotated[float, Field(ge=0)] = 0.1
    """Return of trading the forecast, after costs."""
    form: Annotated[float, Field(ge=0)] = 0.1
    """A readable answer."""


class GRPOConfig(PolicyConfig):
    """Settings of a GRPO run on forecasts."""

    rewards: RewardWeights = RewardWeights()
    """Weights of the reward's components."""
    random_reward: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a reward that knows nothing, for controls."""
    cost_bps: Annotated[float, Field(ge=0)] = 5.0
    """Cost of one trade in basis points, for the trading reward."""


class SamplingConfig(Settings):
    """Settings of the rejection sampling: how many answers, and which are kept."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """Who samples; `auto` takes vLLM where it can be imported."""
    windows: PositiveInt = 2000
    """Training windows to sample, spread evenly over stocks and dates."""
    samples: Annotated[int, Field(ge=1)] = 8
    """Answers for each window."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least likely tokens beyond this share of probability are left out; 1 keeps all."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    min_skill: Annotated[float, Field(ge=-10, lt=1)] = 0.3
    """Smallest accepted skill: 1 - MAE / the MAE to expect of persistence at the window's volatility."""
    keep_per_window: PositiveInt = 1
    """Most answers kept of one window."""
    keep: Literal["best", "random"] = "best"
    """`best`: by skill, at least `min_skill`. `random`: any readable answers, for controls."""
    max_examples: PositiveInt = 4000
    """Most examples in the set."""


class WarmupStage(Settings):
    """Settings of the warm-up."""

    model: ModelConfig
    prompt: PromptConfig
    lora: LoraConfig
    warmup: WarmupConfig
    temperature: float
    """Of the answers that are asked for, as in the first GRPO."""
    max_tokens: int
    """Of such an answer."""
    seed: int


class GRPOStage(Settings):
    """Settings of a GRPO stage."""

    model: ModelConfig
    prompt: PromptConfig
    lora: LoraConfig
    grpo: GRPOConfig
    seed: int


class SamplingStage(Settings):
    """Settings of the rejection-sampling stage."""

    model: ModelConfig
    prompt: PromptConfig
    sampling: SamplingConfig
    stock_name: str
    seed: int


class ComparisonStage(Settings):
    """Settings of the comparison stage."""

    model: ModelConfig
    prompt: PromptConfig
    comparison: ComparisonConfig
    seed: int
