"""Generates headlines for the generated market; a known share tells of the next day's move, the rest is noise.

An informative headline of a day is worded as company news (orders, outlook, costs) and points to the side that the
*next* day's close takes, with probability `reliability`. Noise is worded as opinion and routine; half of it leans to a
side too, at random. So a reader who follows company news alone is right in that share of such days, and whoever
follows opinions is right half of the time. On the random-walk market every headline is noise, in both wordings.
"""

import datetime
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.news import MarketNewsConfig, NewsConfig
from stonk_pipeline.runs.manifest import write_atomic
from stonk_pipeline.schema import CLOSE, DATE, Side

TELLING: dict[Side, tuple[str, ...]] = {
    "up": (
        "{ticker} wins an order worth {n} million",
        "{ticker} lifts its outlook by {n} percent",
        "{ticker} profit beats estimates by {n} percent",
        "{ticker} cuts its costs by {n} percent",
    ),
    "down": (
        "{ticker} loses an order worth {n} million",
        "{ticker} trims its outlook by {n} percent",
        "{ticker} profit misses estimates by {n} percent",
        "{ticker} warns of costs up {n} percent",
    ),
}
OPINIONS: dict[Side, tuple[str, str]] = {
    "up": (
        "forum poll: {n} percent of members would buy {ticker}",
        "{ticker} is a bargain, says a blogger with {n} thousand readers",
    ),
    "down": (
        "forum poll: {n} percent of members would sell {ticker}",
        "{ticker} is overpriced, says a blogger with {n} thousand readers",
    ),
}
NOISE = (
    *(opinion for pair in zip(OPINIONS["up"], OPINIONS["down"], strict=True) for opinion in pair),
    "{ticker} speaks at conference number {n}",
    "webcast {n}: options on {ticker} explained",
    "{n} stocks to watch this week, among them {ticker}",
    "{ticker} opens an office with {n} desks",
)
EARLIEST_HOURS = 17.0
"""Before the close; so a headline is always of its own day."""


_COMPANY_NEWS = re.compile(
    "|".join(
        re.escape(text).replace(re.escape("{ticker}"), ".+").replace(re.escape("{n}"), r"\d+")
        for side in TELLING.values()
        for text in side
    )
)


def is_company_news(text: str) -> bool:
    """Tells whether a headline of this market is worded as those that tell of the next day, name masked or not.

    Example:
        >>> [is_company_news(text) for text in ("SIM01 cuts its costs by 3 percent", "webcast 3: options on SIM01")]
        [True, False]
    """
    return _COMPANY_NEWS.fullmatch(text) is not None


class Generated(NamedTuple):
    """A generated headline, and whether it is informative."""

    time: datetime.datetime
    """UTC."""
    ticker: str
    text: str
    informative: bool
    side: Side | None
    """Where an informative headline, or noise in its wording, points."""


def generate_news(
    frames: Mapping[str, pd.DataFrame], market: MarketConfig, config: MarketNewsConfig, clock: NewsConfig
) -> list[Generated]:
    """Generates the headlines of every ticker; the same settings always give the same ones.

    Args:
        frames: bars, as `market.bars.generate` made them.
        market: the settings that made them.
        config: how many, and how many of them tell something.
        clock: the market's clock.

    Returns:
        The headlines in the order of their times.
    """
    out: list[Generated] = []
    for ticker, frame in frames.items():
        rng = np.random.default_rng([config.seed, market.seed, zlib.crc32(ticker.encode())])
        out += _of_ticker(ticker, frame, market, config, clock, rng)
    return sorted(out, key=lambda headline: (headline.time, headline.ticker, headline.text))


def _of_ticker(
    ticker: str,
    frame: pd.DataFrame,
    market: MarketConfig,
    config: MarketNewsConfig,
    clock: NewsConfig,
    rng: np.random.Generator,
) -> list[Generated]:
    closes = frame[CLOSE].to_numpy()
    zone = ZoneInfo(clock.zone)
    close_time = datetime.time.fromisoformat(clock.session_close)
    out = []
    for row, count in enumerate(rng.poisson(config.per_day, len(closes))):
        moment = datetime.datetime.combine(frame[DATE].iloc[row].date(), close_time, zone)
        for _ in range(count):
            hours, kind, right, number = (
                rng.uniform(0.1, EARLIEST_HOURS),
                rng.random(),
                rng.random(),
                rng.integers(2, 90),
            )
            choice = int(rng.integers(2**16))
            telling = kind < config.informative_share
            came = np.sign(closes[row + 1] - closes[row]) if row + 1 < len(closes) else 0.0
            informative = bool(telling and market.kind == "predictable" and came != 0)
            side: Side | None = None
            if informative:
                side = "up" if (came > 0) == (right < config.reliability) else "down"
            elif telling:
                side = "up" if right < 0.5 else "down"
            phrases = TELLING[side] if side else NOISE
            text = phrases[choice % len(phrases)].format(ticker=ticker, n=number)
            time = (moment - datetime.timedelta(hours=hours)).astimezone(datetime.UTC).replace(microsecond=0)
            out.append(Generated(time, ticker, text, informative, side))
    return out


def write_news(headlines: list[Generated], path: Path) -> None:
    """Writes headlines as the JSONL that real ones come in: nothing in it says which are informative."""
    lines = (
        json.dumps({"timestamp": headline.time.isoformat(), "ticker": headline.ticker, "headline": headline.text})
        for headline in headlines
    )
    write_atomic(path, "".join(f"{line}\n" for line in lines))
