"""Notes length and last digest of the forward log for other records, so that a rewritten log is noticed.

Who cuts off the log's end, or writes all of it anew, would have to change those journals as well; `verify` compares.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import LogError
from stonk_pipeline.files import journal
from stonk_pipeline.records.forward_log import LOG


class LogHead(BaseModel):
    """Length and last digest of a forward log at a moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    """The log's file, seen from the folder of the journal that keeps this: both may move together."""
    length: int
    """Entries."""
    head: str
    """Digest of the last one."""


def head_of(forecasts_dir: str | Path, journal_dir: Path) -> LogHead | None:
    """Returns length and last digest of a forward log; None where there is no entry, or none that can be read.

    Args:
        forecasts_dir: folder of the log.
        journal_dir: folder of the journal that will keep it.
    """
    path = Path(forecasts_dir) / LOG
    try:
        lines = journal.read(path)
        if not lines:
            return None
        with path.open("rb") as stream:
            os.fsync(stream.fileno())  # after a power cut, no journal may know an entry that the log has not
        seen = os.path.relpath(path.resolve(), journal_dir.resolve())
        return LogHead(log=seen, length=len(lines), head=lines[-1].record["digest"])
    except (LogError, OSError, KeyError, ValueError):  # of a damaged log, `verify` tells; an ingest goes on
        return None
