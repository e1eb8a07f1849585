"""News: what a file may hold, and that nothing from after the close is ever known."""

import datetime
import json

import pytest
from pydantic import ValidationError

from preprocessing.news import close_of, known, read_news
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.errors import DataError

CLOCK = NewsConfig()
CLOSE = "2015-03-04T21:00:00+00:00"
"""16:00 in New York on a day in winter."""


def line(timestamp, headline="news", ticker="AAPL"):
    return json.dumps({"timestamp": timestamp, "ticker": ticker, "headline": headline})


def written(path, *lines):
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path


def texts(news, date="2015-03-04", clock=CLOCK, ticker="AAPL"):
    return [headline.text for headline in known(news, ticker, date, clock)]


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("2015-03-04", CLOSE),
        ("2015-07-01", "2015-07-01T20:00:00+00:00"),  # daylight saving time
        ("2015-11-27", "2015-11-27T18:00:00+00:00"),  # a shortened session
    ],
)
def test_close_of_is_the_sessions_close_on_the_markets_clock(date, moment):
    clock = NewsConfig(early_closes={"2015-11-27": "13:00"})
    assert close_of(date, clock) == datetime.datetime.fromisoformat(moment)
    assert close_of("2015-03-04", NewsConfig(zone="Asia/Tokyo", session_close="15:00")).hour == 6


def test_known_has_headlines_strictly_before_the_close(tmp_path):
    file = written(
        tmp_path / "AAPL.jsonl",
        line("2015-03-04T20:59:59+00:00", "just before"),
        line(CLOSE, "at the close"),
        line("2015-03-04T16:00:00-05:00", "at the close, in another zone"),
        line("2015-03-04T21:00:01Z", "just after"),
        line("2015-03-01T20:59:59Z", "too old"),
        line("2015-03-01T21:00:00Z", "just young enough"),
        line("2015-03-04T12:00:00Z", "another company", "MSFT"),
    )
    news = read_news(file, ["AAPL"], CLOCK)
    assert texts(news) == ["just young enough", "just before"]
    assert known(news, "AAPL", "2015-03-04", CLOCK)[0].hours == 72.0
    assert news.other_tickers == 1
    assert news.read == 7
    assert texts(news, ticker="MSFT") == []


def test_known_has_the_newest_headlines_oldest_first(tmp_path):
    lines = [line(f"2015-03-04T{hour:02d}:00:00Z", f"hour {hour}") for hour in (5, 3, 1, 4, 2)]
    news = read_news(written(tmp_path / "n.jsonl", *lines), ["AAPL"], CLOCK)
    assert texts(news, clock=NewsConfig(per_decision=2)) == ["hour 4", "hour 5"]
    assert texts(news, clock=NewsConfig(per_decision=0)) == []


@pytest.mark.parametrize("later", [[], ["poison"], ["first", "second", "poison"], ["\u202epoison"]])
def test_known_does_not_change_with_later_headlines(tmp_path, later):
    """Whatever comes at the close or after it, repetitions included, an earlier decision sees the same."""
    early = [line("2015-03-03T15:00:00Z", "first"), line("2015-03-04T20:00:00Z", "second")]
    alone = read_news(written(tmp_path / "a.jsonl", *early), ["AAPL"], CLOCK)
    after = [line(moment, text) for text in later for moment in (CLOSE, "2015-03-04T22:00:00Z", "2015-03-05T08:00:00Z")]
    poisoned = read_news(written(tmp_path / "b.jsonl", *after, *early, *after), ["AAPL"], CLOCK)
    assert known(poisoned, "AAPL", "2015-03-04", CLOCK) == known(alone, "AAPL", "2015-03-04", CLOCK)
    assert texts(alone) == ["first", "second"]
    if "poison" in later:
        assert "poison" in texts(poisoned, "2015-03-05")


def test_read_news_drops_and_counts_duplicates_within_some_days(tmp_path):
    file = written(
        tmp_path / "n.jsonl",
        line("2015-03-04T10:00:00Z", "Apple up"),
        line("2015-03-04T09:00:00Z", "apple  UP"),  # older, so this one is kept
        line("2015-03-10T09:00:00Z", "apple up"),
        line("2015-03-20T09:00:00Z", "apple up"),  # news again
        line("2015-03-04T09:00:00Z", "apple up", "MSFT"),
        line("2015-03-04T09:30:00Z", "\u200b<b>"),
    )
    news = read_news(file, ["AAPL", "MSFT"], CLOCK)
    assert [headline.time[:10] for headline in news.headlines["AAPL"]] == ["2015-03-04", "2015-03-20"]
    assert news.headlines["AAPL"][0].text == "apple UP"
    assert (news.duplicates, news.empty, len(news.headlines["MSFT"])) == (2, 1, 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('{"ticker": "AAPL", "headline": "x"}', "timestamp is missing"),
        ('{"timestamp": "2015-03-04T10:00:00Z", "headline": "x"}', "ticker is missing"),
        ('{"timestamp": "2015-03-04T10:00:00Z", "ticker": "AAPL", "headline": 5}', "headline is missing or no text"),
        (line("2015-03-04T10:00:00"), "has no zone"),
        (line("2015-03-04"), "has no zone"),
        (line("yesterday"), "timestamp 'yesterday' is none"),
        (line("0001-01-01T00:00:00+14:00"), "is none"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_read_news_names_file_and_line_of_what_is_wrong(tmp_path, wrong, says):
    file = written(tmp_path / "AAPL.jsonl", line("2015-03-04T10:00:00Z"), "", wrong)
    with pytest.raises(DataError, match=says) as caught:
        read_news(file, ["AAPL"], CLOCK)
    assert str(caught.value).startswith(f"{file}, line 3: ")


def test_read_news_names_the_first_of_many_wrong_lines(tmp_path):
    file = written(tmp_path / "n.jsonl", *["{"] * 9)
    with pytest.raises(DataError, match=r"line 5: (.|\n)*and 4 more such lines"):
        read_news(file, ["AAPL"], CLOCK)


def test_read_news_refuses_what_is_no_news_file(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_news(tmp_path / "none", ["AAPL"], CLOCK)
    with pytest.raises(DataError, match=r"no .jsonl file"):
        read_news(tmp_path, ["AAPL"], CLOCK)
    (tmp_path / "n.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_news(tmp_path, ["AAPL"], CLOCK)


def test_read_news_keeps_a_headline_with_a_line_separator_in_one_line(tmp_path):
    raw = '{"timestamp": "2015-03-04T10:00:00Z", "ticker": "aapl", "headline": "one\u2028two"}'
    assert texts(read_news(written(tmp_path / "n.jsonl", raw), ["AAPL"], CLOCK)) == ["one two"]


@pytest.mark.parametrize("wrong", [{"zone": "Mars/Olympus"}, {"session_close": "4 pm"}, {"session_close": "25:00"}])
def test_clock_settings_are_checked(wrong):
    with pytest.raises(ValidationError, match="write it as"):
        NewsConfig(**wrong)


def test_read_news_reads_real_messages(stocknet):
    news = read_news(stocknet.parent / "news", ["AAPL", "MSFT"], CLOCK)
    assert news.read == 4683
    assert sum(map(len, news.headlines.values())) + news.duplicates + news.empty == 4683
    assert 0 < news.duplicates < 400
    for ticker, headlines in news.headlines.items():
        moments = [datetime.datetime.fromisoformat(headline.time) for headline in headlines]
        assert moments == sorted(moments)
        for headline in known(news, ticker, "2014-06-04", CLOCK):
            assert headline.time < "2014-06-04T20:00"
