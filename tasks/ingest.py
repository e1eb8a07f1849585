"""Runs the tasks of an ingest: one a stock, then the record, the table in the UI, and the event."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from preprocessing.ingest import store
from preprocessing.ingest.sessions import last_final_day
from preprocessing.ingest.sources import make_source, source_name
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.files import roots
from stonk_pipeline.records.ingests import Change, Ingest
from tasks.automations import DATA_CHANGED, RESOURCE


def ingest(config: IngestConfig) -> Ingest:
    """Brings every stock up to date and records it; a stock that fails does not stop the others."""
    roots.check(config)
    now = datetime.now(UTC)
    with store.alone(Path(config.data_dir)):
        final = last_final_day(config.calendar, now, timedelta(minutes=config.close_delay_minutes))
        symbols = store.wanted_symbols(config)
        changes = [ingest_symbol.with_options(name=f"ingest-{symbol}")(config, symbol, final) for symbol in symbols]
        return store.record(Path(config.data_dir), source_name(config), changes, now, config.forecasts_dir)


# The source has its own retries, for transient faults alone.
@task(cache_policy=NO_CACHE, persist_result=False, retries=0)
def ingest_symbol(config: IngestConfig, symbol: str, final: date) -> Change:
    """Brings one stock up to date; a fault is in the result.

    Args:
        config: of the ingest.
        symbol: the stock.
        final: last day whose bar is final.
    """
    logger = get_run_logger()
    change = store.update(config, make_source(config), symbol, final)
    if change.failed is not None:
        logger.error("%s: %s", symbol, change.failed)
    else:
        logger.info("%s: %d added, %d unchanged, %d rows", symbol, change.added, change.unchanged, change.rows)
    if change.restated is not None:
        logger.warning("%s: history restated, %s", symbol, change.restated)
    return change


def announce(config: IngestConfig, done: Ingest) -> None:
    """Publishes the table of the ingest and, if any bars changed, one event however many stocks it concerns."""
    rows = [
        {
            "stock": change.symbol,
            "added": change.added,
            "restated": str(change.restated or ""),
            "unchanged": change.unchanged,
            "waiting": change.waiting,
            "last": change.last or "",
            "failed": change.failed or "",
        }
        for change in done.changes
    ]
    create_table_artifact(key="ingest", table=rows, description=f"{done.source}, store {done.digest[:12]}")
    if done.changed:
        digests = {change.symbol: change.after for change in done.changes if change.changed}
        emit_event(
            event=DATA_CHANGED,
            resource={"prefect.resource.id": f"{RESOURCE}.{done.digest}", "prefect.resource.name": config.data_dir},
            payload={"symbols": done.changed, "digests": digests, "data_dir": config.data_dir, "digest": done.digest},
        )


def final_state(done: Ingest) -> State[None]:
    """Returns Failed if every stock failed; else completed, with those that failed in the message."""
    reasons = "; ".join(f"{change.symbol}: {change.failed}" for change in done.changes if change.failed)
    added = sum(change.added for change in done.changes)
    text = f"{len(done.changed)} of {len(done.changes)} stocks changed, {added} bars added"
    if not reasons:
        return Completed(message=text)
    if len(done.failed) == len(done.changes):
        return Failed(message=f"every stock failed: {reasons}")
    return Completed(name="Warning", message=f"{text}; {len(done.failed)} failed: {reasons}")
