"""Defines the settings of news: which headlines are known at a decision, and the generated market's headlines."""

import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from stonk_pipeline.config.base import IsoDate, Seed, Settings, Share


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; write it as America/New_York or UTC") from error
    return name


def _clock(text: str) -> str:
    try:
        if len(text) != 5:
            raise ValueError
        datetime.time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time of day; write it as 16:00") from error
    return text


Clock = Annotated[str, AfterValidator(_clock)]


class NewsConfig(Settings):
    """Settings of the headlines known at a decision: those published *before* the session's close."""

    zone: Annotated[str, AfterValidator(_zone)] = "America/New_York"
    """Zone of the market's clock."""
    session_close: Clock = "16:00"
    """When a session ends, on the market's clock: the moment of decision."""
    early_closes: dict[IsoDate, Clock] = Field(default_factory=dict)
    """Date -> close of shortened sessions (`2015-11-27: '13:00'`). On such a day not given here, news between its real
    close and `session_close` would be taken for known."""
    lookback_days: Annotated[float, Field(gt=0, le=60)] = 3.0
    """How long before the decision a headline may have been published, in days of 24 hours."""
    per_decision: Annotated[int, Field(ge=0, le=100)] = 5
    """Most headlines of a decision; the newest are taken."""
    duplicate_days: Annotated[float, Field(ge=0)] = 7.0
    """The same headline of the same ticker within so many days of the last one kept is a duplicate, and dropped."""
    max_length: Annotated[int, Field(ge=20, le=1000)] = 160
    """Characters of a headline; longer ones are cut."""


class MarketNewsConfig(Settings):
    """Settings of the generated market's headlines (`stonk_pipeline.market.headlines`)."""

    per_day: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Mean number of headlines a ticker and day."""
    informative_share: Share = 0.2
    """Share of headlines that tell of the next day's move; the others are noise. On the random-walk market it is 0."""
    reliability: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    """Probability that an informative headline points the right way."""
    seed: Seed = 11
    """Seed of the generator; the pipeline's own seed does not change the headlines."""
