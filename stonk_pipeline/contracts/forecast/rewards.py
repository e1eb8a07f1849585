"""Computes the rewards of forecasts, pure functions of an answer's values and the outcome.

Each takes a read answer and an `Outcome` and returns a number between -1 and 1. None looks at the text beyond the
values that the parser read, so no wording can earn anything.

Two properties matter more than the exact shapes (`docs/rewards.md` has the reasoning):

*Proper.* The error enters linearly and what it is divided by does not depend on the outcome. So the best answer under
uncertainty is the median of what may come; a denominator such as "persistence error of this window" would reward
timid answers, since it weighs quiet outcomes more.

*Not won by breaking the form.* An answer that cannot be read gets the worst value of every component.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from stonk_pipeline.contracts.forecast.question import highest_value, lowest_value
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

WORST = -1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a window, and the scales that rewards need. All on the window's prompt scale."""

    last: float
    """The last known close."""
    values: tuple[float, ...]
    """The closes that came."""
    volatility: float
    """Standard deviation of one day's change, known at the time of the forecast."""
    cost: float
    """Cost of one trade of one share."""
    lowest: float = -math.inf
    highest: float = math.inf
    """Bounds of what is read as a price: see `question.parse`."""

    @property
    def spread(self) -> float:
        """Computes the standard deviation of a random walk's move over the horizon, at the window's volatility."""
        return self.volatility * math.sqrt(len(self.values))


def outcome(window: Window, target: Target, cost_bps: float) -> Outcome:
    """Builds the outcome of a window.

    Args:
        window: the window.
        target: its coming closes.
        cost_bps: cost of one trade in basis points of the price.
    """
    price = window.last + window.price_offset / window.price_unit
    bounds = lowest_value(window), highest_value(window)
    return Outcome(window.last, target.values, window.volatility, cost_bps / 1e4 * price, *bounds)


def _mae(values: tuple[float, ...], truth: tuple[float, ...]) -> float:
    return sum(abs(a - b) for a, b in zip(values, truth, strict=True)) / len(truth)


def _clip(value: float) -> float:
    return max(-1.0, min(1.0, value))


def skill(answer: Forecast | Unreadable, truth: Outcome) -> float:
    """Pays the gain over persistence in volatility units: `clip((MAE_persistence - MAE) / unit)`.

    The unit is the standard deviation of a random walk's move over the horizon. Persistence itself gets 0.

    Example:
        >>> truth = Outcome(last=100.0, values=(101.0, 102.0), volatility=1.0, cost=0.0)
        >>> round(skill(Forecast((101.0, 102.0)), truth), 3)  # (1.5 - 0.0) / sqrt(2), clipped
        1.0
        >>> skill(Forecast((100.0, 100.0)), truth)
        0.0
    """
    if isinstance(answer, Unreadable):
        return WORST
    flat = (truth.last,) * len(truth.values)
    return _clip((_mae(flat, truth.values) - _mae(answer.values, truth.values)) / truth.spread)


def direction(answer: Forecast | Unreadable, truth: Outcome) -> float:
    """Pays 1 if the move to the last day has the forecast's sign, -1 if the opposite one, 0 if either is flat.

    Example:
        >>> direction(Forecast((99.0, 101.0)), Outcome(100.0, (99.0, 103.0), 1.0, 0.0))
        1.0
    """
    if isinstance(answer, Unreadable):
        return WORST
    return float(_sign(answer.values[-1] - truth.last) * _sign(truth.values[-1] - truth.last))


def trading(answer: Forecast | Unreadable, truth: Outcome) -> float:
    """Pays the profit of holding the forecast to the last day, after costs, in twice the horizon's volatility.

    The position is the forecast move in volatility units, at most one share long or short, and pays `cost` per share
    at entry and at exit; a flat forecast stays out and gets 0.

    Example:
        >>> trading(Forecast((100.0, 104.0)), Outcome(100.0, (101.0, 102.0), 1.0, 0.0))  # one share, 2 gained
        0.7071067811865475
    """
    if isinstance(answer, Unreadable):
        return WORST
    position = _clip((answer.values[-1] - truth.last) / truth.spread)
    profit = position * (truth.values[-1] - truth.last) - 2 * truth.cost * abs(position)
    return _clip(profit / (2 * truth.spread))


def form(answer: Forecast | Unreadable, truth: Outcome) -> float:
    """Pays 1 for an answer that can be read, -1 otherwise.

    Example:
        >>> form(Unreadable("no answer"), Outcome(100.0, (101.0,), 1.0, 0.0))
        -1.0
    """
    del truth
    return WORST if isinstance(answer, Unreadable) else 1.0


def at_random(answer: Forecast | Unreadable, truth: Outcome) -> float:
    """Pays at random between -1 and 1: for controls, which show what training gains without any signal.

    The same answer to the same window always gets the same.
    """
    if isinstance(answer, Unreadable):
        return WORST
    text = repr((answer.values, truth.last, truth.values, truth.volatility))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**47 - 1.0


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


COMPONENTS: dict[str, Callable[[Forecast | Unreadable, Outcome], float]] = {
    "skill": skill,
    "direction": direction,
    "trading": trading,
    "form": form,
}
"""Names as in `RewardWeights`."""
RANDOM = "random"
ALL = COMPONENTS | {RANDOM: at_random}
"""The components, and the one that only controls use."""
