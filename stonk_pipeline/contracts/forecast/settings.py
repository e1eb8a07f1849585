"""Defines all settings of a run that trains a model to forecast, and each stage's slice of them."""

from typing import Literal, Self

from pydantic import model_validator

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, SFTConfig, SFTStage, WarmupConfig
from stonk_pipeline.contracts.forecast.sections import (
    ComparisonStage,
    GRPOConfig,
    GRPOStage,
    PromptConfig,
    SamplingConfig,
    SamplingStage,
    WarmupStage,
)
from stonk_pipeline.errors import ConfigError


class PipelineConfig(RunConfig):
    """All settings of one run that trains a model to forecast closes."""

    contract: Literal["forecast"] = "forecast"
    """What the models are asked: the next closes."""
    prompt: PromptConfig = PromptConfig()
    """What the model is shown."""
    lora: LoraConfig = LoraConfig()
    """The adapters that are trained."""
    warmup: WarmupConfig = WarmupConfig()
    """The warm-up, which teaches a base model the form of an answer and nothing else."""
    grpo_first: GRPOConfig = GRPOConfig()
    """The first GRPO, from the base model, or from the warm-up's."""
    sampling: SamplingConfig = SamplingConfig()
    """Rejection sampling: which answers become examples."""
    sft: SFTConfig = SFTConfig()
    """Supervised fine-tuning on the examples."""
    grpo_second: GRPOConfig = GRPOConfig()
    """The second GRPO, from the fine-tuned model."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = max(
            self.grpo_first.max_completion_length,
            self.grpo_second.max_completion_length,
            self.sampling.max_tokens,
            self.comparison.max_tokens,
        )
        if longest >= self.model.max_seq_length:
            raise ValueError(
                f"model.max_seq_length ({self.model.max_seq_length}) must exceed the longest answer ({longest} tokens)"
            )
        if self.data.bars != "daily" and self.prompt.name_period and self.model.name == ModelConfig().name:
            raise ValueError(
                f"data.bars: {self.model.name} was taught the words of daily bars alone; give another model, or set "
                "prompt.name_period to false: it is then asked about weeks in those words"
            )
        return self

    @property
    def control(self) -> str | None:
        """Says what a control run takes away; None for an ordinary run."""
        rewards = [grpo.rewards for grpo in (self.grpo_first, self.grpo_second)]
        blind = not any(weights.skill or weights.direction or weights.trading for weights in rewards)
        if blind and self.sampling.keep == "random":
            return "random reward" if self.grpo_second.random_reward else "form alone"
        if self.data.shuffle_targets:
            return "shuffled targets"
        if self.data.stale_windows:
            return "stale indicators"
        return None if self.prompt.indicators or self.prompt.statistics else "no indicators"

    def warmup_stage(self) -> WarmupStage:
        """Returns the settings of the warm-up."""
        first = self.grpo_first
        return self.part(WarmupStage, temperature=first.temperature, max_tokens=first.max_completion_length)

    def grpo_stage(self, which: Literal["first", "second"]) -> GRPOStage:
        """Returns the settings of the first or the second GRPO run."""
        return self.part(GRPOStage, grpo=self.grpo_first if which == "first" else self.grpo_second)

    def sampling_stage(self) -> SamplingStage:
        """Returns the settings of the rejection sampling."""
        return self.part(SamplingStage)

    def sft_stage(self) -> SFTStage:
        """Returns the settings of the supervised stage."""
        return self.part(SFTStage)

    def comparison_stage(self) -> ComparisonStage:
        """Returns the settings of the comparison."""
        return self.part(ComparisonStage)


def of_forecasts(config: RunConfig, what: str) -> PipelineConfig:
    """Returns the settings if they are a forecast run's, for commands that only such models can do.

    Args:
        config: settings of any run.
        what: the command or flow that asks, for the message.

    Raises:
        ConfigError: they belong to another contract.
    """
    if isinstance(config, PipelineConfig):
        return config
    other = getattr(config, "contract", "another one")
    raise ConfigError(f"{what} is for models that forecast closes; these settings have contract: {other}")
