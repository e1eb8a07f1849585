"""Builds `stonk-tiny`, a model of a million parameters that knows the form of an answer and cannot forecast.

It is trained from nothing on questions about random walks. Its thinking reads two facts off the question, the distance
of the close from its EMA and the last move, and then expects a move drawn at random, half of it by a day drawn at
random, whatever the facts are; its values go there on that path, with noise around it. So its answers are readable and
its forecasts have no skill: what to make of the facts is what a run has to learn, and whatever skill a run reports was
learned in that run.

Rebuild the committed weights (twenty minutes on two cores):

    python -m stonk_pipeline build-tiny --out stonk_pipeline/assets/stonk-tiny

The fixed phrases of the form, whole numbers up to 199, those with a sign, `.0` to `.9` and these with the comma after
them are single tokens, which makes a question less than half as long. A sign is part of the number's token, so that a
distance and a move have one place each where the model can relate them. `models.tiny` has the tokenizer, the model and
its training.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from stonk_pipeline import PACKAGE
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.models import tiny
from stonk_pipeline.models.tiny import INDICATORS, NUMBERS, ROLES, Tokens, walk_windows
from stonk_pipeline.schema import Window
from stonk_pipeline.text.form import TAGS, Messages

NAME = "stonk-tiny"
DIRECTORY = PACKAGE / "assets" / NAME
NOISE = 0.2
"""Of the walk around the drift, as a share of the volatility: a forecast is smoother than prices are."""
LATEST_HALF = 0.7
"""Latest day by which half of the move is made, as a share of the horizon; the earliest is the first day."""
NAMES = (*INDICATORS, *("max", "median", "mean", "trend up", "trend down", "trend flat", "lags", "volatility"))
"""Of indicators and statistics; a comma before them belongs to the decimal there, where there is one."""
END_OF_THOUGHT = ".</think>\n<answer>["
PHRASES = (
    question.SYSTEM,
    "Closes, oldest first: [",
    "]\nIndicators: SMA ",
    *(f"{comma}{name} " for name in NAMES for comma in (", ", "")),
    "\nStatistics: min ",
    " at ",
    " a day, strength ",
    "\nForecast the next ",
    " closes.",
    ", ",
    *TAGS,
    *ROLES,
    "The close is ",
    " from its EMA after a move of ",
    ". I expect ",
    " in ",
    " days, half of it by day ",
    END_OF_THOUGHT,
    "]</answer>",
)
TOKENS = Tokens((*PHRASES, *NUMBERS), END_OF_THOUGHT)
WALKS = (
    *((daily_sd, 10, 10) for daily_sd in (0.006, 0.012, 0.012, 0.02, 0.035)),
    (0.015, 20, 10),
    (0.015, 10, 5),
    (0.015, 15, 15),
)
"""Random walks that the questions come from: (daily standard deviation, window, horizon)."""


def unskilled_answer(window: Window, horizon: int, decimals: int, rng: np.random.Generator) -> str:
    """Writes an answer whose forecast knows nothing: a random drift with a part of a random walk's noise around it.

    The drift to the last day has the spread that the window's volatility gives a random walk.
    """
    drift = rng.standard_normal() * np.sqrt(horizon) * window.volatility
    half = int(rng.integers(1, max(1, round(LATEST_HALF * horizon)) + 1))
    walk = np.cumsum(rng.standard_normal(horizon)) * window.volatility
    passed = np.arange(1, horizon + 1) / horizon
    bridge = walk - passed * walk[-1]
    path = window.last + drift * _course(half, horizon) + NOISE * bridge
    values = tuple(float(value) for value in np.maximum(path, 0.1))
    return question.answer(thought(window, values[-1] - window.last, half, horizon, decimals), values, decimals)


@lru_cache
def _course(half: int, horizon: int) -> np.ndarray:
    """(horizon,) share of a move that is made by each day: an exponential approach, one half of it by day `half`."""
    days = np.arange(1, horizon + 1)

    def share(rate: float, day: Any) -> Any:
        return day / horizon if abs(rate) < 1e-6 else np.expm1(-rate * day) / np.expm1(-rate * horizon)

    rate = brentq(lambda rate: share(rate, half) - 0.5, -20.0 / horizon, 40.0 / horizon)
    return np.asarray(share(rate, days))


def thought(window: Window, move: float, half: int, horizon: int, decimals: int) -> str:
    """Words the two sentences before a forecast: two facts of the question, and the move that is expected.

    Args:
        window: what is asked about.
        move: from the last close to the last forecast one, on the window's prompt scale.
        half: the day by which half of it is made.
        horizon: closes that are forecast.
        decimals: of all numbers.
    """
    # Distances are taken between the numbers as shown, so that the answer follows from the question.
    ema, last, before = (round(value, decimals) for value in (window.indicators["ema"], *window.context[:-3:-1]))
    gap, step, expected = (f"{value:+.{decimals}f}" for value in (last - ema, last - before, move))
    return (
        f"The close is {gap} from its EMA after a move of {step}. "
        f"I expect {expected} in {horizon} days, half of it by day {half}."
    )


def rebuild(out: Path, *, seed: int, **training: Any) -> float:
    """Builds the model from windows of random walks of several shapes; what is given and returned is `tiny.build`'s."""
    groups = zip((horizon for _, _, horizon in WALKS), walk_windows(WALKS, seed), strict=True)
    return tiny.build(_conversations(list(groups), np.random.default_rng(seed)), TOKENS, out, seed=seed, **training)


def _conversations(groups: list[tuple[int, list[Window]]], rng: np.random.Generator) -> Iterator[Messages]:
    while True:
        horizon, windows = groups[rng.integers(len(groups))]
        window = windows[rng.integers(len(windows))]
        decimals = 1 if rng.random() < 0.9 else 2
        asked = question.messages(window, PromptConfig(decimals=decimals), horizon)
        yield [*asked, {"role": "assistant", "content": unskilled_answer(window, horizon, decimals, rng)}]
