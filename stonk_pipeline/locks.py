"""File locks: one process in a directory, one stage on an accelerator. The system lets go when a holder ends, however.

A lock's file stays behind, empty of meaning: what counts is whether a process holds it. Its text names the last holder.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stonk_pipeline.errors import BusyError

LOCKS = "STONK_LOCKS"
"""Environment variable: where locks lie that belong to no run, if not among the system's temporary files."""
POLL_SECONDS = 0.5


def _silent(message: str) -> None:
    del message


@contextmanager
def held(
    path: Path, holder: str, busy: str, *, wait: float = 0.0, say: Callable[[str], None] = _silent
) -> Iterator[int]:
    """Holds a lock while the block runs; gives its file descriptor, which a child that inherits it holds as well.

    Args:
        path: the lock's file, in a directory that exists.
        holder: what another process reads about the one that holds it.
        busy: what cannot be had while it is held elsewhere, for the message.
        wait: seconds to wait for it.
        say: receives one message when the wait begins.

    Raises:
        BusyError: it was held all the time; names the holder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(descriptor, busy, wait, say)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {holder}".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, busy: str, wait: float, say: Callable[[str], None]) -> None:
    begun = time.monotonic()
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "another process"
        waited = time.monotonic() - begun
        if waited >= wait:
            after = f" after {waited:.0f} s of waiting" if wait else ""
            raise BusyError(f"{busy} is held by {holder}{after}; wait for it, or stop it, and try again")
        if not said:
            say(f"waiting for {busy}, held by {holder}")
            said = True
        time.sleep(min(POLL_SECONDS, wait - waited))


def is_held(path: Path) -> bool:
    """Whether a process holds a lock at this moment."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_file(name: str) -> Path:
    """Where this user's lock of a name lies on this machine."""
    directory = Path(os.environ.get(LOCKS) or tempfile.gettempdir())
    directory.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in name)
    return directory / f"stonk-pipeline-{os.getuid()}-{safe}.lock"


def accelerators(cuda_devices: str | None) -> list[str]:
    """Names of the devices that a stage computes on: `["0", "1"]`, or `["cpu"]` on a machine without a GPU.

    Args:
        cuda_devices: value of CUDA_VISIBLE_DEVICES; None takes the shell's, and without one all devices count.
    """
    chosen = cuda_devices if cuda_devices is not None else os.environ.get("CUDA_VISIBLE_DEVICES")
    command = shutil.which("nvidia-smi")
    if chosen == "" or command is None:
        return ["cpu"]
    if chosen is not None:
        return sorted({part.strip() for part in chosen.split(",") if part.strip()}) or ["cpu"]
    listed = subprocess.run([command, "-L"], capture_output=True, text=True, check=False).stdout
    return [str(index) for index, line in enumerate(listed.splitlines()) if line.startswith("GPU ")] or ["cpu"]


@contextmanager
def accelerator(
    devices: list[str], holder: str, *, wait: float = 0.0, say: Callable[[str], None] = _silent
) -> Iterator[tuple[int, ...]]:
    """Holds devices against every other stage of this user on this machine; gives the locks' file descriptors.

    Raises:
        BusyError: one was held for longer than `wait` seconds.
    """
    with ExitStack() as stack:
        descriptors = []
        for device in sorted(devices):  # always in one order, so that two of several devices cannot block each other
            path = lock_file(device)
            busy = f"accelerator {device!r} ({path})"
            descriptors.append(stack.enter_context(held(path, holder, busy, wait=wait, say=say)))
        yield tuple(descriptors)
