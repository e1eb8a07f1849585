"""Defines settings of the direction contract: examples, prompt, rewards, and the gate to stage II."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stonk_pipeline.config.base import PositiveInt, Settings, Share

NonNegative = Annotated[float, Field(ge=0)]


class ExamplesConfig(Settings):
    """Settings of labels and of the example sets of both stages."""

    days_ahead: Annotated[int, Field(ge=1, le=60)] = 1
    """Trading days from the last known close to the one that is called."""
    flat_percent: NonNegative = 0.05
    """A move smaller than this, in percent of the last close, is flat: neither up nor down."""
    balance_period: Literal["month", "quarter", "year", "all"] = "quarter"
    """Calendar period within which the balanced set has as many rises as falls of each ticker."""
    max_train_samples: PositiveInt | None = 2000
    """Most training examples, spread evenly over dates and tickers; not given: all."""
    fallback_volatility: Annotated[float, Field(gt=0)] = 2.0
    """Volatility of a day, in percent, of records with too little history to know it (see `make.records`)."""


class DirectionPrompt(Settings):
    """Settings of what the prompt shows."""

    company: bool = True
    """Show the company's description and figures where there are some. They may tell which company it is."""
    prices: bool = True
    """Show the closes and the day's change."""
    indicators: bool = True
    """Show the technical indicators."""
    news: bool = True
    """Show the headlines."""
    decimals: Annotated[int, Field(ge=0, le=6)] = 2
    """Decimals of prices in the prompt."""
    context: Annotated[int, Field(ge=2, le=250)] | None = None
    """Closes shown, the latest ones; not given: the whole window."""
    max_facts: Annotated[int, Field(ge=0)] = 6
    """Most figures of the company."""
    show_name: bool = False
    """Name stock and company. Off, so that a model cannot recite history that it read in its pre-training: ticker and
    name are also masked in headlines, description and figures."""
    show_dates: bool = False
    """Give the date of the last close. Off for the same reason: dates and years are masked there too."""


class DirectionWeights(Settings):
    """Weights of the reward's components; the defaults are those of stage I."""

    direction: NonNegative = 0.35
    """The side is right."""
    magnitude: NonNegative = 0.20
    """Closeness of the stated change."""
    format: NonNegative = 0.20
    """The form is kept and there is a reasoning. In stage II it is a gate: see `direction.rewards`."""
    confidence: NonNegative = 0.10
    """A proper score of the stated confidence."""
    data_use: NonNegative = 0.15
    """What is in the prompt, cited with its meaning."""
    diversity: NonNegative = 0.0
    """Penalty for a one-sided model (`--diverse-predictions`)."""


STAGE_ONE = DirectionWeights()
STAGE_TWO = DirectionWeights(direction=0.25, magnitude=0.20, format=0.0, confidence=0.25, data_use=0.30)


class RewardShape(Settings):
    """Settings of the shapes of the reward's components."""

    magnitude_reach: Annotated[float, Field(gt=0)] = 1.5
    """Error of the stated change at which nothing is left of the magnitude's reward, in volatilities of the horizon."""
    penalty_unsure: NonNegative = 0.2
    """Penalty of a wrong side at a stated confidence of 50 %."""
    penalty_sure: NonNegative = 1.5
    """Penalty of a wrong side at a stated confidence of 100 %."""
    items: PositiveInt = 3
    """Distinct figures and facts of the prompt that earn the whole reward for the use of data."""
    items_per_sentence: PositiveInt = 2
    """Most of them that count in one sentence: a list is no reasoning."""
    words_per_sentence: PositiveInt = 4
    """Words, besides figures and their names, that a sentence must have to be a reason."""
    diversity_band: Annotated[float, Field(gt=0, lt=0.5)] = 0.3
    """How far the running share of rises called may lie from the market's before one-sidedness costs."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.penalty_sure <= self.penalty_unsure:
            raise ValueError("penalty_sure must be above penalty_unsure, or being wrong and sure would not cost more")
        return self


class GateConfig(Settings):
    """Settings of the gate: when stage I has learned enough for stage II."""

    mode: Literal["report", "strict"] = "report"
    """`report`: go on, and say which conditions are not met. `strict`: stop there."""
    min_reward: float = 0.7
    """Mean reward on the validation part must be above this."""
    min_accuracy: Share = 0.8
    """So must the accuracy on the validation part be above this."""
    min_reasoning: Annotated[float, Field(ge=0, le=0.4)] = 0.2
    """Mean quality of the reasoning (data use and structure, 0 to 0.4) at least."""
    max_loss: NonNegative = 0.1
    """Mean size of the last losses at most."""
    max_loss_spread: NonNegative = 0.05
    """Standard deviation of the last losses at most."""
    last_losses: Annotated[int, Field(ge=2)] = 20
    """How many losses are the last ones."""
    plausible_accuracy: Annotated[float, Field(gt=0.5, lt=1)] = 0.6
    """On real daily data, accuracy and balanced accuracy above this are taken for a leak, not for skill."""
