"""Analyses a model's reasoning by rules: which facts of the prompt it cites, and which side it concludes.

Pure text analysis without a model. It cannot judge whether an argument is good. It is built so that the cheap ways to
look like an argument are worth nothing: figures that are not in the prompt, figures without their name, lists, copied
lines, the same sentence again, and reasons for the other side than the answer's. `docs/direction.md` says what remains.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from stonk_pipeline.contracts.direction.question import FIGURES, NAME
from stonk_pipeline.contracts.direction.words import COMMON, CONCLUDING, CUES, DOWN, NOT, UP
from stonk_pipeline.schema import Side
from stonk_pipeline.text.quoting import FENCE

_TOKEN = re.compile(r"[a-z][a-z_']*|(?<![\d.,])\d{1,12}(?:[.,]\d{1,9})*")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_BULLET = re.compile(r"^- (?:\[[^\]]*\] )?")
MOST = 20_000
"""Characters of a reasoning that are looked at."""

_OTHER_NAMES = {
    "closes": ("close", "price", "prices", "closed", "last"),
    "change": ("move", "moved", "day", "today", *sorted(UP | DOWN)),
    "volatility": ("volatile",),
}
"""What else the figures of a line may be called."""
NOT_EVIDENCE = ("Stock", NAME, "Last close")
"""Lines of a question that name what it is about."""
_REACH = 4
"""Words between a figure and its name at most."""
_WINDOW = 3
"""Words before a direction word in which a negation turns it round."""
SAME = 0.7
"""Share of common words above which two sentences are the same."""
COPIED = 0.5
"""Share of a sentence's runs of three words that stand in the prompt, above which it is copied."""


class Item(NamedTuple):
    """A figure or quotation in the prompt that can be cited."""

    key: str
    names: frozenset[str]
    """Words of which a sentence must use `needed`."""
    needed: int
    value: float | None
    """The figure that must stand with them, without its sign; None for a fact in words."""


class Sentence(NamedTuple):
    """A sentence of a reasoning."""

    tokens: tuple[str, ...]
    """Words in lower case, and figures without signs, as they come."""
    words: tuple[str, ...]
    side: Side | None
    """Where it points."""
    concluding: bool
    copied: float
    """Share of its runs of three words that stand in the prompt."""


class Reason(NamedTuple):
    """A sentence that argues for a side with something from the prompt."""

    place: int
    """Of the sentence in the reasoning."""
    items: tuple[Item, ...]
    """What it is the first to cite."""


def items(question: str) -> tuple[Item, ...]:
    """Lists everything in a prompt that can be cited: named figures and quoted texts, each piece once."""
    found: dict[str, Item] = {}
    fenced, heading = False, ""
    for line in question.splitlines():
        if line == FENCE:
            fenced = not fenced
            continue
        if not fenced:
            heading = line.partition(",")[0]
        for item in _items_of(line, heading if fenced else None):
            found.setdefault(item.key, item)
    return tuple(found.values())


def _items_of(line: str, heading: str | None) -> Iterator[Item]:
    """What can be cited of a line; `heading` is that of the fence it stands in."""
    if heading == FIGURES:
        yield from _figures_of(f"{FIGURES}: {line[2:]}")
    elif heading is None and not line.endswith("?"):
        yield from _figures_of(line)
    elif heading is not None and heading not in NOT_EVIDENCE:
        text = _BULLET.sub("", line)
        words = frozenset(word for word in _words(text) if len(word) > 3 and word not in COMMON | UP | DOWN)
        if words:
            yield Item(f"quoted {text}", words, min(2, len(words)), None)


def _figures_of(line: str) -> Iterator[Item]:
    head, colon, rest = line.partition(":")
    if head in NOT_EVIDENCE:
        return
    heading = _words(head) if colon else []
    names = {heading[0], *_OTHER_NAMES.get(heading[0], ())} if heading else set()
    nearest = ""
    for token in _tokens(rest if colon else line):
        if token[0].isdigit():
            of = frozenset({nearest} if nearest else names)
            if of:
                yield Item(f"{min(of)} {_value(token):g}", of, 1, _value(token))
        else:
            nearest = token


def sentences(thinking: str, question: str) -> tuple[Sentence, ...]:
    """Splits a reasoning into sentences; those without a word or a figure are left out."""
    runs = set(_runs(_tokens(question)))
    out = []
    for text in _SENTENCE.split(thinking[:MOST]):
        tokens = _tokens(text)
        if not tokens:
            continue
        own = _runs(tokens)
        words = tuple(token for token in tokens if not token[0].isdigit())
        out.append(
            Sentence(
                tokens=tuple(tokens),
                words=words,
                side=_side(words),
                concluding=any(word in CONCLUDING for word in words),
                copied=sum(run in runs for run in own) / len(own),
            )
        )
    return tuple(out)


