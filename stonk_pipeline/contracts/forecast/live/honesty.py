"""Checks that logged forecasts were made when they say, and before their outcome; a chain of digests cannot.

Who writes a log can write a chain that holds. These checks find entries that no honest log has: stamped before the
entry above them, in the future, or before their last bar was complete; with other targets than the sessions after that
bar; with a closing time later than the first target's, which would make a late forecast look early; and a second
forecast from the same bar.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from stonk_pipeline.contracts.forecast.live.calendar import Calendars, Session, in_weeks
from stonk_pipeline.errors import ConfigError, LogError
from stonk_pipeline.files.untrusted import reason
from stonk_pipeline.records.forward_log import CLOCKS_APART, LOG, LogEntry
from stonk_pipeline.records.wellformed import draw_of


def require_honest(entries: Sequence[LogEntry], now: datetime | None = None) -> None:
    """Checks every entry of an unbroken log against the entries above it, its calendar and the clock.

    Raises:
        LogError: names the first entry that cannot be what it says.
    """
    calendars, clock = Calendars(), now or datetime.now(UTC)
    above: LogEntry | None = None
    seen: dict[tuple[str, str, str], int] = {}
    for entry in entries:
        key = draw_of(entry)
        reasons = [*_stamp_reasons(entry, above, clock), *_target_reasons(entry, calendars)]
        if key in seen:
            reasons.append(
                f"a second forecast of {entry.stock} by this model from the same bar (the first: {seen[key]})"
            )
        if reasons:
            raise LogError(f"{LOG}, entry {entry.n} ({entry.stock} from {entry.last_bar}): {reasons[0]}")
        seen[key] = entry.n
        above = entry


def _stamp_reasons(entry: LogEntry, above: LogEntry | None, clock: datetime) -> Iterable[str]:
    stamp = datetime.fromisoformat(entry.stamp)
    if above is not None and stamp < datetime.fromisoformat(above.stamp) - CLOCKS_APART:
        yield f"stamped {entry.stamp}, before the entry above it ({above.stamp})"
    if stamp > clock + CLOCKS_APART:
        yield f"stamped {entry.stamp}, which is in the future"


def _target_reasons(entry: LogEntry, calendars: Calendars) -> Iterable[str]:
    try:
        weekly = in_weeks(entry.last_bar, entry.targets)
        own, ahead = calendars.ahead(entry.calendar, entry.last_bar, len(entry.targets), weekly=weekly)
    except (ConfigError, ValueError, OverflowError) as error:
        yield f"no sessions can be found for it ({reason(error)})"
        return
    if own is None:
        yield f"its last bar is of a day without trading at {entry.calendar}"
        return
    if datetime.fromisoformat(entry.stamp) < own.close - CLOCKS_APART:
        yield f"stamped {entry.stamp}, before its last bar was complete ({own.close:%Y-%m-%d %H:%M} UTC)"
    if not _fit(entry.last_bar, entry.targets, ahead):
        yield f"its targets are not the sessions after its last bar at {entry.calendar}"
        return
    close = {session.date: session.close for session in ahead}.get(entry.targets[0])
    latest = close or datetime.fromisoformat(f"{entry.targets[0]}T00:00:00+00:00") + timedelta(days=1.5)
    if datetime.fromisoformat(entry.first_close) > latest:
        yield f"it says that its first target closes at {entry.first_close}, which is later than it does"


def _fit(last: str, targets: Sequence[str], ahead: Sequence[Session]) -> bool:
    """Whether targets are the sessions ahead, but for a day that an exchange has added or taken away since.

    Calendars learn of a day of mourning or a storm after the forecast was made, and one day then stands for another.
    """
    dates = [session.date for session in ahead]
    other = set(targets) ^ set(dates)
    return list(targets) == sorted(set(targets)) and len(other) <= 2 and last < targets[0] <= dates[0]
