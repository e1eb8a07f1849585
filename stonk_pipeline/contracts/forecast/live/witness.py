"""Compares the forward log with what the records of ingests and promotions noted of it.

A record that the log had n entries at some time says of entry n + 1 that it came later: a stamp from before that time
is a forecast dated back, made when its outcome may have been known.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stonk_pipeline.errors import LogError
from stonk_pipeline.records import ingests
from stonk_pipeline.records.forward_log import CLOCKS_APART, LOG, LogEntry
from stonk_pipeline.records.heads import LogHead
from stonk_pipeline.registry import champions, store


class Witness(NamedTuple):
    """The length and last digest of a forward log, as another record noted them."""

    journal: Path
    place: str
    """Which entry of the journal, in words."""
    log: Path
    """The log that it speaks of."""
    said: LogHead
    time: str
    """When it was recorded (ISO)."""


def witnesses(data_dirs: Sequence[Path], models_dirs: Sequence[Path]) -> list[Witness]:
    """Reads all notes on forward logs in the records of ingests and promotions, in the order of their files.

    Args:
        data_dirs: folders that ingests fill.
        models_dirs: folders with a registry.

    Raises:
        PipelineError: a journal is damaged.
    """
    return [*(found for one in data_dirs for found in _of_ingests(one)), *_of_promotions(models_dirs)]


def _of_ingests(data_dir: Path) -> Iterator[Witness]:
    path = data_dir / ingests.LOG
    for number, ingest in enumerate(ingests.read(data_dir), start=1):
        if ingest.forward is not None:
            yield _witness(path, f"line {number}, of {ingest.time}", ingest.forward, ingest.time)


def _of_promotions(models_dirs: Sequence[Path]) -> Iterator[Witness]:
    for models_dir in models_dirs:
        for path in sorted((models_dir / store.DIRECTORY).glob(f"*/*/{champions.CHAMPION}")):
            for number, change in enumerate(champions.read(path.parent).history, start=1):
                if change.forward is not None:
                    yield _witness(path, f"change {number}, of {change.stamp}", change.forward, change.stamp)


def _witness(path: Path, place: str, said: LogHead, time: str) -> Witness:
    return Witness(path, place, (path.parent / said.log).resolve(), said, time)


def of_log(found: Sequence[Witness], forecasts_dir: Path) -> list[Witness]:
    """Selects the notes that speak of the log in this folder."""
    path = (forecasts_dir / LOG).resolve()
    return [witness for witness in found if witness.log == path]


def require(entries: Sequence[LogEntry], found: Sequence[Witness]) -> None:
    """Checks that a log still holds all that was noted of it, and that later entries are stamped later.

    Args:
        entries: of the log, whose chain holds.
        found: heads that were recorded of this log.

    Raises:
        LogError: names the journal, its entry, and what it had recorded; or the entry of the log that is dated back.
    """
    against = [(witness, why) for witness in found if (why := _why(entries, witness.said)) is not None]
    if against:
        (witness, why), others = against[0], len(against) - 1
        more = f" ({others} more such {'record' if others == 1 else 'records'})" if others else ""
        raise LogError(
            f"{witness.journal}, {witness.place}: the log had {witness.said.length} entries and the head "
            f"{witness.said.head} then, and {why}{more}; put back the log as it was"
        )
    for witness in found:
        _require_later(entries[witness.said.length :], witness)


def _require_later(since: Sequence[LogEntry], witness: Witness) -> None:
    """Checks that entries which a record did not see yet are not stamped before it.

    Raises:
        LogError: names the first that is, the record, and both times.
    """
    try:
        recorded = datetime.fromisoformat(witness.time)
        earliest = recorded.astimezone(UTC) - CLOCKS_APART
    except (ValueError, OverflowError) as error:
        raise LogError(f"{witness.journal}, {witness.place}: no such time; put back the record as it was") from error
    if recorded.tzinfo is None:
        raise LogError(f"{witness.journal}, {witness.place}: a time without a zone; put back the record as it was")
    for entry in since:
        if datetime.fromisoformat(entry.stamp) < earliest:
            raise LogError(
                f"{LOG}, entry {entry.n} ({entry.stock} from {entry.last_bar}): stamped {entry.stamp}, but at "
                f"{recorded.isoformat()} the log had {witness.said.length} entries, says {witness.journal}, "
                f"{witness.place}: it was dated back; put back the log as it was"
            )


def _why(entries: Sequence[LogEntry], said: LogHead) -> str | None:
    if said.length < 1:
        return "no log has so few"
    if len(entries) < said.length:
        return f"has {len(entries)} now: its end was cut off"
    here = entries[said.length - 1].digest
    return None if here == said.head else f"entry {said.length} has the digest {here[:16]} now: it was written anew"
