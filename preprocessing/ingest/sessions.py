"""Finds the last session of an exchange that has ended, whose bar is final."""

from datetime import date, datetime, timedelta
from typing import Any

from stonk_pipeline.errors import ConfigError


def exchange_calendar(name: str, first: date, end: date) -> Any:
    """Opens the calendar of an exchange from a day to another; reading all years takes longer.

    Raises:
        ConfigError: there is no such calendar.
    """
    from exchange_calendars import errors, get_calendar

    try:
        return get_calendar(name, start=str(first), end=str(end))
    except errors.InvalidCalendarName as error:
        raise ConfigError(f"no exchange calendar {name!r}; give one such as XNYS, XLON, XTKS, 24/5 or 24/7") from error


def last_final_day(calendar: str, now: datetime, delay: timedelta) -> date:
    """Returns the last day whose bar, if there is one, no longer changes.

    A session's bar is final `delay` after its close (early closes are known); a day without a session, such as those
    of a holiday or of a stock that trades elsewhere too, when it has passed in the exchange's own time zone.

    Args:
        calendar: name in exchange_calendars, such as XNYS.
        now: with a time zone.
        delay: what a source may lag behind the exchange.

    Raises:
        ConfigError: there is no such calendar.
    """
    sessions = exchange_calendar(calendar, now.date() - timedelta(days=30), now.date() + timedelta(days=10))
    today = now.astimezone(sessions.tz).date()
    day = today if sessions.is_session(str(today)) else today - timedelta(days=1)
    while sessions.is_session(str(day)) and now < sessions.session_close(str(day)) + delay:
        day -= timedelta(days=1)
    return day
