"""Replaces, empties and removes folders: only those that this project made, and never through a link.

What a writer makes before it stands in its place has a name that no other program gives (`beside`). A writer that was
killed leaves it there; the next one of that folder removes it, by its name and once its process has ended.
"""

import ctypes
import os
import re
import secrets
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from stonk_pipeline.errors import PipelineError

MARK = ".stonk-pipeline"
LEFTOVER = re.compile(re.escape(MARK) + r"-(\d+)-[0-9a-f]{12}-(.+)\.(?:tmp|new|old)", re.DOTALL)
"""Name of a file or folder that a writer of that process number had not yet put in its place, and what that is."""
LONGEST = 40
"""Characters of a name that the name of what is not yet in its place tells."""
AT_FDCWD = -100
RENAME_EXCHANGE = 2
"""From Linux's `fcntl.h`; Python has no call for it."""


def beside(target: Path, end: str) -> Path:
    """Makes a temporary name beside a file or folder that is being written or removed.

    Args:
        target: the file or folder.
        end: `tmp` for a file, `new` for a folder, `old` for what was there before.
    """
    return target.with_name(f"{MARK}-{os.getpid()}-{secrets.token_hex(6)}-{target.name[-LONGEST:]}.{end}")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all."""
    temporary = beside(path, "tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """Makes a temporary folder beside what is to be written, and removes it when the block ends."""
    new = beside(target, "new")
    new.mkdir(parents=True)
    try:
        yield new
    finally:
        remove(new)


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
    """Puts a finished folder in the place of another one, which is removed once the new one is there.

    On Linux the two change names at one stroke, so that whoever looks there finds one of them, whole. Elsewhere a
    process that is killed between two renames leaves neither there, until it is tried again.
    """
    if _exchange(new, target):
        remove(new)  # by now the one before
        return
    old = beside(target, "old")
    if target.exists() or target.is_symlink():
        target.rename(old)
    new.rename(target)
    remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Has two paths change names; False if one is not there, or the file system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return call is not None and call(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0


def leftovers(directory: Path, name: str | None = None) -> list[Path]:
    """Lists temporary files of writers that have ended: all of a folder, or those of one file or folder in it.

    None in what is a link: it leads to another's folder.
    """
    if directory.is_symlink() or not directory.is_dir():
        return []
    found = [(path, LEFTOVER.fullmatch(path.name)) for path in directory.glob(f"{MARK}-*")]
    return [
        path
        for path, mark in found
        if mark and not is_running(int(mark.group(1))) and (name is None or mark.group(2) == name[-LONGEST:])
    ]


def sweep(directory: Path, name: str | None = None) -> None:
    """Removes temporary files of writers that were killed (`leftovers`)."""
    for path in leftovers(directory, name):
        remove(path)


def is_running(process: int) -> bool:
    """Tells whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
