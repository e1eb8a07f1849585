"""Appends JSON records to files that only grow, one a line, and drops a line that a killed writer left torn.

A writer that is killed leaves at most a torn last line: the beginning of a record, after whole ones. Nobody was told
that it had been written, so readers pass over it and the next writer removes it. A last record that lacks its line feed
alone is kept. Whatever else there is was not left by a writer, and nothing is cut off or added.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline.errors import LogError, PipelineError
from stonk_pipeline.files import folders, locks
from stonk_pipeline.files.untrusted import MEGABYTE, check_plain, parse_json, read_bytes

Record = dict[str, Any]
LARGEST_LOG = 256 * MEGABYTE
WAIT_SECONDS = 60.0
"""For the lock of a directory: what is done under it takes a moment."""
QUIET_SECONDS = 2.0
"""After which a wait is said."""
AWAY = "move the file away, or take that line out of it"
TORN = re.compile(r"|t|tr|tru|f|fa|fal|fals|n|nu|nul|-|\.|[eE][-+]?")
"""What the end of a line that was torn outside of a text may be, from where the reader of JSON finds it wrong."""


class Line(NamedTuple):
    """One line of a journal."""

    number: int
    """From 1."""
    record: Record


class Kind(NamedTuple):
    """Tells one kind of journal from another."""

    fail: type[PipelineError] = LogError
    """Kind of error that is raised for a damaged one."""
    remedy: str = "put back the line as it was"
    begins: bytes = b'{"'
    """How each record begins."""


PLAIN = Kind()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a directory's `.lock`, waiting a while for its holder; the system frees it when the process ends.

    What an earlier holder was killed before it could put in its place is removed.

    Raises:
        BusyError: another process held it all the time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock, busy = directory / ".lock", f"{directory}: the right to write there"
    with locks.held(lock, "writing", busy, wait=WAIT_SECONDS, say=locks.on_stderr, quiet=QUIET_SECONDS):
        folders.sweep(directory)
        yield


def read(path: Path, kind: Kind = PLAIN) -> list[Line]:
    """Reads the records of a journal, oldest first; none if there is no file. A torn last line is passed over.

    Raises:
        PipelineError: `kind.fail`: another line is no record, or the end is none that a writer left.
    """
    return _parse(path, _whole(path, kind), kind)


def append(path: Path, record: Record | bytes, kind: Kind = PLAIN) -> None:
    """Adds a record, and returns when it is on the disk. The caller holds the lock of the directory.

    Args:
        path: the journal.
        record: what to add; bytes are the line as it is to be written.
        kind: of journal.

    Raises:
        PipelineError: `kind.fail`: the file holds a line that is no record: nothing is added to a damaged journal; or
            it is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = _whole(path, kind)
    _parse(path, whole, kind)
    line = record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    if path.is_symlink():
        raise kind.fail(f"{path}: a link to {os.readlink(path)}, and nothing is written behind links; remove the link")
    with path.open("r+b" if path.exists() else "xb") as stream:
        stream.seek(len(whole))
        stream.truncate()
        gap = b"" if not whole or whole.endswith(b"\n") else b"\n"
        stream.write(gap + line + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    _sync_directory(path.parent)


def _whole(path: Path, kind: Kind) -> bytes:
    """A file's content without a torn last line; a last line that lacks nothing but its line feed is kept."""
    try:
        content = read_bytes(path, kind.fail, kind.remedy, LARGEST_LOG)
    except FileNotFoundError:
        return b""
    head, feed, tail = content.rpartition(b"\n")
    if not tail or _is_record(tail):
        return content
    if not (kind.begins.startswith(tail) or (tail.startswith(kind.begins) and _is_torn(tail))):
        number = content.count(b"\n") + 1
        raise kind.fail(f"{path}, line {number}: neither a record nor the beginning of one; {AWAY}")
    return head + feed


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(parse_json(line, "", LogError, ""), dict)
    except LogError:
        return False


def _is_torn(line: bytes) -> bool:
    """Whether a line is JSON up to its end, which is missing."""
    text = re.sub("\ufffd+$", "", line.decode(errors="replace"))  # cut within a character
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated string") or TORN.fullmatch(text, error.pos) is not None
    except (ValueError, RecursionError):  # thousands of digits or brackets
        return False
    return False


def _parse(path: Path, content: bytes, kind: Kind) -> list[Line]:
    lines = []
    for number, raw in enumerate(content.splitlines(), start=1):
        place = f"{path}, line {number}"
        record = parse_json(raw, place, kind.fail, kind.remedy)
        if not isinstance(record, dict):
            raise kind.fail(f"{place}: not a record; {kind.remedy}")
        try:
            check_plain(record)
        except ValueError as error:
            raise kind.fail(f"{place}: {error}; {kind.remedy}") from error
        lines.append(Line(number, record))
    return lines


def _sync_directory(directory: Path) -> None:
    """Makes a new file's name survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
