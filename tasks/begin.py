"""Begins a flow run: makes or reopens its directory, sends its log there, and starts its guard."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.estimates.fit import require_room
from stonk_pipeline.files import roots
from stonk_pipeline.pipeline.base_model import settled
from stonk_pipeline.pipeline.publishing import require_publishable
from stonk_pipeline.pipeline.run import LOG, Run, alone_in, new_directory
from stonk_pipeline.runs import child
from stonk_pipeline.training.tracking import require_tracker
from tasks import guard, server
from tasks.summaries import settings

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
SERVED = "PREFECT__FLOW_RUN_ID"
"""Set by Prefect in a process that `serve` or a worker started for one run."""
opened: Path | None = None
"""Directory of the run that this process works on."""
WAIT_SECONDS = 10
_taken: Path | None = None
_held = ExitStack()
"""The lock on the run's directory; a second run in this process takes its place, the process's end lets go of it."""


def begin_run(config: RunConfig) -> Run:
    """Makes the run's directory, or reopens it in a retry, takes it for this process, and sends the run's log there.

    All settings of the run become its first artifact.

    The directory is named after the flow run's scheduled start (UTC) and the head of its id, as in
    `AAPL_20261121-004500-1a2b`. Both are the same in a retry; the id keeps two runs of one second apart.

    Raises:
        BusyError: another process works on this run.
        CapacityError: the model needs more memory than this machine has.
        ConfigError: there is no such model, it cannot be trained, or a path lies outside of the served folders.
        EngineError: the tracker that trainings are to report to is not installed.
        DownloadError: the model is not on this machine, and its hub cannot be asked.
        StageError: something else lies there, or where an adapter is published.
    """
    roots.check(config)
    require_tracker(config.report_to)
    start = flow_run.scheduled_start_time
    new = new_directory(config, f"{start:%Y%m%d-%H%M%S}-{str(flow_run.id)[:4]}")
    directory = Path(config.run_dir) if config.run_dir else new
    config = settled(config, directory)  # in a terminal it was asked before; a form's name is looked at here first
    for warning in require_room(config, contract_of(config)):
        get_run_logger().warning("%s", warning)
    guard_run()
    take(directory, f"flow run {flow_run.name}")
    run = write_run(directory, config)
    global opened
    if opened != run.directory:  # a retraining has begun its run before its flow does
        create_markdown_artifact(key="settings", markdown=settings(config), description="Settings of the run")
    opened = run.directory
    for each, step in run.steps():
        require_publishable(each, step)
    _write_log(run)
    return run


def take(directory: Path, holder: str) -> None:
    """Locks a run's directory until this process ends, or until it takes another one.

    Raises:
        BusyError: another process works on this run.
        StageError: the directory holds what is not a run's.
    """
    global _taken
    if directory.resolve() != _taken:
        _held.close()
        _taken = None
        _held.enter_context(alone_in(directory, holder, wait=WAIT_SECONDS))
        _taken = directory.resolve()


def guard_run() -> None:
    """Ties this process to the one that started it, and has a guard tell the server if it is killed."""
    run_id = str(flow_run.id)
    if os.environ.get(SERVED) == run_id:
        child.die_with(os.getppid())
    guard.hold(run_id)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(run_id))
        if guard.here() not in run.tags:
            client.update_flow_run(run.id, tags=[*run.tags, guard.here()])
    url = PREFECT_API_URL.value()
    guard.watch(run_id, run.run_count, None if url in server.own else url)


def _write_log(run: Run) -> None:
    handler = logging.FileHandler(run.directory / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for old in [old for old in logger.handlers if isinstance(old, logging.FileHandler)]:
            logger.removeHandler(old)  # a run before this one, in the same process
        logger.addHandler(handler)
