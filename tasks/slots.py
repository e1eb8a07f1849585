"""Allows one stage per accelerator: a file lock enforces it, a Prefect concurrency limit shows it in the UI.

The file lock is what keeps two stages apart on a machine: the system frees it in the moment its holder ends. Prefect's
slot is held beside it, so that the UI shows who computes, and so that a person can hold back new stages by lowering the
limit to 0. A killed run leaves its slot taken until a lease runs out, or for ever if the server was restarted in
between; whoever has the file lock knows that nobody holds the slot, and frees it.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException

from stonk_pipeline.errors import BusyError
from stonk_pipeline.files import locks


def limit_name(device: str) -> str:
    """Names a device's concurrency limit: `accelerator:myhost:0`."""
    return f"accelerator:{socket.gethostname()}:{device}"


def ensure_limits(devices: list[str]) -> None:
    """Creates the devices' limits where they are missing; one that a person has changed stays as it is."""
    with get_client(sync_client=True) as client:
        for device in devices:
            _ensure(client, limit_name(device))


def _ensure(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # another run was quicker
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))


@contextmanager
def occupied(devices: list[str], holder: str, *, wait: float, say: Callable[[str], None]) -> Iterator[tuple[int, ...]]:
    """Holds devices for a stage; gives the descriptors of their file locks, for the child that computes.

    Raises:
        BusyError: one was held for longer than `wait` seconds.
    """
    with ExitStack() as stack:
        descriptors = stack.enter_context(locks.accelerator(devices, holder, wait=wait, say=say))
        for device in devices:
            stack.enter_context(_slot(device, wait, say))
        yield descriptors


@contextmanager
def _slot(device: str, wait: float, say: Callable[[str], None]) -> Iterator[None]:
    name = limit_name(device)
    with get_client(sync_client=True) as client:
        _ensure(client, name)
        limit = client.read_global_concurrency_limit_by_name(name)
        if limit.limit == 1 and limit.active_slots:
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
        elif limit.active and limit.limit <= limit.active_slots:
            say(
                f"waiting for a slot of Prefect's limit {name!r}, {limit.active_slots} of {limit.limit} are taken, "
                f"for at most {locks.span(wait)} ({locks.SETTING} changes that)"
            )
    with ExitStack() as stack:
        try:
            # A lease that cannot be renewed must not end hours of training: the file lock holds.
            slot = concurrency(name, timeout_seconds=wait, strict=True, raise_on_lease_renewal_failure=False)
            stack.enter_context(slot)
        except TimeoutError as error:
            raise BusyError(
                f"no slot of Prefect's limit {name!r} was free in {locks.span(wait)}; see its page, or wait longer: "
                f"{locks.SETTING}"
            ) from error
        yield
        try:
            stack.close()
        except (httpx.HTTPError, PrefectException) as error:
            say(f"the slot of {name!r} could not be given back ({error}); the next stage frees it")
