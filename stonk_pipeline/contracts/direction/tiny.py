"""Builds `stonk-tiny-calls`, a tiny model that knows the form of a reasoned call and calls at random.

It is trained from nothing on questions about random walks (`models.tiny`). Its answers quote headlines and figures
rightly and keep to their own reasons, but which of them, how each is read (`tiny_sentences`), the size of the change
and how sure it is are drawn at random, whatever the question is. So its answers are readable and its calls are coins:
what to cite, and what to make of it, is what a run has to learn.

Build weights from nothing (50 minutes on two cores, four on an H100):

    python -m stonk_pipeline build-tiny --contract direction --steps 3000 --out my-tiny

The committed ones grew with the wording: 2,969 and 4,200 steps on an H100 with readings that knew no opposite, then 900
and 600 on two cores as the clauses became what they are (`--start`). Their vocabulary still has the earlier phrases.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

import numpy as np

from stonk_pipeline import PACKAGE
from stonk_pipeline.contracts.direction import tiny_sentences
from stonk_pipeline.contracts.direction.question import LARGEST_CHANGE, SYSTEM, answer, messages
from stonk_pipeline.contracts.direction.sections import DirectionPrompt
from stonk_pipeline.contracts.direction.tiny_sentences import (
    CONCLUSION,
    END_OF_THOUGHT,
    FIGURES,
    FRESH,
    MOVE,
    OF_LIST,
    OF_VOLATILITY,
    OLDER,
    QUOTATIONS,
    SIDES,
    TREND,
    VAGUE,
    Cited,
    cite,
)
from stonk_pipeline.contracts.direction.words import COMMON
from stonk_pipeline.market.headlines import EARLIEST_HOURS, NOISE, TELLING
from stonk_pipeline.models import tiny
from stonk_pipeline.models.tiny import ROLES, Tokens, walk_windows
from stonk_pipeline.schema import Company, Decision, Headline, Side, Window
from stonk_pipeline.text.form import TAGS, Messages
from stonk_pipeline.text.quoting import FENCE

NAME = "stonk-tiny-calls"
DIRECTORY = PACKAGE / "assets" / NAME
WALKS = tuple((daily_sd, 10, 10) for daily_sd in (0.006, 0.012, 0.012, 0.02, 0.035))
"""Random walks that the questions come from: (daily standard deviation, window, horizon)."""

POOR = 0.15
"""Share of answers with a list of figures, or a sentence that says nothing, in place of reasons."""
CONTRADICTORY = 0.15
"""Share of answers whose sentences speak for any side."""
SENTENCES = (0.45, 0.35, 0.2)
"""Shares of answers with one, two and three of them before the conclusion."""
NEWS_FIRST, NEWEST = 0.7, 0.7
"""Share of answers that begin with a headline where there is one; and of these, with the newest."""
TOGETHER, WITH_VOLATILITY = 0.6, 0.25
"""Share of answers that see move and EMA together; and of those that cite the volatility as they conclude."""
DAYS, MOST_NEWS, TELLING_SHARE, FOREIGN_SHARE = 3, 5, 0.35, 0.04
"""Days that headlines come from at most; how many a question has at most; the share of them that is worded as company
news, and the share in any words."""

_QUOTED = re.compile("|".join(map(re.escape, QUOTATIONS)))
_NEWS = re.compile(r"^- \[(\d+) h\] (.*)$", re.MULTILINE)
_SHOWN = {
    "close": re.compile(r"^Closes, oldest first: \[.*?([\d.]+)\]$", re.MULTILINE),
    "move": re.compile(r"^Change on the last day: (\S+)%$", re.MULTILINE),
    "volatility": re.compile(r"^Volatility of a day: (\S+)%$", re.MULTILINE),
    "days": re.compile(r"^Will the close (\d+) trading", re.MULTILINE),
    **{name: re.compile(rf"^Indicators: .*?\b{name} (-?[\d.]+)", re.MULTILINE) for name in FIGURES},
}
"""Where a question shows a figure."""

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
    *tiny_sentences.PHRASES,
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


def unskilled_answer(question: str, rng: np.random.Generator) -> str:
    """Writes a call at random, of a size that fits the volatility, with true quotations as its reasons.

    Args:
        question: the user message, as `question.messages` words it with prices shown.
        rng: draws everything that is said.

    Returns:
        An answer that `question.parse` reads.
    """
    shown = {name: found[1] for name, where in _SHOWN.items() if (found := where.search(question))}
    side = _side(rng)
    spread = float(shown["volatility"]) * float(shown["days"]) ** 0.5
    change = min(abs(rng.standard_normal()) * spread, LARGEST_CHANGE)
    confidence = 0.05 * rng.integers(10, 20)  # in steps of five: few words to learn the use of
    return answer(_thought(question, shown, side, rng), side, change, confidence)


def _side(rng: np.random.Generator) -> Side:
    return "up" if rng.random() < 0.5 else "down"


def _thought(question: str, shown: dict[str, str], side: Side, rng: np.random.Generator) -> str:
    cited = _citations(question, shown, rng)
    if rng.random() < POOR:
        names = [name for name in ("EMA", "SMA", "RSI") if name in shown]
        listed = rng.random() < 0.5 and names
        opening = ", ".join(f"{name} {shown[name]}" for name in names) + OF_LIST if listed else VAGUE
        return f"{opening}{SIDES[side]}."
    any_side = rng.random() < CONTRADICTORY
    count = 1 + rng.choice(len(SENTENCES), p=SENTENCES)
    said = [item.read_for(_side(rng) if any_side else side, rng.random() < 0.5) for item in cited[:count]]
    conclusion = CONCLUSION
    if rng.random() < WITH_VOLATILITY:
        conclusion = OF_VOLATILITY[0] + shown["volatility"] + OF_VOLATILITY[1]
    return ". ".join([*said, f"{conclusion}{SIDES[side]}."])


def _citations(question: str, shown: dict[str, str], rng: np.random.Generator) -> list[Cited]:
    """What sentences cite, in a random order."""
    figures, news = _figures(shown, rng), _news(question)
    if news and rng.random() < NEWS_FIRST:
        first = news.pop(-1 if rng.random() < NEWEST else rng.integers(len(news)))
    else:
        first = figures.pop(0)
    rest = [*figures, *news]
    return [first, *(rest[place] for place in rng.permutation(len(rest)))]


def _news(question: str) -> list[Cited]:
    """Headlines in the market's wordings, oldest first."""
    found = [(float(hours), _QUOTED.search(text)) for hours, text in _NEWS.findall(question)]
    return [cite(FRESH if hours < 24 else OLDER, part[0], QUOTATIONS[part[0]]) for hours, part in found if part]


