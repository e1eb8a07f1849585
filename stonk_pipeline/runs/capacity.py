"""Recognises out-of-memory and full-disk errors of any library and says which setting to lower."""

import errno
import os
import shutil
from pathlib import Path

from stonk_pipeline.errors import CapacityError

FULL_BYTES = 1 << 20
_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "no available memory for the cache",
    "less than desired gpu memory",
)


def explain(error: BaseException, step: str, run_dir: Path, smaller: str) -> CapacityError | None:
    """Says what to do about an out-of-memory or full-disk error; returns None for any other error.

    Args:
        error: what was raised.
        step: in which it was.
        run_dir: directory of the run.
        smaller: what makes the step need less memory (`Step.smaller`).
    """
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, OSError) and found.errno in (errno.ENOSPC, errno.EDQUOT):
            return CapacityError(_disk(step, run_dir, found))
        if _is_memory(found):
            first = str(found).strip().splitlines()[0] if str(found).strip() else type(found).__name__
            return CapacityError(f"{step}: out of memory ({first:.200}); {smaller}")
        if "No space left on device" in str(found):  # from libraries that write in Rust or C++
            return CapacityError(_disk(step, run_dir, found))
        found = found.__cause__ or found.__context__
    full = shutil.disk_usage(run_dir).free < FULL_BYTES  # torch names no reason when a write fails
    return CapacityError(_disk(step, run_dir, error)) if full else None


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | ValueError) and any(words in str(error).lower() for words in _MEMORY)


def _disk(step: str, run_dir: Path, error: BaseException) -> str:
    place = _place(error) or run_dir
    there = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e6
    return (
        f"{step}: the disk is full ({place}; {free:.0f} MB free); make room and run it again: "
        "stages that are done stay done, a training goes on from its last whole checkpoint"
    )


def _place(error: BaseException) -> Path | None:
    """What could not be written, where the error tells: it need not lie on the run's disk."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of each file that was not copied
        return Path(error.args[0][0][1]).absolute()
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return Path(os.fsdecode(name)).absolute() if isinstance(name, str | bytes) else None


def killed_hint(smaller: str) -> str:
    """Says what to do when a step was killed without a message; `smaller` lowers its memory (`Step.smaller`)."""
    return f"if nobody stopped it, the system ran out of memory: {smaller}"
