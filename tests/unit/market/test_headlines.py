"""Headlines of the embedded market: the same every time, and as informative as is said."""

import datetime
import re
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from preprocessing.news import known, read_news
from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.news import MarketNewsConfig, NewsConfig
from stonk_pipeline.market.bars import generate
from stonk_pipeline.market.headlines import NOISE, TELLING, generate_news, write_news

MARKET, CONFIG, CLOCK = MarketConfig(tickers=5), MarketNewsConfig(), NewsConfig()
WALK = MARKET.model_copy(update={"kind": "random_walk"})


@pytest.fixture(scope="module")
def frames():
    return generate(MARKET)


@pytest.fixture(scope="module")
def headlines(frames):
    return generate_news(frames, MARKET, CONFIG, CLOCK)


def hits(headlines, frames):
    """For each headline that points to a side: whether it is informative, and whether the next day took that side."""
    zone = ZoneInfo(CLOCK.zone)
    moves = {
        ticker: dict(zip(frame["date"].dt.date, np.diff(frame["close"], append=np.nan), strict=True))
        for ticker, frame in frames.items()
    }
    found = []
    for headline in headlines:
        local = headline.time.astimezone(zone)
        # At most 17 hours before 16:00: eight hours later it is the decision's day.
        day = (local + datetime.timedelta(hours=8)).date()
        move = moves[headline.ticker][day]
        if headline.side and not np.isnan(move):
            found.append((headline.informative, (move > 0) == (headline.side == "up")))
    return found


def test_generate_news_is_the_same_for_the_same_settings(frames, headlines):
    assert generate_news(frames, MARKET, CONFIG, CLOCK) == headlines
    assert generate_news(frames, MARKET, MarketNewsConfig(seed=12), CLOCK) != headlines
    alone = generate_news({"SIM03": frames["SIM03"]}, MARKET, CONFIG, CLOCK)
    assert alone == [headline for headline in headlines if headline.ticker == "SIM03"]


def test_informative_headlines_have_the_known_share_and_reliability(frames, headlines):
    assert len(headlines) == pytest.approx(MARKET.days * MARKET.tickers * CONFIG.per_day, rel=0.03)
    share = np.mean([headline.informative for headline in headlines])
    assert share == pytest.approx(CONFIG.informative_share, abs=0.02)
    right = [hit for informative, hit in hits(headlines, frames) if informative]
    assert len(right) > 1000
    assert np.mean(right) == pytest.approx(CONFIG.reliability, abs=0.03)


def test_the_random_walk_has_no_informative_headline_in_the_same_wordings():
    walk = generate(WALK)
    headlines = generate_news(walk, WALK, CONFIG, CLOCK)
    assert not any(headline.informative for headline in headlines)
    found = [hit for _, hit in hits(headlines, walk)]
    assert len(found) > 1000
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


def test_noise_says_nothing_of_the_next_day(frames, headlines):
    opinions = [
        h._replace(side="up" if "buy" in h.text or "bargain" in h.text else "down") for h in headlines if not h.side
    ]
    opinions = [h for h in opinions if re.search("buy|sell|bargain|overpriced", h.text)]
    assert np.mean([hit for _, hit in hits(opinions, frames)]) == pytest.approx(0.5, abs=0.03)


def test_wordings_of_news_and_noise_are_told_apart():
    telling = {phrase for phrases in TELLING.values() for phrase in phrases}
    assert not telling & set(NOISE)
    assert not set(TELLING["up"]) & set(TELLING["down"])


def test_written_news_are_read_as_real_ones_and_known_on_their_day(tmp_path, frames, headlines):
    write_news(headlines, tmp_path / "news.jsonl")
    news = read_news(tmp_path, frames, CLOCK)
    assert news.read == len(headlines)
    assert news.duplicates < 0.02 * len(headlines)
    assert "informative" not in (tmp_path / "news.jsonl").read_text()
    wanted = [h for h in headlines if h.informative and h.ticker == "SIM01"][:20]
    days = frames["SIM01"]["date"].iloc[:400]
    shown = {headline.text for date in days for headline in known(news, "SIM01", str(date)[:10], CLOCK)}
    assert {headline.text for headline in wanted} <= shown
