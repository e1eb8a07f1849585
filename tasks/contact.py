"""Checks that the Prefect server answers before a run, and sends what is left to it, within a limit, afterwards.

Prefect sends log lines and events in the background. When the process ends, it waits until all of them are sent, and
tries for about a minute to reach a server that is gone by then. So they are sent while the server is still there,
within a set time; what cannot be sent is dropped. A run's own `pipeline.log` has every line all the same.
"""

import asyncio
import atexit
import concurrent.futures
import gc
import logging
from typing import Any

import httpx

from stonk_pipeline.errors import StartError

PATIENCE_SECONDS = 2.0
"""For a server that answers slowly, or no longer."""
LETTING_GO_SECONDS = 0.5
ANSWER_SECONDS = 5.0
"""For a server to say that it is there: its connection, however often that is tried, and its answer."""


def require_answer() -> str:
    """Checks that a Prefect API answers at PREFECT_API_URL, before Prefect tries for a minute; gives the address.

    Raises:
        StartError: nobody answers in time, it refuses, or it is something else.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_CLOUD_API_URL

    from preprocessing.ingest.fetching import public

    url = str(PREFECT_API_URL.value())
    named = f"PREFECT_API_URL={public(url)}"
    remedy = "unset PREFECT_API_URL (prefect config unset PREFECT_API_URL) and the run starts one for itself"
    try:
        answer = asyncio.run(_asked())
    except TimeoutError:
        trouble = f"nothing within {ANSWER_SECONDS:g} s"
        raise StartError(f"{named}: no server answers there ({trouble}); start it anew, or {remedy}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise StartError(f"{named}: no server answers there ({error}); start it, or {remedy}") from error
    if answer.status_code in (401, 403):
        said = " ".join(answer.text.split())[:200]
        raise StartError(
            f"{named}: the server refuses this process (status {answer.status_code}: {said}); if it has a password, "
            'set PREFECT_API_AUTH_STRING="user:password"'
        )
    cloud = url.startswith(PREFECT_CLOUD_API_URL.value())  # whose words are not known here
    if answer.status_code != 200 or not (cloud or _is_json(answer)):
        raise StartError(
            f"{named}: what answers there is not a Prefect API (status {answer.status_code}); its address ends in "
            f"/api, as http://127.0.0.1:4200/api; or {remedy}"
        )
    return url


async def _asked() -> httpx.Response:
    """What the server says about its health, asked as Prefect asks: with its password, certificates and headers."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with asyncio.timeout(ANSWER_SECONDS), get_client() as client:
            try:
                return await client.request("GET", "/health")
            except httpx.HTTPStatusError as error:
                return error.response


def _is_json(answer: httpx.Response) -> bool:
    """Whether it is; pages of the UI answer to every path, so that the status alone shows nothing."""
    try:
        answer.json()
    except ValueError:
        return False
    return True


SENDERS = ("prefect._internal.concurrency", "prefect.events.clients", "APILogWorker", "EventsWorker")
"""Loggers in which senders say that they could not send."""


def listen() -> None:
    """Sends log lines to the server again, where an earlier run in the same process had ended that (`take_leave`)."""
    from prefect.logging.handlers import set_api_log_sink

    set_api_log_sink(None)
    _heed(True)


def _heed(senders: bool) -> None:
    """Shows what senders say of their troubles, or keeps it from the terminal, where it would stand below the remedy.

    A sender that cannot reach the server writes so to standard error itself while `logging.raiseExceptions` holds.
    """
    logging.raiseExceptions = senders
    for name in SENDERS:
        logging.getLogger(name).disabled = not senders


def take_leave(patience: float = PATIENCE_SECONDS) -> int:
    """Sends what waits to be sent, and nothing from then on; counts the senders that had to be stopped.

    What could not be sent is dropped without a word: nothing is printed by a sender from here on.

    Args:
        patience: seconds for the sending.
    """
    from prefect.logging.handlers import set_api_log_sink

    set_api_log_sink(lambda line: None)
    _heed(False)
    atexit.register(gc.freeze)  # or Python looks through a million objects before the prompt is back: 0.7 s, not 0.1
    senders = awaited()
    tasks = [sender._task for sender in senders]  # a sender that is told to end forgets its own
    ends = [sender._drain(at_exit=True) for sender in senders]
    concurrent.futures.wait(ends, timeout=patience)
    stopped = 0
    for sender, task, end in zip(senders, tasks, ends, strict=True):
        if not end.done() and task is not None:
            stopped += 1
            sender._loop.call_soon_threadsafe(_stop, task)
    if stopped:
        concurrent.futures.wait(ends, timeout=LETTING_GO_SECONDS)
    return stopped


def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()


def awaited() -> list[Any]:
    """Lists the senders that Python would wait for at the end of this process.

    Prefect 3.7 has no public list of them; `test_take_leave_*` notice if a later version keeps them elsewhere.
    """
    from prefect._internal.concurrency import services

    started: list[Any] = [one for one in list(services._active_services) if one._started]
    return [one for one in started if not one._done_event.is_set()]
