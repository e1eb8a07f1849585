"""Defines all settings of a run that trains a model to call directions, and each stage's slice of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stonk_pipeline.config import names
from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.data import EMBEDDED, DataConfig, MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.news import MarketNewsConfig, NewsConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, WarmupConfig
from stonk_pipeline.contracts.direction.sections import (
    STAGE_ONE,
    STAGE_TWO,
    DirectionPrompt,
    DirectionWeights,
    ExamplesConfig,
    GateConfig,
    RewardShape,
)
from stonk_pipeline.files.roots import PathOrName, PathText


class CallPolicyConfig(PolicyConfig):
    """Settings of GRPO on called directions; the defaults are those of stage I."""

    beta: Annotated[float, Field(ge=0)] = 0.15
    """Weight of the KL divergence from the model the stage started from; 0 leaves it out."""
    lora: LoraConfig = LoraConfig(rank=16)
    """The adapter that is trained."""
    rewards: DirectionWeights = STAGE_ONE
    """Weights of the reward's components."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the examples; given, `steps` follows from them."""


class StageTwoConfig(CallPolicyConfig):
    """Settings of GRPO on called directions, with the defaults of stage II."""

    beta: Annotated[float, Field(ge=0)] = 0.05
    """Weight of the KL divergence from the model of stage I; 0 leaves it out."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-6
    """Step size of the optimizer after the warm-up."""
    lora: LoraConfig = LoraConfig(rank=8)
    """The adapter that is trained on top of stage I's."""
    rewards: DirectionWeights = STAGE_TWO
    """Weights of the reward's components."""


class DirectionConfig(RunConfig):
    """All settings of one run that trains a model to call directions."""

    contract: Literal["direction"] = "direction"
    """What the models are asked: up or down, by how much, how sure, and why."""
    model: ModelConfig = ModelConfig(name="stonk-tiny-calls")
    """The language model."""
    news: PathText | None = None
    """JSONL file of headlines, or a folder of them; not given: those of the generated market, or none."""
    records: PathOrName | None = None
    """Records of the deepstock form, in place of bars, news and facts: a JSONL or Parquet file, or the name of a
    dataset on the Hugging Face hub."""
    companies: PathText | None = None
    """JSON file of company facts; they must have been known before the first date."""
    clock: NewsConfig = NewsConfig()
    """Which headlines are known at a decision."""
    market_news: MarketNewsConfig = MarketNewsConfig()
    """Headlines of the generated market."""
    examples: ExamplesConfig = ExamplesConfig()
    """Labels, and the sets of both stages."""
    prompt: DirectionPrompt = DirectionPrompt()
    """What the model is shown."""
    shape: RewardShape = RewardShape()
    """Bands of the rewards."""
    warmup: WarmupConfig = WarmupConfig()
    """The warm-up, which teaches a base model the form of an answer and nothing else."""
    stage_one: CallPolicyConfig = CallPolicyConfig()
    """Stage I: from the base model, or from the warm-up's, on the balanced set."""
    gate: GateConfig = GateConfig()
    """The step from stage I to stage II."""
    stage_two: StageTwoConfig = StageTwoConfig()
    """Stage II: from the best model of stage I, on the market as it is."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        stages = (self.stage_one, self.stage_two)
        longest = max(self.comparison.max_tokens, *(stage.max_completion_length for stage in stages))
        if longest >= self.model.max_seq_length:
            raise ValueError(
                f"model.max_seq_length ({self.model.max_seq_length}) must exceed the longest answer ({longest} tokens)"
            )
        if self.examples.days_ahead > self.data.horizon:
            raise ValueError(
                f"examples.days_ahead ({self.examples.days_ahead}) must not exceed data.horizon ({self.data.horizon}), "
                "which keeps the parts of the split apart"
            )
        if self.data.bars != "daily":
            raise ValueError("data.bars: directions are called by the day, with the news of the day; use daily bars")
        if self.data.folds > 1:
            raise ValueError("data.folds: walk-forward is for forecasts; leave it at 1")
        if self.records is not None and (self.news or self.companies or self.data.data_dir != EMBEDDED):
            raise ValueError("records hold prices, news and facts: leave data_dir, news and companies out")
        if self.news is None and self.prompt.news and self.data.data_dir != EMBEDDED:
            raise ValueError("news: give a file or folder of headlines (--news), or set prompt.news to false")
        return self

    @property
    def real_data(self) -> bool:
        """Tells whether the bars were read, and not generated."""
        return self.records is not None or self.data.data_dir != EMBEDDED

    @property
    def stock_name(self) -> str:
        """Names the stocks as in any run; a run on records is named after them."""
        if self.records is None:
            return super().stock_name
        return names.records_name(self.records)

    def examples_stage(self) -> "ExamplesStage":
        """Returns the settings of the examples."""
        market = None if self.real_data else self.data.market
        return self.part(ExamplesStage, market=market, split=self.data if self.records is not None else None)

    def warmup_stage(self) -> "CallWarmupStage":
        """Returns the settings of the warm-up, whose adapter stage I continues."""
        first, days = self.stage_one, self.examples.days_ahead
        room = first.max_completion_length
        return self.part(
            CallWarmupStage, lora=first.lora, temperature=first.temperature, max_tokens=room, days_ahead=days
        )

    def policy_stage(self, which: Literal["one", "two"]) -> "CallPolicyStage":
        """Returns the settings of stage I or II."""
        first, days = which == "one", self.examples.days_ahead
        grpo = self.stage_one if first else self.stage_two
        return self.part(CallPolicyStage, grpo=grpo, set="balanced" if first else "natural", days_ahead=days)

    def calls_stage(self, which: Literal["one", "two"]) -> "CallsStage":
        """Returns the settings of the gate, with the rewards of stage I, or of the comparison at the end."""
        rewards = (self.stage_one if which == "one" else self.stage_two).rewards
        return self.part(CallsStage, rewards=rewards, days_ahead=self.examples.days_ahead)


class ExamplesStage(Settings):
    """Settings of the examples."""

    market: MarketConfig | None
    """The generated market; None for bars that were read, and for records."""
    split: DataConfig | None
    """Where the parts of records begin; None for bars, which are cut into parts by preprocessing."""
    examples: ExamplesConfig
    clock: NewsConfig
    market_news: MarketNewsConfig
    seed: int


class CallWarmupStage(Settings):
    """Settings of the warm-up."""

    model: ModelConfig
    prompt: DirectionPrompt
    lora: LoraConfig
    warmup: WarmupConfig
    temperature: float
    """Of the answers that are asked for, as in stage I."""
    max_tokens: int
    """Of such an answer."""
    days_ahead: int
    seed: int


class CallPolicyStage(Settings):
    """Settings of stage I or II."""

    model: ModelConfig
    prompt: DirectionPrompt
    grpo: CallPolicyConfig
    shape: RewardShape
    set: Literal["balanced", "natural"]
    """Which examples to train on."""
    days_ahead: int
    seed: int


class CallsStage(Settings):
    """Settings of the gate and of the comparison."""

    model: ModelConfig
    prompt: DirectionPrompt
    comparison: ComparisonConfig
    rewards: DirectionWeights
    """Weights of the reward that is reported."""
    shape: RewardShape
    gate: GateConfig
    real_data: bool
    days_ahead: int
    seed: int
