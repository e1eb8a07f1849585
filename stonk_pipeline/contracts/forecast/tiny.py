"""Builds `stonk-tiny`, a model of a million parameters that knows the form of an answer and cannot forecast.

It is trained from nothing on questions about random walks, with answers that know nothing (`unskilled`): their thinking
reads two facts off the question, and expects a move drawn at random. So its answers are readable and its forecasts have
no skill: what to make of the facts is what a run has to learn, and all skill that a run reports was learned in it.

Rebuild the committed weights (twenty minutes on two cores):

    python -m stonk_pipeline build-tiny --out stonk_pipeline/assets/stonk-tiny

The fixed phrases of the form, whole numbers up to 199, those with a sign, `.0` to `.9` and these with the comma after
them are single tokens, which makes a question less than half as long. A sign is part of the number's token, so that a
distance and a move have one place each where the model can relate them. `models.tiny` has the tokenizer, the model and
its training.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stonk_pipeline import PACKAGE
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.contracts.forecast.unskilled import unskilled_answer
from stonk_pipeline.models import tiny
from stonk_pipeline.models.tiny import INDICATORS, NUMBERS, ROLES, Tokens, walk_windows
from stonk_pipeline.schema import Window
from stonk_pipeline.text.form import TAGS, Messages

NAME = "stonk-tiny"
DIRECTORY = PACKAGE / "assets" / NAME
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


def rebuild(out: Path, *, seed: int, **training: Any) -> float:
    """Builds the model from windows of random walks of several shapes; what is given and returned is `tiny.build`'s."""
    groups = zip((horizon for _, _, horizon in WALKS), walk_windows(WALKS, seed), strict=True)
    return tiny.build(_conversations(list(groups), np.random.default_rng(seed)), TOKENS, out, seed=seed, **training)


def _conversations(groups: list[tuple[int, list[Window]]], rng: np.random.Generator) -> Iterator[Messages]:
    while True:
        horizon, windows = groups[rng.integers(len(groups))]
        window = windows[rng.integers(len(windows))]
        prompt = PromptConfig(decimals=1 if rng.random() < 0.9 else 2)
        asked = question.messages(window, prompt, horizon)
        yield [*asked, {"role": "assistant", "content": unskilled_answer(window, horizon, prompt, rng)}]
