"""Files that only ever grow: one JSON record a line, written whole or not at all, by one writer at a time.

A writer that is killed leaves at most a torn last line. Nobody was told that it had been written, so readers pass over
it and the next writer removes it.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline import folders, locks
from stonk_pipeline.errors import LogError
from stonk_pipeline.untrusted import MEGABYTE, check_plain, parse_json, read_bytes

Record = dict[str, Any]
REMEDY = "put back the line as it was"
LARGEST_LOG = 256 * MEGABYTE


class Line(NamedTuple):
    """One line of a journal."""

    number: int
    """From 1."""
    record: Record


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a directory's `.lock`, waiting for whoever has it; the system lets go of it when the process ends.

    What an earlier holder was killed before it could put in its place is removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(locks.open_file(directory / ".lock"), "r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        folders.sweep(directory)
        yield


def read(path: Path) -> list[Line]:
    """The records of a journal, oldest first; none if there is no file. A torn last line is passed over.

    Raises:
        LogError: another line is no record.
    """
    return _parse(path, _whole(path))


def append(path: Path, record: Record) -> None:
    """Adds a record, and returns when it is on the disk. The caller holds the lock of the directory.

    Raises:
        LogError: the file holds a line that is no record: nothing is added to a damaged journal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _whole(path)
    _parse(path, content)
    line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("r+b" if path.exists() else "xb") as stream:
        stream.seek(len(content))
        stream.truncate()
        gap = b"" if not content or content.endswith(b"\n") else b"\n"
        stream.write(gap + line.encode())
        stream.flush()
        os.fsync(stream.fileno())
    _sync_directory(path.parent)


def _whole(path: Path) -> bytes:
    """A file's content without a torn last line; a last line that lacks nothing but its line feed is kept."""
    try:
        content = read_bytes(path, LogError, REMEDY, LARGEST_LOG)
    except FileNotFoundError:
        return b""
    head, feed, tail = content.rpartition(b"\n")
    if not tail:
        return content
    try:
        whole = isinstance(parse_json(tail, path, LogError, REMEDY), dict)
    except LogError:
        whole = False
    return content if whole else head + feed


def _parse(path: Path, content: bytes) -> list[Line]:
    lines = []
    for number, raw in enumerate(content.splitlines(), start=1):
        record = parse_json(raw, f"{path}, line {number}", LogError, REMEDY)
        if not isinstance(record, dict):
            raise LogError(f"{path}, line {number}: not a record; {REMEDY}")
        try:
            check_plain(record)
        except ValueError as error:
            raise LogError(f"{path}, line {number}: {error}; {REMEDY}") from error
        lines.append(Line(number, record))
    return lines


def _sync_directory(directory: Path) -> None:
    """Makes a new file's name survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
