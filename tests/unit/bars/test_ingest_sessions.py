"""Which bars are final."""

from datetime import UTC, date, datetime, timedelta

import pytest

from preprocessing.ingest.sessions import last_final_day
from stonk_pipeline.errors import ConfigError

DELAY = timedelta(minutes=20)


@pytest.mark.parametrize(
    ("now", "final"),
    [
        ("2026-11-20T20:59", "2026-11-19"),  # Friday, a minute before the close in New York
        ("2026-11-20T21:19", "2026-11-19"),  # closed, but within the delay
        ("2026-11-20T21:20", "2026-11-20"),
        ("2026-11-21T15:00", "2026-11-20"),  # Saturday: not over, and no session
        ("2026-11-22T15:00", "2026-11-21"),  # Sunday: Saturday is over
        ("2026-11-26T22:00", "2026-11-25"),  # Thanksgiving
        ("2026-11-27T18:20", "2026-11-27"),  # the day after it closes at 13:00
        ("2026-07-01T20:20", "2026-07-01"),  # in summer the close is an hour earlier in UTC
        ("2026-11-21T03:00", "2026-11-20"),  # still Friday evening in New York
    ],
)
def test_last_final_day_follows_the_exchange(now, final):
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert last_final_day("XNYS", moment, DELAY) == date.fromisoformat(final)


def test_last_final_day_of_a_market_that_never_closes_is_yesterday():
    assert last_final_day("24/7", datetime(2026, 11, 21, 12, tzinfo=UTC), DELAY) == date(2026, 11, 20)
    assert last_final_day("24/7", datetime(2026, 11, 21, 0, 10, tzinfo=UTC), DELAY) == date(2026, 11, 19)


def test_last_final_day_refuses_an_unknown_calendar():
    with pytest.raises(ConfigError, match="NOPE"):
        last_final_day("NOPE", datetime(2026, 11, 20, tzinfo=UTC), DELAY)