def _figures(shown: dict[str, str], rng: np.random.Generator) -> list[Cited]:
    """Change and indicators in a random order; or change and EMA in one sentence, and then the rest."""
    close = float(shown["close"])
    middle = {"EMA": close, "SMA": close, "RSI": 50.0}
    above = {name: float(shown[name]) > middle[name] for name in FIGURES if name in shown}
    leans: dict[str, Side] = {name: "up" if high == (name != "RSI") else "down" for name, high in above.items()}
    said = {name: cite(FIGURES[name], shown[name], lean) for name, lean in leans.items()}
    together = []
    if "EMA" in said and rng.random() < TOGETHER:
        del said["EMA"]
        together = [cite(TREND, shown["move"], leans["EMA"], shown["EMA"])]
    else:
        said["move"] = cite(MOVE, shown["move"], "down" if shown["move"].startswith("-") else "up")
    order = list(said.values())
    return [*together, *(order[place] for place in rng.permutation(len(order)))]


def _headlines(rng: np.random.Generator) -> tuple[Headline, ...]:
    """One a day on average: of three days from Wednesday on, of fewer after a weekend."""
    days = min(DAYS, 1 + int(rng.integers(5)))
    hours = [24 * day + rng.uniform(0.1, EARLIEST_HOURS) for day in range(days) for _ in range(rng.poisson(1.0))]
    return tuple(Headline("", _headline(rng), age) for age in sorted(hours, reverse=True)[-MOST_NEWS:])


def _headline(rng: np.random.Generator) -> str:
    if rng.random() < FOREIGN_SHARE:
        return _words(rng, 4, 10)
    templates = TELLING[_side(rng)] if rng.random() < TELLING_SHARE else NOISE
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
