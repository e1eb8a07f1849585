"""Builds `stonk-tiny-calls`, a tiny model that knows the form of a reasoned call and calls at random.

It is trained from nothing on questions about random walks (`models.tiny`), with answers that know nothing
(`unskilled`). So its answers are readable and its calls are coins: what to cite, and what to make of it, is what a run
has to learn.

Build weights from nothing (50 minutes on two cores, four on an H100):

    python -m stonk_pipeline build-tiny --contract direction --steps 3000 --out my-tiny

The committed ones grew with the wording: 2,969 and 4,200 steps on an H100 with readings that knew no opposite, then 900
and 600 on two cores as the clauses became what they are (`--start`). Their vocabulary still has the earlier phrases.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

import numpy as np

from stonk_pipeline import PACKAGE
from stonk_pipeline.contracts.direction import clauses
from stonk_pipeline.contracts.direction.clauses import END_OF_THOUGHT, QUOTATIONS, SIDES
from stonk_pipeline.contracts.direction.question import SYSTEM, messages
from stonk_pipeline.contracts.direction.sections import DirectionPrompt
from stonk_pipeline.contracts.direction.unskilled import random_side, unskilled_answer
from stonk_pipeline.contracts.direction.words import COMMON
from stonk_pipeline.market.headlines import EARLIEST_HOURS, NOISE, TELLING
from stonk_pipeline.models import tiny
from stonk_pipeline.models.tiny import ROLES, Tokens, walk_windows
from stonk_pipeline.schema import Company, Decision, Headline, Window
from stonk_pipeline.text.form import TAGS, Messages
from stonk_pipeline.text.quoting import FENCE

NAME = "stonk-tiny-calls"
DIRECTORY = PACKAGE / "assets" / NAME
WALKS = tuple((daily_sd, 10, 10) for daily_sd in (0.006, 0.012, 0.012, 0.02, 0.035))
"""Random walks that the questions come from: (daily standard deviation, window, horizon)."""

DAYS, MOST_NEWS, TELLING_SHARE, FOREIGN_SHARE = 3, 5, 0.35, 0.04
"""Days that headlines come from at most; how many a question has at most; the share of them that is worded as company
news, and the share in any words."""

PHRASES = (
    SYSTEM,
    "Company, quoted:\n" + FENCE,
    "Figures of the company, quoted:\n" + FENCE,
    "Closes, oldest first: [",
    "]\nChange on the last day: ",
    "%\nVolatility of a day: ",
    "%\nIndicators: SMA ",
    *(f", {name} " for name in tiny.INDICATORS),
    "\nNews: none",
    f"\nNews, oldest first, hours before the close, quoted:\n{FENCE}",
    "\n- [",
    " h] ",
    "the company ",
    " the company",
    *("forum poll: ", "webcast ", " million", "percent", " thousand readers", " desks"),
    *QUOTATIONS,
    "\n" + FENCE,
    "\nWill the close ",
    " trading day",
    " trading days",
    " ahead be up or down from the last close?",
    ", ",
    *TAGS,
    *ROLES,
    *clauses.PHRASES,
    *(f"{side} " for side in SIDES),
    "% confidence ",
    "%</answer>",
)
NUMBERS = (*(n for n in tiny.NUMBERS if "," not in n), *(f".{n:02d}" for n in range(100)))
"""Without a comma, so that a figure is the same tokens in a question and in a sentence: copying is learned sooner."""
TOKENS = Tokens((*PHRASES, *NUMBERS), END_OF_THOUGHT)


def rebuild_calls(out: Path, *, seed: int, **training: Any) -> float:
    """Builds the model from questions about random walks; what is given and returned is `tiny.build`'s."""
    windows = [window for group in walk_windows(WALKS, seed) for window in group]
    asked = conversations(windows, np.random.default_rng(seed))
    return tiny.build(asked, TOKENS, out, seed=seed, **training)


def conversations(windows: Sequence[Window], rng: np.random.Generator) -> Iterator[Messages]:
    """Generates questions about the windows, with random headlines and companies, and unskilled answers; no end."""
    while True:
        company = _company(rng) if rng.random() < 0.15 else None
        decision = Decision(windows[int(rng.integers(len(windows)))], company, _headlines(rng))
        prompt = DirectionPrompt(
            decimals=1 if rng.random() < 0.25 else 2, indicators=rng.random() > 0.07, news=rng.random() > 0.07
        )
        asked = messages(decision, prompt, 5 if rng.random() < 0.1 else 1)
        yield [*asked, {"role": "assistant", "content": unskilled_answer(asked[-1]["content"], rng)}]


def _headlines(rng: np.random.Generator) -> tuple[Headline, ...]:
    """One a day on average: of three days from Wednesday on, of fewer after a weekend."""
    days = min(DAYS, 1 + int(rng.integers(5)))
    hours = [24 * day + rng.uniform(0.1, EARLIEST_HOURS) for day in range(days) for _ in range(rng.poisson(1.0))]
    return tuple(Headline("", _headline(rng), age) for age in sorted(hours, reverse=True)[-MOST_NEWS:])


def _headline(rng: np.random.Generator) -> str:
    if rng.random() < FOREIGN_SHARE:
        return _words(rng, 4, 10)
    templates = TELLING[random_side(rng)] if rng.random() < TELLING_SHARE else NOISE
    return templates[rng.integers(len(templates))].format(ticker="the company", n=rng.integers(2, 90))


def _company(rng: np.random.Generator) -> Company:
    names = ("EPS", "P/E", "Revenue", "Debt", "Margin", "Cash")[: rng.integers(0, 7)]
    facts = tuple((name, f"{rng.lognormal(2.0, 1.5):.1f}") for name in names)
    return Company(name="", description=_words(rng, 0, 15), facts=facts)


def _words(rng: np.random.Generator, fewest: int, below: int) -> str:
    """Words that a text may hold: half of them common ones, half of random letters."""
    letters, common = list(ascii_letters), sorted(COMMON)
    draws = rng.random(rng.integers(fewest, below))
    return " ".join(rng.choice(common) if draw < 0.5 else "".join(rng.choice(letters, 5)) for draw in draws)
