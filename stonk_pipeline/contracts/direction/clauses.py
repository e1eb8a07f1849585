"""Writes the sentences of answers that know nothing: each cited fact can be read as bullish or bearish.

What is cited leans to a side when it is taken as it is: an average above the price to a rise, a strong RSI to a fall.
The words after it take it so or for the opposite, and the side follows from both. So a model that learns from them
knows what people make of such facts; which of the two is right on a market, if any is, is what a run has to learn. All
that decides is one token each in `stonk-tiny-calls`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from stonk_pipeline.market.headlines import NOISE, OPINIONS, TELLING
from stonk_pipeline.schema import Side

SIDES: dict[Side, str] = {"up": "a rise", "down": "a fall"}
END_OF_THOUGHT = ".</think>\n<answer>"
CONCLUSION, OF_VOLATILITY = "So I expect ", ("At a volatility of ", "% a day I therefore expect ")
VAGUE, OF_LIST = "The market goes its own way, so ", ", so "


class Clause(NamedTuple):
    """A template that cites something and reads it, up to the side that it speaks for."""

    before: str
    """What stands before the figure or quotation."""
    after: Mapping[Side | None, str]
    """What stands after one that, taken as it is, leans to a rise, to a fall, or to neither."""
    readings: tuple[str, str]
    """Words that take it as it is, and words that take it for the opposite."""


TREND = Clause(
    "After a move of ",
    {"up": "% the close is below its EMA of ", "down": "% the close is above its EMA of "},
    (" but should come back to it with ", " and should go on from it with "),
)
"""The figure of the move stands before `after`, that of the EMA behind it."""
MOVE = Clause(
    "The last day brought a change of ",
    {"up": "%", "down": "%"},
    (" that carries on, which means ", " that fades, which means "),
)
FIGURES = {
    "EMA": Clause(
        "The EMA of ",
        {"up": " hangs above the price", "down": " hangs below the price"},
        (", a gap that tends to close and suggests ", ", a gap that tends to widen and suggests "),
    ),
    "SMA": Clause(
        "An SMA of ",
        {"up": " is over the latest price", "down": " is under the latest price"},
        (": what strayed returns, which favours ", ": what runs keeps running, which favours "),
    ),
    "RSI": Clause(
        "The RSI of ",
        {"up": " tells of weakness", "down": " tells of strength"},
        (" that wears off and points to ", " that holds on and points to "),
    ),
}
NEWS: dict[Side | None, str] = {"up": '" is good news', "down": '" is bad news', None: '" is no news'}
FRESH = Clause(
    'The fresh headline "',
    NEWS,
    (" and, taken at its word, supports ", " but, priced in already, supports "),
)
OLDER = Clause('An older headline "', NEWS, (" that still holds and indicates ", " that is done with and indicates "))
ANY_HEADLINE = Clause('The headline "', {None: '"'}, (" supports ", ", priced in already, supports "))
"""One in words of its own, as real headlines are; none of those that a tiny model is built from."""
CLAUSES = (TREND, MOVE, *FIGURES.values(), FRESH, OLDER)


class Cited(NamedTuple):
    """A cited fact, before it is read as bullish or bearish."""

    text: str
    leans: Side | None
    """The side of a reading that takes it as it is; None where it has none."""
    readings: tuple[str, str]

    def read_for(self, side: Side, either: bool) -> str:
        """Writes the sentence that reads the fact for a side; `either` chooses the reading of what leans to none."""
        opposite = either if self.leans is None else self.leans != side
        return f"{self.text}{self.readings[opposite]}{SIDES[side]}"


def cite(clause: Clause, figure: str, leans: Side | None, second: str = "") -> Cited:
    """Puts a figure or quotation into its template; `second` stands behind the words after it.

    Example:
        >>> cite(TREND, "-1.20", "up", "103.44").read_for("up", False)
        'After a move of -1.20% the close is below its EMA of 103.44 but should come back to it with a rise'
    """
    return Cited(f"{clause.before}{figure}{clause.after[leans]}{second}", leans, clause.readings)


def quotation(template: str) -> str:
    """Picks what to quote of a headline: its longest piece without a figure, ticker or company.

    Example:
        >>> quotation("{ticker} wins an order worth {n} million")
        'wins an order worth'
    """
    pieces = [piece.strip(" :,") for piece in template.replace("{ticker}", "the company").split("{n}")]
    return max(pieces, key=len).removeprefix("the company ").removesuffix(" the company")


QUOTATIONS: dict[str, Side | None] = dict.fromkeys(map(quotation, NOISE))
QUOTATIONS |= {quotation(text): side for wordings in (TELLING, OPINIONS) for side in SIDES for text in wordings[side]}
"""What is quoted of the market's headlines, and the side that each leans to."""
PHRASES = (
    *(phrase for clause in CLAUSES for phrase in (clause.before, *clause.after.values(), *clause.readings)),
    *(CONCLUSION, *OF_VOLATILITY, VAGUE, OF_LIST),
    *SIDES.values(),
    ". ",
    END_OF_THOUGHT,
)
"""Of a thought; each is a token."""
