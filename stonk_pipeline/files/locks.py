"""Locks run directories and accelerators with file locks (flock), which the system frees when a process dies.

A lock's file stays behind, empty of meaning: what counts is whether a process holds it. Its text names the last holder.
A file that says anything else is somebody's, and is neither held nor written to.
"""

import fcntl
import logging
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stonk_pipeline.errors import BusyError, ConfigError
from stonk_pipeline.files.folders import is_running

LOCKS = "STONK_LOCKS"
"""Environment variable: where locks lie that belong to no run, if not in a folder of this user's in `/tmp`."""
POLL_SECONDS = 0.5
SHORTEST_POLL = 0.01
"""Seconds between two tries at the beginning of a wait; twice as long each time, up to `POLL_SECONDS`."""
HOLDER = re.compile(rb"process (\d+), ")
CPU = "cpu"
"""Name of the device of a machine without a GPU."""
SETTING = "--set wait_minutes=MINUTES"
"""How a person changes the wait for an accelerator."""


def _silent(message: str) -> None:
    del message


def on_stderr(message: str) -> None:
    """Says what a process waits for: on standard error, or where the process has its warnings go."""
    logging.getLogger(__name__).warning("%s", message)


@contextmanager
def held(
    path: Path,
    holder: str,
    busy: str,
    *,
    wait: float = 0.0,
    say: Callable[[str], None] = _silent,
    setting: str = "",
    quiet: float = 0.0,
) -> Iterator[int]:
    """Holds a lock while the block runs; gives its file descriptor, which a child that inherits it holds as well.

    Args:
        path: the lock's file, in a directory that exists.
        holder: what another process reads about the one that holds it.
        busy: what cannot be had while it is held elsewhere, for the message.
        wait: seconds to wait for it.
        say: receives one message when the wait begins.
        setting: how a person makes the wait longer or shorter, for the messages.
        quiet: seconds of waiting before the message.

    Raises:
        BusyError: it was held all the time; names the holder.
        ConfigError: the file is none of a lock.
    """
    with _one_of([path], holder, busy, wait, say, setting, quiet) as descriptor:
        yield descriptor


@contextmanager
def _one_of(
    paths: Sequence[Path],
    holder: str,
    busy: str,
    wait: float,
    say: Callable[[str], None],
    setting: str,
    quiet: float = 0.0,
) -> Iterator[int]:
    descriptors = [open_file(path) for path in paths]
    try:
        descriptor = _acquire(descriptors, busy, wait, say, setting, quiet)
        for other in descriptors:
            if other != descriptor:
                os.close(other)
        descriptors = [descriptor]
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, {holder}".encode(), 0)
        yield descriptor
    finally:
        for each in descriptors:
            os.close(each)


def _acquire(
    descriptors: Sequence[int], busy: str, wait: float, say: Callable[[str], None], setting: str, quiet: float
) -> int:
    """Locks the first of several files that is free."""
    begun, pause = time.monotonic(), SHORTEST_POLL
    said = False
    while True:
        for descriptor in descriptors:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                holder = _holder(descriptor)
        waited = time.monotonic() - begun
        if waited >= wait:
            after = f" after {waited:.0f} s of waiting" if wait else ""
            longer = f", or wait longer: {setting}" if setting else ""
            raise BusyError(f"{busy} is held by {holder}{after}; wait for it, or stop it, and try again{longer}")
        if not said and waited >= quiet:
            change = f" ({setting} changes that)" if setting else ""
            say(f"waiting for {busy}, held by {holder}, for at most {span(wait)}{change}")
            said = True
        time.sleep(min(pause, wait - waited))
        pause = min(2 * pause, POLL_SECONDS)


def _holder(descriptor: int) -> str:
    """Who holds a lock, as its file says: its last holder, unless that one has ended and another has not said so."""
    text = os.pread(descriptor, 500, 0)
    found = HOLDER.match(text)
    if found is None:
        return "another process"
    if is_running(int(found.group(1))):
        return text.decode(errors="replace")
    return f"a process that does not say its name (process {int(found.group(1))}, which held it last, has ended)"


def span(seconds: float) -> str:
    """Words a time span for people: `30 s`, `1,440 minutes`."""
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:,.0f} minutes"


@contextmanager
def tried(path: Path) -> Iterator[bool]:
    """Holds a lock while the block runs, if it is free; gives whether it is held now."""
    with os.fdopen(open_file(path), "r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def is_held(path: Path) -> bool:
    """Tells whether a process holds a lock at this moment."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def open_file(path: Path) -> int:
    """Opens a lock's file, making it where it is missing. A link is not followed: it leads to another's file.

    Raises:
        ConfigError: there is something else than the file of a lock.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder, where the file of a lock is to be; move it away") from None
    own = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if own:
        text = os.pread(descriptor, 500, 0)
        own = not text or HOLDER.match(text) is not None
    if not own:
        os.close(descriptor)
        raise ConfigError(f"{path}: not the file of a lock, which this project writes there; move it away")
    return descriptor


def lock_file(name: str) -> Path:
    """Returns the path of this user's lock of a name on this machine.

    Raises:
        ConfigError: the folder of this user's locks is another user's, or others may write there: they could hold
            the locks for ever.
    """
    chosen = os.environ.get(LOCKS)
    if chosen:
        directory = Path(chosen)
        directory.mkdir(parents=True, exist_ok=True)
    else:
        directory = Path(tempfile.gettempdir()) / f"stonk-pipeline-{os.getuid()}"
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise ConfigError(
                f"{directory}: not a folder that you alone can write to, so others could hold your locks; remove it, "
                f"or name another one: export {LOCKS}=DIRECTORY"
            )
    safe = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in name)
    return directory / f"stonk-pipeline-{os.getuid()}-{safe}.lock"


def accelerators(cuda_devices: str | None) -> list[str]:
    """Lists the devices that a stage computes on: `["0", "1"]`, or `["cpu"]` on a machine without a GPU.

    Args:
        cuda_devices: value of CUDA_VISIBLE_DEVICES; None takes the shell's, and without one all devices count.
    """
    chosen = cuda_devices if cuda_devices is not None else os.environ.get("CUDA_VISIBLE_DEVICES")
    command = shutil.which("nvidia-smi")
    if chosen == "" or command is None:
        return [CPU]
    if chosen is not None:
        return sorted({part.strip() for part in chosen.split(",") if part.strip()}) or [CPU]
    listed = subprocess.run([command, "-L"], capture_output=True, text=True, check=False).stdout
    return [str(index) for index, line in enumerate(listed.splitlines()) if line.startswith("GPU ")] or [CPU]


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
            lock = held(path, holder, busy, wait=wait, say=say, setting=SETTING)
            descriptors.append(stack.enter_context(lock))
        yield tuple(descriptors)


def cores() -> int:
    """Counts the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def cpu_share(holder: str, *, wait: float = 0.0, say: Callable[[str], None] = _silent) -> Iterator[None]:
    """Holds one of as many CPU shares as there are cores, for work that is too small to keep others waiting.

    A training takes the CPU (`accelerator`) and leaves the shares free; neither waits for the other.

    Raises:
        BusyError: all shares were held for longer than `wait` seconds.
    """
    count = cores()
    paths = [lock_file(f"cpu-share-{number}") for number in range(1, count + 1)]
    with _one_of(paths, holder, f"a share of the CPU ({count} in all)", wait, say, SETTING):
        yield
