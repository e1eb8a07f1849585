"""Logs forecasts before their outcome exists, chained by digest so that later changes are found.

Each entry holds the digest of the one before it, and its own digest covers all of it. Altering, removing, inserting or
reordering entries breaks the chain at a place that `verify_chain` names. What a chain alone cannot show: that entries
at its end were cut off, or that the whole chain was written anew. Against both, the digest of the last entry (the head)
is printed; who keeps it elsewhere can later ask whether the log still holds it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stonk_pipeline.errors import LogError
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import reason, shown
from stonk_pipeline.records.wellformed import draw_of, why_not
from stonk_pipeline.runs.manifest import json_digest

LOG = "log.jsonl"
CLOCKS_APART = timedelta(minutes=10)
"""Two clocks that are set may differ by so much."""
GENESIS = "0" * 64
"""What the first entry names as the digest of the one before it."""


class Forecasted(BaseModel):
    """A forecast that is ready to be stamped and logged."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    stock: str
    model: str
    """Id of the registered model, or `adapter:<digest>` or `base:<name>`."""
    adapter_digest: str | None
    """Of what its adapter computes with (`models.adapters.identity`)."""
    base_model: str
    data_digest: str
    """Digest of the bars that it was made from."""
    last_bar: str
    """Date of the last bar (ISO)."""
    last_close: float
    calendar: str
    targets: tuple[str, ...]
    """Dates of the sessions that are forecast (ISO)."""
    first_close: str
    """When the first of them closes (UTC): from then on the outcome can be known."""
    answers: int
    readable: float
    """Share of the answers that could be read; the others count as the last close repeated."""
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    """(L, H) prices."""
    volatility: float | None = None
    """Of one day, in percent of the last close: the spread of the random walk that its CRPS is compared with."""
    coverage: dict[str, float] | None = None
    """Nominal coverage -> share of closes that the calibrated bands of this model held on test windows; None: the
    quantiles are those of its answers, not calibrated."""
    tested: int | None = None
    """How many test windows that were."""


class LogEntry(Forecasted):
    """A line of the log."""

    n: int
    """From 1."""
    stamp: str
    """UTC, ISO 8601: when it was written down."""
    late: bool
    """Its first session had closed by then: it is no forecast of the future and never counts as one."""
    previous: str
    digest: str
    """SHA-256 of the canonical JSON of everything else."""


class Broken(BaseModel):
    """The first place where the chain of digests breaks."""

    line: int
    entry: str
    """Which entry, in words."""
    why: str


def append(directory: Path, forecast: Forecasted, now: datetime | None = None) -> tuple[LogEntry, bool]:
    """Stamps a forecast with the time and adds it to the log.

    One forecast of a stock by a model from the same last bar: a second one is not added, for who may draw again until
    he likes it has no record. The first one is returned.

    Args:
        directory: of the log.
        forecast: what to add.
        now: the time; the clock's, if not given.

    Returns:
        (the entry in the log, whether it was added now)

    Raises:
        LogError: the log is damaged, the forecast says what none can, or the clock went back; nothing is added.
    """
    wrong = why_not(forecast)
    if wrong is not None:
        raise LogError(f"forecast of {shown(forecast.stock)} from {shown(forecast.last_bar)}: {wrong}; not logged")
    with journal.locked(directory):
        entries = read(directory)
        for entry in entries:
            if draw_of(entry) == draw_of(forecast):
                return entry, False
        stamp = now or datetime.now(UTC)
        if entries and stamp < datetime.fromisoformat(entries[-1].stamp) - CLOCKS_APART:
            raise LogError(
                f"{directory / LOG}: the last entry is of {entries[-1].stamp}, and the clock says {stamp.isoformat()}; "
                "set the clock, for stamps that go back prove nothing"
            )
        content: dict[str, Any] = forecast.model_dump(mode="json") | {
            "n": len(entries) + 1,
            "stamp": stamp.astimezone(UTC).isoformat(timespec="microseconds"),
            "late": stamp >= datetime.fromisoformat(forecast.first_close),
            "previous": entries[-1].digest if entries else GENESIS,
        }
        content["digest"] = json_digest(content)
        journal.append(directory / LOG, content)
    return LogEntry.model_validate(content), True


def read(directory: Path) -> list[LogEntry]:
    """Reads the entries of a log whose chain holds; none where there is no log.

    Raises:
        LogError: names the first entry that is not as it was written.
    """
    broken, entries = verify_chain(directory)
    if broken is not None:
        raise LogError(f"{directory / LOG}, line {broken.line} ({broken.entry}): {broken.why}")
    return entries


def verify_chain(directory: Path) -> tuple[Broken | None, list[LogEntry]]:
    """Follows the chain from its beginning: (where it first breaks, the entries up to there).

    Raises:
        LogError: a line is not JSON at all.
    """
    entries: list[LogEntry] = []
    previous = GENESIS
    for number, record in journal.read(directory / LOG):
        name = shown(f"entry {record.get('n')}, {record.get('stock')} from {record.get('last_bar')}")
        why = _why_broken(record, number, previous)
        if why is None:
            try:
                entry = LogEntry.model_validate(record)
            except ValidationError as error:
                why = f"not an entry ({reason(error)})"
            else:
                why = why_not(entry)
                previous = entry.digest
        if why is not None:
            return Broken(line=number, entry=name, why=why), entries
        entries.append(entry)
    return None, entries


def _why_broken(record: dict[str, Any], number: int, previous: str) -> str | None:
    content = {name: value for name, value in record.items() if name != "digest"}
    if record.get("digest") != _digest(content):
        return "altered: its content does not give its digest"
    if record.get("n") != number or record.get("previous") != previous:
        return "does not follow the entry before it: one was removed, inserted, moved or written anew"
    try:
        stamp, close = datetime.fromisoformat(record["stamp"]), datetime.fromisoformat(record["first_close"])
        late = stamp >= close
    except (KeyError, TypeError, ValueError, OverflowError):
        return "has no stamp or no closing time"
    if stamp.tzinfo is None or close.tzinfo is None:
        return "has a stamp or a closing time without a zone"
    return None if record.get("late") is late else "says about itself that it was in time, and was not"


def _digest(content: dict[str, Any]) -> str | None:
    try:
        return json_digest(content)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can name and UTF-8 cannot hold
        return None


def holds(entries: Sequence[LogEntry], head: str) -> bool:
    """Tells whether a digest that was published once is still in the chain."""
    return any(entry.digest.startswith(head) for entry in entries) and len(head) >= 8
