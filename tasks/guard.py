"""Guards a run with a second process, which tells the server that the run has crashed when it is killed.

Prefect notices the death of a run that `serve` or a worker started; nobody notices that of a run from the command line,
or of a run whose `serve` died with it, and both would stay "running" for ever. The guard is a process of its own that
reads from a pipe. The pipe ends when the run's process does; if the run has not said goodbye before, it was killed. The
guard imports nothing large until then.
"""

import atexit
import json
import logging
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from stonk_pipeline.files import locks

GOODBYE = "goodbye"
PATIENCE_SECONDS = 3600
"""How long a guard tries to reach a server that is away."""
OTHERS_FIRST_SECONDS = 2.0
"""`serve` and workers report a crash themselves, and know the signal."""
GOODBYE_SECONDS = 1.0
"""How long a process that ends waits for its guard to end first."""
RUNNER_LOG = "prefect.runner.process_manager"
_watched: set[tuple[str, int]] = set()
_held: set[str] = set()


def quiet_runner() -> None:
    """Keeps Prefect's runner from reporting, with a traceback, that a run has ended before it could be told to end.

    A runner of Prefect 3.7 that ends kills its runs twice, and finds the second time that there is no such process.
    """
    logging.getLogger(RUNNER_LOG).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ProcessLookupError)


def watch(run_id: str, run_count: int, api_url: str | None) -> None:
    """Starts a guard for a flow run of this process.

    Args:
        run_id: the flow run's.
        run_count: how often it was started; a retry is not the business of an earlier attempt's guard.
        api_url: of the server; None if there is none that outlives this process.
    """
    if (run_id, run_count) in _watched:
        return
    _watched.add((run_id, run_count))
    guard = subprocess.Popen(
        [sys.executable, "-m", "tasks.guard", json.dumps([run_id, run_count, api_url])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # whoever reads this process's output must not wait for the guard to end
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is not for the guard
    )

    def goodbye() -> None:
        assert guard.stdin is not None
        try:
            guard.stdin.write(GOODBYE.encode())
            guard.stdin.close()
        except OSError:
            return  # the guard is gone
        with suppress(subprocess.TimeoutExpired):
            guard.wait(GOODBYE_SECONDS)

    atexit.register(goodbye)


def hold(run_id: str) -> None:
    """Marks a flow run as being worked on, for as long as this process lives."""
    if run_id in _held:
        return  # a retry in this very process, or a flow that begins another's work
    path, lock = _lock(run_id), ExitStack()
    lock.enter_context(locks.held(path, "a run", f"flow run {run_id}", wait=10))
    _held.add(run_id)

    def let_go() -> None:
        path.unlink(missing_ok=True)
        lock.close()

    atexit.register(let_go)


def is_alive(run_id: str) -> bool:
    """Tells whether a process on this machine works on a flow run."""
    return locks.is_held(_lock(run_id))


def _lock(run_id: str) -> Path:
    """A file that is there from a run's beginning to its end, or until its death was told."""
    return locks.lock_file(f"run-{run_id}")


def here() -> str:
    """Returns the tag of flow runs on this machine."""
    return f"on:{socket.gethostname()}"


def recover(deployments: list[UUID]) -> list[str]:
    """Marks deployments' runs as crashed whose process and guard are gone, and returns their names.

    A guard does this while the machine is on. After a power cut nobody is left to do it but the next `serve`.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType

    lively = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    wanted = FlowRunFilter(state=FlowRunFilterState(type=lively), tags=FlowRunFilterTags(all_=[here()]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=wanted, deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments))
        )
        url = str(client.api_url)
    return [
        run.name for run in runs if not is_alive(str(run.id)) and crash(str(run.id), run.run_count, url, pending=True)
    ]


def main() -> None:
    """Waits for the end of the run's process, then reports if it has to."""
    words = sys.stdin.buffer.read()
    if words == GOODBYE.encode():
        return
    run_id, run_count, api_url = json.loads(sys.argv[1])
    time.sleep(OTHERS_FIRST_SECONDS)
    _report(run_id, run_count, api_url)


def _report(run_id: str, run_count: int, api_url: str | None) -> None:
    """Marks the run as crashed, when the server can be reached; on one of its own if the run had one of its own."""
    from tasks import access, server

    if api_url is None:
        with server.running(access.LOOPBACK, server.free_port(), ui=False) as own, access.used(own):
            crash(run_id, run_count, own)
        return
    until = time.monotonic() + PATIENCE_SECONDS
    while not server.is_healthy(api_url):
        if time.monotonic() > until or not _lock(run_id).exists():  # `serve` told the server before it ended it
            return
        time.sleep(1)
    crash(run_id, run_count, api_url)


def crash(run_id: str, run_count: int, api_url: str, *, pending: bool = False) -> bool:
    """Marks a flow run and its running tasks as crashed, unless it has ended or was started again; tells if it did."""
    if not is_alive(run_id):
        _lock(run_id).unlink(missing_ok=True)
    os.environ["PREFECT_API_URL"] = api_url
    from prefect import State
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.states import Crashed

    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(run_id))
        if run.state is None or run.run_count != run_count:
            return False
        # A run that is pending may be a retry of the one that was killed: it is counted when it begins to run.
        if not (run.state.is_running() or run.state.is_cancelling() or (pending and run.state.is_pending())):
            return False
        gone: State[Any] = Crashed(message="The run's process was killed.")
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
        for task in tasks:
            if task.state is not None and not task.state.is_final():
                client.set_task_run_state(task.id, gone, force=True)
        client.set_flow_run_state(run.id, gone, force=True)
    return True


if __name__ == "__main__":
    main()
