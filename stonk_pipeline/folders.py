"""Folders that the project replaces and empties: those that bear its own mark, and never what a link leads to."""

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from stonk_pipeline.errors import PipelineError

LEFTOVER = re.compile(r"\..+\.(\d+)\.(?:tmp|new|old)")
"""Name of a file or folder that a writer of that process number had not yet put in its place."""
AT_FDCWD = -100
RENAME_EXCHANGE = 2
"""From Linux's `fcntl.h`; Python has no call for it."""


def remove(path: Path) -> None:
    """Removes a file, a folder with all that is in it, or a link; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require_own(
    directory: Path, own: bool, kind: type[PipelineError], remedy: str, spared: Collection[str] = ()
) -> None:
    """Refuses a directory that is about to be emptied or replaced and is not the project's own.

    Args:
        directory: may be missing, or empty.
        own: whether it bears the mark of what the project makes there.
        kind: class of the error.
        remedy: what to do, for the message.
        spared: names in it that may be anybody's, since they are left alone.

    Raises:
        PipelineError: of that kind; it is a link or a file, or it holds what the project has not made.
    """
    if directory.is_symlink():
        raise kind(f"{directory}: a link to {os.readlink(directory)}, and nothing is deleted behind links; {remedy}")
    if directory.exists() and not directory.is_dir():
        raise kind(f"{directory}: a file, where a folder is to be; {remedy}")
    if own or not directory.is_dir():
        return
    names = sorted(path.name for path in directory.iterdir())
    foreign = [name for name in names if name not in spared and not LEFTOVER.fullmatch(name)]
    if foreign:
        raise kind(f"{directory}: holds {foreign[0]}, which this project has not put there; {remedy}")


def replace(new: Path, target: Path) -> None:
    """Puts a finished folder in the place of another one, which goes when the new one stands.

    On Linux the two change names at one stroke, so that whoever looks there finds one of them, whole. Elsewhere a
    process that is killed between two renames leaves neither there, until it is tried again.
    """
    if _exchange(new, target):
        remove(new)  # by now the one before
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists() or target.is_symlink():
        target.rename(old)
    new.rename(target)
    remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Has two paths change names; False if one is not there, or the file system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return call is not None and call(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0


def sweep(directory: Path) -> None:
    """Removes what writers that were killed had not yet put in its place. The caller holds the directory's lock."""
    for path in directory.glob(".*.*"):
        found = LEFTOVER.fullmatch(path.name)
        if found and not _is_running(int(found.group(1))):
            remove(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
