"""Writes calls at random, in the form of a reasoned answer.

The embedded tiny model is built from them, and a warm-up teaches a base model the form with them. They quote headlines
and figures rightly and keep to their own reasons, but which of them, how each is read (`clauses`), the size of the
change and how sure it is are drawn at random, whatever the question is. So the form can be learned from them, and no
skill.
"""

import re

import numpy as np

from stonk_pipeline.contracts.direction.clauses import (
    ANY_HEADLINE,
    CONCLUSION,
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
from stonk_pipeline.contracts.direction.question import LARGEST_CHANGE, answer
from stonk_pipeline.schema import Side

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
USUAL_VOLATILITY = 2.0
"""Of a day, in percent, where the question shows none."""
MOST_WORDS = 8
"""That are quoted of a headline in words of its own."""

_QUOTED = re.compile("|".join(map(re.escape, QUOTATIONS)))
_NEWS = re.compile(r"^- \[(\d+) h\] (.*)$", re.MULTILINE)
_HEADLINES = re.compile("^News, oldest first", re.MULTILINE)
_HEADLINE = re.compile(r"- (?:\[\d+ h\] )?(.*)")
_PLAIN = re.compile(r"[\w .,:;'%$&!?()/+-]+")
_SHOWN = {
    "close": re.compile(r"^Closes, oldest first: \[.*?(-?[\d.]+)\]$", re.MULTILINE),
    "move": re.compile(r"^Change on the last day: (\S+)%$", re.MULTILINE),
    "volatility": re.compile(r"^Volatility of a day: (\S+)%$", re.MULTILINE),
    "days": re.compile(r"^Will the close (\d+) trading", re.MULTILINE),
    **{name: re.compile(rf"^Indicators: .*?\b{name} (-?[\d.]+)", re.MULTILINE) for name in FIGURES},
}
"""Where a question shows a figure."""


def unskilled_answer(question: str, rng: np.random.Generator, *, any_headline: bool = False) -> str:
    """Writes a call at random, of a size that fits the volatility, with true quotations as its reasons.

    Args:
        question: the user message, as `question.messages` words it.
        rng: draws everything that is said.
        any_headline: quote headlines in whatever words, and not only those of the generated market.

    Returns:
        An answer that `question.parse` reads.
    """
    shown = {name: found[1] for name, where in _SHOWN.items() if (found := where.search(question))}
    side = random_side(rng)
    spread = float(shown.get("volatility", USUAL_VOLATILITY)) * float(shown["days"]) ** 0.5
    change = min(abs(rng.standard_normal()) * spread, LARGEST_CHANGE)
    confidence = 0.05 * rng.integers(10, 20)  # in steps of five: few words to learn the use of
    news = _news(question) + (_other_news(question) if any_headline else [])
    return answer(_thought(news, shown, side, rng), side, change, confidence)


def random_side(rng: np.random.Generator) -> Side:
    """Draws a side: a coin."""
    return "up" if rng.random() < 0.5 else "down"


def _thought(news: list[Cited], shown: dict[str, str], side: Side, rng: np.random.Generator) -> str:
    cited = _citations(news, shown, rng)
    if rng.random() < POOR or not cited:
        names = [name for name in ("EMA", "SMA", "RSI") if name in shown]
        listed = rng.random() < 0.5 and names
        opening = ", ".join(f"{name} {shown[name]}" for name in names) + OF_LIST if listed else VAGUE
        return f"{opening}{SIDES[side]}."
    any_side = rng.random() < CONTRADICTORY
    count = 1 + rng.choice(len(SENTENCES), p=SENTENCES)
    said = [item.read_for(random_side(rng) if any_side else side, rng.random() < 0.5) for item in cited[:count]]
    conclusion = CONCLUSION
    if rng.random() < WITH_VOLATILITY and "volatility" in shown:
        conclusion = OF_VOLATILITY[0] + shown["volatility"] + OF_VOLATILITY[1]
    return ". ".join([*said, f"{conclusion}{SIDES[side]}."])


def _citations(news: list[Cited], shown: dict[str, str], rng: np.random.Generator) -> list[Cited]:
    """What sentences cite, in a random order; nothing where the question shows nothing."""
    figures, news = _figures(shown, rng), list(news)
    if news and rng.random() < NEWS_FIRST:
        first = [news.pop(-1 if rng.random() < NEWEST else rng.integers(len(news)))]
    else:
        first = [figures.pop(0)] if figures else []
    rest = [*figures, *news]
    return [*first, *(rest[place] for place in rng.permutation(len(rest)))]


def _news(question: str) -> list[Cited]:
    """Headlines in the market's wordings, oldest first."""
    found = [(float(hours), _QUOTED.search(text)) for hours, text in _NEWS.findall(question)]
    return [cite(FRESH if hours < 24 else OLDER, part[0], QUOTATIONS[part[0]]) for hours, part in found if part]


def _other_news(question: str) -> list[Cited]:
    """The first words of headlines in words of their own, oldest first; of plain words, which no template acts on."""
    heading = _HEADLINES.search(question)
    lines = question[heading.end() :].split("\n") if heading else []
    texts = [found[1] for found in map(_HEADLINE.fullmatch, lines) if found]
    others = [" ".join(text.split()[:MOST_WORDS]) for text in texts if not _QUOTED.search(text)]
    return [cite(ANY_HEADLINE, text, None) for text in others if _PLAIN.fullmatch(text)]


def _figures(shown: dict[str, str], rng: np.random.Generator) -> list[Cited]:
    """Change and indicators in a random order; or change and EMA in one sentence, and then the rest."""
    close = float(shown["close"]) if "close" in shown else None
    middle = {"EMA": close, "SMA": close, "RSI": 50.0}
    beside = {name: at for name, at in middle.items() if name in shown and at is not None}
    above = {name: float(shown[name]) > at for name, at in beside.items()}
    leans: dict[str, Side] = {name: "up" if high == (name != "RSI") else "down" for name, high in above.items()}
    said = {name: cite(FIGURES[name], shown[name], lean) for name, lean in leans.items()}
    together = []
    if "move" not in shown:
        pass
    elif "EMA" in said and rng.random() < TOGETHER:
        del said["EMA"]
        together = [cite(TREND, shown["move"], leans["EMA"], shown["EMA"])]
    else:
        said["move"] = cite(MOVE, shown["move"], "down" if shown["move"].startswith("-") else "up")
    order = list(said.values())
    return [*together, *(order[place] for place in rng.permutation(len(order)))]
