"""Writes answers that have the form of a forecast and know nothing about what comes.

The embedded tiny model is built from them, and a warm-up teaches a base model the form with them. The thinking reads
two facts off the question, the distance of the close from its EMA and the last move, and then expects a move drawn at
random, half of it by a day drawn at random, whatever the facts are; the values go there on that path, with noise around
it. So the form can be learned from them, and no skill.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import brentq

from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.periods import noun
from stonk_pipeline.schema import Window

NOISE = 0.2
"""Of the walk around the drift, as a share of the volatility: a forecast is smoother than prices are."""
LATEST_HALF = 0.7
"""Latest day by which half of the move is made, as a share of the horizon; the earliest is the first day."""


def unskilled_answer(window: Window, horizon: int, prompt: PromptConfig, rng: np.random.Generator) -> str:
    """Writes an answer whose forecast knows nothing: a random drift with a part of a random walk's noise around it.

    The drift to the last day has the spread that the window's volatility gives a random walk.

    Args:
        window: what is asked about.
        horizon: closes to forecast.
        prompt: what the question shows of the window, and with how many decimals.
        rng: draws all that is said of what comes.

    Returns:
        An answer that `question.read` reads.
    """
    drift = rng.standard_normal() * np.sqrt(horizon) * window.volatility
    half = int(rng.integers(1, max(1, round(LATEST_HALF * horizon)) + 1))
    walk = np.cumsum(rng.standard_normal(horizon)) * window.volatility
    passed = np.arange(1, horizon + 1) / horizon
    bridge = walk - passed * walk[-1]
    path = window.last + drift * _course(half, horizon) + NOISE * bridge
    least = 10.0**-prompt.decimals  # above the bounds of what can be a price, as it is written
    possible = np.clip(path, question.lowest_value(window) + least, question.highest_value(window) - least)
    values = tuple(float(value) for value in possible)
    return question.answer(thought(window, values[-1] - window.last, half, horizon, prompt), values, prompt.decimals)


@lru_cache
def _course(half: int, horizon: int) -> np.ndarray:
    """(horizon,) share of a move that is made by each day: an exponential approach, one half of it by day `half`."""
    days = np.arange(1, horizon + 1)
    if horizon == 1:
        return np.ones(1)

    def share(rate: float, day: Any) -> Any:
        return day / horizon if abs(rate) < 1e-6 else np.expm1(-rate * day) / np.expm1(-rate * horizon)

    rate = brentq(lambda rate: share(rate, half) - 0.5, -20.0 / horizon, 40.0 / horizon)
    return np.asarray(share(rate, days))


def thought(window: Window, move: float, half: int, horizon: int, prompt: PromptConfig) -> str:
    """Words the two sentences before a forecast: facts that the question shows, and the move that is expected.

    Args:
        window: what is asked about.
        move: from the last close to the last forecast one, on the window's prompt scale.
        half: the bar by which half of it is made.
        horizon: closes that are forecast.
        prompt: what the question shows of the window, and with how many decimals.
    """
    decimals, bar = prompt.decimals, noun(question.period(window, prompt))
    distance, moved = question.differences(window, prompt)
    gap, step, expected = (f"{value:+.{decimals}f}" for value in (distance, moved, move))
    facts = f"The close is {gap} from its EMA after a move of {step}."
    if math.isnan(distance):
        facts = f"The last move was {step}."
    if horizon == 1:
        return f"{facts} I expect {expected} in 1 {bar}."
    return f"{facts} I expect {expected} in {horizon} {bar}s, half of it by {bar} {half}."
