"""Computes the rewards of called directions, pure functions of a parsed answer and the outcome.

Each takes a read answer, an `Outcome` and a shape, and returns a number: 1 is best, and what cannot be read is worse
than anything that can, in every component. `docs/direction.md` has the reasoning.

*Proper.* The stated confidence enters one component alone, whose expected value is largest when the confidence is the
probability that the side is right.

*Text.* Only `data_use` and `format` look at the reasoning. What they can tell is in `reasoning`.

A day that is flat counts half as right and half as wrong, for either side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stonk_pipeline.contracts.direction.question import volatility
from stonk_pipeline.contracts.direction.reasoning import (
    Reason,
    Sentence,
    conclusion,
    items,
    reasons,
    sentences,
    structure,
)
from stonk_pipeline.contracts.direction.sections import DirectionWeights, RewardShape
from stonk_pipeline.schema import Call, Decision, Movement, Unreadable

UNREADABLE = -1.0
SHAPE = RewardShape()
PLAIN_WORDS = 5
"""Words of a reasoning below which it is empty."""
ACCURACY, DATA_USE, STRUCTURE = 0.6, 0.2, 0.2
"""Parts of the score of an answer (`score_answer`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a decision, and what rewards need of the question. Moves in percent of the last close."""

    change: float
    volatility: float
    """Standard deviation of the move over the days ahead, known at the decision."""
    question: str = ""
    """The user message that was answered."""
    flat: bool = False
    called_up: float = 0.5
    """Running share of rises among the model's calls (`running_share`)."""
    market_up: float = 0.5
    """Share of rises among the outcomes of the set."""


Answer = Call | Unreadable


def outcome(decision: Decision, movement: Movement, question: str, days_ahead: int) -> Outcome:
    """Builds the outcome of a decision, for days_ahead days of its daily volatility."""
    spread = volatility(decision.window) * math.sqrt(days_ahead)
    return Outcome(movement.change, spread, question, movement.label == "flat")


def _right(answer: Call, truth: Outcome) -> float:
    return 0.5 if truth.flat else float(answer.sign * truth.change > 0)


def direction(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    """Pays 1 if the side is right, 0 if it is wrong, 0.5 on a flat day.

    Example:
        >>> direction(Call("up", 1.0, 0.7, ""), Outcome(change=2.0, volatility=1.0))
        1.0
    """
    del shape
    return UNREADABLE if isinstance(answer, Unreadable) else _right(answer, truth)


def magnitude(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    """Closeness of the stated change, if the side is right: `max(0, 1 - |stated - came| / (reach * volatility))`.

    Both changes have their sign; on a flat day half of it. Linear, so that the best answer is the median of what may
    come.

    Example:
        >>> round(magnitude(Call("up", 1.4, 0.7, ""), Outcome(change=2.0, volatility=1.0)), 3)  # 1 - 0.6 / 1.5
        0.6
    """
    if isinstance(answer, Unreadable):
        return UNREADABLE
    error = abs(answer.sign * answer.change - truth.change)
    return _right(answer, truth) * max(0.0, 1.0 - error / (shape.magnitude_reach * max(truth.volatility, 1e-9)))


def form(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    """Pays 1 for the form with a reasoning, 0 for the form with an empty one, -1 otherwise.

    Example:
        >>> form(Unreadable("no answer"), Outcome(change=2.0, volatility=1.0))
        -1.0
    """
    del truth, shape
    if isinstance(answer, Unreadable):
        return UNREADABLE
    return float(len(answer.thinking.split()) >= PLAIN_WORDS)


def confidence(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    """Pays a proper score: `1 - b (1 - c)^2` if the side is right, `a - b c^2` if it is wrong.

    `b` and `a` are such that a wrong side costs `penalty_unsure` (0.2) at c = 0.5 and `penalty_sure` (1.5) at c = 1:
    b = (1.5 - 0.2) / 0.75 and a = b / 4 - 0.2. Quadratic (Brier 1950), so the best c is the probability of being right.

    Example:
        >>> [round(confidence(Call("up", 1.0, c, ""), Outcome(change=-2.0, volatility=1.0)), 3) for c in (0.5, 0.75, 1)]
        [-0.2, -0.742, -1.5]
        >>> round(confidence(Call("down", 1.0, 0.75, ""), Outcome(change=-2.0, volatility=1.0)), 3)
        0.892
    """
    if isinstance(answer, Unreadable):
        return -shape.penalty_sure
    curve = (shape.penalty_sure - shape.penalty_unsure) / 0.75
    right = 1.0 - curve * (1.0 - answer.confidence) ** 2
    wrong = curve / 4 - shape.penalty_unsure - curve * answer.confidence**2
    share = _right(answer, truth)
    return share * right + (1.0 - share) * wrong


def data_use(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    r"""Pays for distinct figures and facts of the prompt that the reasons cite, over `items` (3), at most 1.

    Only what stands in the prompt counts, with its name, once, at most `items_per_sentence` in a sentence, in a
    sentence of its own words that points to the answer's side. 0 where the reasoning concludes the other side, or
    nothing.

    Example:
        >>> truth = Outcome(2.0, 1.0, "Indicators: SMA 97.01, RSI 62\nUp or down?")
        >>> thought = "An RSI of 62 is firm but not yet too high, so I expect a rise."
        >>> round(data_use(Call("up", 1.0, 0.7, thought), truth), 3)
        0.333
        >>> data_use(Call("up", 1.0, 0.7, "RSI 62, SMA 97.01, so up."), truth)  # a list
        0.0
    """
    if isinstance(answer, Unreadable):
        return UNREADABLE
    said = sentences(answer.thinking, truth.question)
    if conclusion(said) != answer.side:
        return 0.0
    cited = sum(len(reason.items) for reason in _argued(answer, said, truth, shape))
    return min(1.0, cited / shape.items)


def diversity(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
    """Pays 0 while the running share of rises called lies near the market's; else fines the side called too often.

    With the distance d between the shares and the band b: `-min(1, (d - b) / (0.5 - b))` where d > b and the answer is
    on the side that is too frequent.

    Example:
        >>> diversity(Call("up", 1.0, 0.7, ""), Outcome(-1.0, 1.0, called_up=0.9))  # 0.4 from the market, band 0.3
        -0.5
        >>> diversity(Call("down", 1.0, 0.7, ""), Outcome(-1.0, 1.0, called_up=0.9))
        0.0
    """
    if isinstance(answer, Unreadable):
        return UNREADABLE
    lean = truth.called_up - truth.market_up
    beyond = round(abs(lean) - shape.diversity_band, 12)
    if beyond <= 0 or answer.sign * lean < 0:
        return 0.0
    return -min(1.0, round(beyond / (0.5 - shape.diversity_band), 12))


def running_share(share: float, calls: Sequence[Answer], memory: float = 0.9) -> float:
    """Updates the share of rises among the calls so far: `memory` of the old share, the rest of the new calls.

    Example:
        >>> round(running_share(0.5, [Call("up", 1.0, 0.7, ""), Unreadable("no answer")], memory=0.9), 3)
        0.55
    """
    sides = [call.side == "up" for call in calls if isinstance(call, Call)]
    return share if not sides else memory * share + (1.0 - memory) * sum(sides) / len(sides)


class Component(Protocol):
    """A reward function of one answer to a question with an outcome."""

    def __call__(self, answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> float:
        """Returns the reward."""


COMPONENTS: dict[str, Component] = {
    "direction": direction,
    "magnitude": magnitude,
    "format": form,
    "confidence": confidence,
    "data_use": data_use,
    "diversity": diversity,
}
"""Names as in `DirectionWeights`."""


def total(answer: Answer, truth: Outcome, weights: DirectionWeights, shape: RewardShape = SHAPE) -> float:
    """Computes the weighted sum of the components. With weights that sum to 1 a perfect answer gets 1."""
    return sum(
        weight * COMPONENTS[name](answer, truth, shape) for name, weight in weights.model_dump().items() if weight > 0
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality scores of an answer, or the mean of several, 0 to 1; for evaluation, not for training."""

    accuracy: float
    """0 to 0.6: two thirds for the side, one third for the closeness of the change."""
    data_use: float
    """0 to 0.2."""
    structure: float
    """0 to 0.2: see `reasoning.structure`."""

    @property
    def reasoning(self) -> float:
        """Adds up the parts that judge the reasoning, 0 to 0.4."""
        return self.data_use + self.structure

    @property
    def total(self) -> float:
        """Adds up all parts, 0 to 1."""
        return self.accuracy + self.reasoning


def score_answer(answer: Answer, truth: Outcome, shape: RewardShape = SHAPE) -> Quality:
    """Scores accuracy and quality of the reasoning of one answer; zeros for one that cannot be read.

    Example:
        >>> score_answer(Call("up", 2.0, 0.7, "It will go up."), Outcome(change=2.0, volatility=1.0))
        Quality(accuracy=0.6, data_use=0.0, structure=0.05)
    """
    if isinstance(answer, Unreadable):
        return Quality(0.0, 0.0, 0.0)
    right = (2 * direction(answer, truth, shape) + magnitude(answer, truth, shape)) / 3
    said = sentences(answer.thinking, truth.question)
    shaped = structure(said, _argued(answer, said, truth, shape), answer.side)
    return Quality(ACCURACY * right, DATA_USE * data_use(answer, truth, shape), STRUCTURE * shaped)


def _argued(answer: Call, said: Sequence[Sentence], truth: Outcome, shape: RewardShape) -> list[Reason]:
    known = items(truth.question)
    return reasons(said, known, answer.side, most=shape.items_per_sentence, least_words=shape.words_per_sentence)