def conclusion(said: Sequence[Sentence]) -> Side | None:
    """Finds the side that a reasoning concludes: of its last conclusion, else of its last sentence with a direction."""
    pointing = [sentence for sentence in said if sentence.side]
    concluding = [sentence for sentence in pointing if sentence.concluding]
    return (concluding or pointing)[-1].side if pointing else None


def reasons(
    said: Sequence[Sentence], known: Sequence[Item], side: Side, *, most: int, least_words: int
) -> list[Reason]:
    """Finds the sentences that argue for a side with something from the prompt.

    Args:
        said: the reasoning.
        known: what the prompt holds.
        side: what is argued for.
        most: items that count in one sentence; a sentence needs `least_words` words of its own for so many figures.
        least_words: words besides directions, figures and their names that make a reason.

    Returns:
        Those that are the first to cite something.
    """
    every_name = {name for item in known if item.value is not None for name in item.names}
    used: set[str] = set()
    earlier: list[frozenset[str]] = []
    out = []
    for place, sentence in enumerate(said):
        if sentence.side != side or sentence.copied > COPIED:
            continue
        figures = _named_figures(sentence, every_name)
        cited = [item for item in known if _cites(sentence, figures, item)]
        names = {name for item in cited if item.value is not None for name in item.names}
        own = frozenset(sentence.words) - names - UP - DOWN
        load = max(1, -(-len(figures) // most))
        if len(own) < least_words * load or any(_alike(own, other) for other in earlier):
            continue
        earlier.append(own)
        new = [item for item in cited if item.key not in used][:most]
        used |= {item.key for item in new}
        if new:
            out.append(Reason(place, tuple(new)))
    return out


def structure(said: Sequence[Sentence], argued: Sequence[Reason], side: Side) -> float:
    """Scores how much a text is built like a reasoning, 0 to 1, in quarters.

    A quarter each: it has two different sentences or more; one of them is a reason; a conclusion is drawn, not before
    the first reason; and it is the answer's.
    """
    different = len({frozenset(sentence.words) for sentence in said if len(sentence.words) > 2}) > 1
    concluding = [place for place, sentence in enumerate(said) if sentence.concluding and sentence.side]
    drawn = bool(argued and concluding and concluding[-1] >= argued[0].place)
    return (different + bool(argued) + drawn + (conclusion(said) == side)) / 4


def _cites(sentence: Sentence, figures: Sequence[tuple[float, str]], item: Item) -> bool:
    if item.value is None:
        return len(item.names.intersection(sentence.words)) >= item.needed
    return any(value == item.value and name in item.names for value, name in figures)


def _named_figures(sentence: Sentence, names: Collection[str]) -> list[tuple[float, str]]:
    """Each figure of a sentence with the name it goes by: the nearest one before it, else the nearest one after it."""
    found = []
    for place, token in enumerate(sentence.tokens):
        if token[0].isdigit():
            before = [word for word in sentence.tokens[max(0, place - _REACH) : place] if word in names]
            after = [word for word in sentence.tokens[place + 1 : place + 1 + _REACH] if word in names]
            found.append((_value(token), before[-1] if before else after[0] if after else ""))
    return found


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) > SAME * len(one | other)


def _side(words: Sequence[str]) -> Side | None:
    """Where a sentence points: the first direction after its last cue that has one, else its last direction."""
    places = [place for place, word in enumerate(words) if word in UP or word in DOWN]
    if not places:
        return None
    chosen = places[-1]
    for cue in reversed([place for place, word in enumerate(words) if word in CUES]):
        after = [place for place in places if place > cue]
        if after:
            chosen = after[0]
            break
    up = words[chosen] in UP
    turned = any(word in NOT for word in words[max(0, chosen - _WINDOW) : chosen])
    return "up" if up != turned else "down"


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower().replace("’", "'"))


def _words(text: str) -> list[str]:
    return [token for token in _tokens(text) if not token[0].isdigit()]


def _runs(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    """Runs of three tokens; of fewer, the one run there is."""
    return [tuple(tokens[start : start + 3]) for start in range(max(1, len(tokens) - 2))]


def _value(token: str) -> float:
    """1,234.5 -> 1234.5. Two points make no number: the token's first one counts."""
    whole, _, rest = token.replace(",", "").partition(".")
    return float(f"{whole}.{rest.partition('.')[0] or '0'}")
