"""Computes the coming trading days of an exchange and when each of them closes."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from preprocessing.ingest.sessions import exchange_calendar
from stonk_pipeline.errors import DataError
from stonk_pipeline.periods import DAY

NEW_YORK, EVERY_DAY = "XNYS", "24/7"
WEEKDAYS = "24/5"
"""Calendar without holidays, for the generated market; a day closes at midnight UTC."""
DAYS_A_SESSION = 3
"""Calendar days that a session takes at most, on average, the longest holidays included."""


class Session(NamedTuple):
    """One day of trading."""

    date: str
    """ISO."""
    close: datetime
    """UTC."""


def sessions_from(exchange: str, last: str, count: int) -> tuple[Session, list[Session]]:
    """Returns the session of the last bar, and those after it.

    Args:
        exchange: ISO 10383 code as `exchange_calendars` has it, e.g. XNYS.
        last: date of the last bar (ISO).
        count: sessions ahead.

    Raises:
        ConfigError: there is no such calendar.
        DataError: the exchange did not trade on the day of the last bar.
    """
    day = date.fromisoformat(last)
    found = _sessions(exchange, day, day + timedelta(days=count * DAYS_A_SESSION + 15))
    if not found or found[0].date != last:
        raise DataError(f"the last bar is of {last}, a day without trading at {exchange}; choose another --calendar")
    return found[0], found[1 : count + 1]


def weeks_from(exchange: str, last: str, count: int) -> tuple[Session, list[Session]]:
    """Returns the week of the last bar, and those after it: same weekday, and the close of the week's last session.

    A weekly bar may be dated by its Monday, its Friday or its Sunday; all lie in one week of ISO 8601.

    Args:
        exchange: ISO 10383 code as `exchange_calendars` has it.
        last: date of the last bar (ISO).
        count: weeks ahead.

    Raises:
        ConfigError: there is no such calendar.
    """
    day = date.fromisoformat(last)
    monday = day - timedelta(days=day.weekday())
    sessions = _sessions(exchange, monday, monday + timedelta(days=7 * (count + 1)))
    weeks = []
    for ahead in range(count + 1):
        end = monday + timedelta(days=7 * (ahead + 1))
        closes = [each.close for each in sessions if each.date < str(end)]
        close = closes[-1] if closes else datetime(end.year, end.month, end.day, tzinfo=UTC)
        weeks.append(Session(str(day + timedelta(days=7 * ahead)), close))
    return weeks[0], weeks[1:]


def usual_calendar(period: str) -> str:
    """Returns the calendar of a market where none is named."""
    return EVERY_DAY if period == DAY else NEW_YORK


def in_weeks(last: str, targets: Sequence[str]) -> bool:
    """Tells whether a forecast is of weeks: no daily one has its dates seven days apart throughout."""
    dates = [date.fromisoformat(day) for day in (last, *targets)]
    return all(later - earlier == timedelta(days=7) for earlier, later in pairwise(dates))


class Calendars:
    """Finds the sessions after many bars; an exchange's calendar is built once for all bars of a year."""

    def __init__(self) -> None:
        self._years: dict[tuple[str, int], list[Session]] = {}

    def ahead(self, exchange: str, last: str, count: int, *, weekly: bool) -> tuple[Session | None, list[Session]]:
        """Returns the session of the last bar, None if there is none, and those after it.

        Raises:
            ConfigError: there is no such calendar.
        """
        if weekly:
            return weeks_from(exchange, last, count)
        year = date.fromisoformat(last).year
        if (exchange, year) not in self._years:
            self._years[exchange, year] = _sessions(exchange, date(year, 1, 1), date(year + 2, 1, 1))
        sessions = self._years[exchange, year]
        place = bisect_left(sessions, last, key=lambda session: session.date)
        found = sessions[place : place + count + 1]
        return (found[0], found[1:]) if found and found[0].date == last else (None, [])


def _sessions(exchange: str, first: date, end: date) -> list[Session]:
    """All sessions from a day on."""
    calendar = exchange_calendar(exchange, first - timedelta(days=15), end)
    return [
        Session(str(session.date()), calendar.session_close(session).to_pydatetime().astimezone(UTC))
        for session in calendar.sessions
        if str(session.date()) >= str(first)
    ]
