"""Kills a writer at every instant at which it changes a file, and looks at what is left before and after a retry."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree", "shutil.copyfile"}


def die_at(instant: int) -> Callable[[], int]:
    """Has this process killed before it changes a file for the n-th time; gives a counter of such changes."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        flags = arguments[2] if event == "open" else 0
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            seen += 1
            if seen == instant:
                os.kill(os.getpid(), 9)

    sys.addaudithook(hook)
    return lambda: seen


def kill_at_every_instant(
    prepare: Callable[[Path], object],
    act: Callable[[Path], object],
    look: Callable[[Path], object],
    finish: Callable[[Path], object],
    root: Path,
) -> int:
    """Kills `act` once at each instant, in a process of its own; to be called where no other thread runs.

    Args:
        prepare: makes a new folder ready.
        act: what is killed, and what is tried again afterwards in the same folder.
        look: checks what a kill left, before anything is tried again.
        finish: checks what is there after the second try.
        root: where the folders are made.

    Returns:
        How many kills there were.
    """
    kills = 0
    while True:
        folder = root / str(kills)
        folder.mkdir()
        prepare(folder)
        child = os.fork()
        if child == 0:
            die_at(kills + 1)
            act(folder)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -9), code
        look(folder)
        act(folder)
        finish(folder)
        if code == 0:
            return kills
        kills += 1
