"""Which days an exchange will trade, and when each of them closes."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from stonk_pipeline.errors import ConfigError, DataError

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
    """The session of the last bar, and those after it.

    Args:
        exchange: ISO 10383 code as `exchange_calendars` has it, e.g. XNYS.
        last: date of the last bar (ISO).
        count: sessions ahead.

    Raises:
        ConfigError: there is no such calendar.
        DataError: the exchange did not trade on the day of the last bar.
    """
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    day = date.fromisoformat(last)
    end = day + timedelta(days=count * DAYS_A_SESSION + 15)
    try:
        calendar = exchange_calendars.get_calendar(exchange, start=str(day - timedelta(days=15)), end=str(end))
    except InvalidCalendarName as error:
        raise ConfigError(
            f"no exchange calendar {exchange!r}; give --calendar a code such as XNYS, XLON or XTKS, or {WEEKDAYS}"
        ) from error
    if not calendar.is_session(last):
        raise DataError(f"the last bar is of {last}, a day without trading at {exchange}; choose another --calendar")
    found = [
        Session(str(session.date()), calendar.session_close(session).to_pydatetime().astimezone(UTC))
        for session in calendar.sessions
        if str(session.date()) >= last
    ]
    return found[0], found[1 : count + 1]
