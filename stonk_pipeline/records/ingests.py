"""Records every ingest of bars as a line of `ingest.jsonl`, with the digest of each file before and after.

A line names each stock's file by its SHA-256 before and after. A stage's manifest names its inputs by the same digests,
so that what a model was trained on can be named, and put together again, from the record alone:

    python -m stonk_pipeline data --data-dir bars                            # every ingest
    python -m stonk_pipeline data --data-dir bars --digest 3f2a9c01          # the ingest that wrote this file
    python -m stonk_pipeline data --data-dir bars --run-dir results/ALL_...  # the ingests behind a run's bars
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import DataError
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import reason
from stonk_pipeline.records.heads import LogHead
from stonk_pipeline.runs.manifest import file_digest, json_digest, read_manifest

LOG = "ingest.jsonl"
HISTORY = "history"
KIND = journal.Kind(DataError, "restore the file from a copy", b'{"time":"')


class Restatement(BaseModel):
    """Known bars that a source now gives differently."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["scaled", "corrected"]
    """`scaled`: all prices up to a day by one factor, as a split or a dividend does. `corrected`: anything else."""
    rows: int
    """Bars that differ, came in between, or are gone."""
    first: str
    last: str
    """First and last day concerned (ISO)."""
    ratio: float | None = None
    """New price / old price, if it is the same in all those rows."""

    def __str__(self) -> str:
        factor = f" by {self.ratio:.6g}" if self.ratio is not None else ""
        return f"{self.kind}{factor}: {self.rows} rows, {self.first} to {self.last}"


class Change(BaseModel):
    """The changes that an ingest made to one stock's bars."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    added: int = 0
    """Bars after the last known one."""
    restated: Restatement | None = None
    unchanged: int = 0
    """Known bars that came again without a difference beyond rounding."""
    waiting: int = 0
    """Bars left out because their session has not ended."""
    repairs: tuple[str, ...] = ()
    """What was repaired in the source's bars."""
    failed: str | None = None
    """Why nothing was taken."""
    rows: int = 0
    """Bars in the file after the ingest."""
    last: str | None = None
    """Day of its last bar."""
    before: str | None = None
    after: str | None = None
    """SHA-256 of the file before and after; None: there is none."""

    @property
    def changed(self) -> bool:
        """Tells whether the file has changed."""
        return self.before != self.after


class Ingest(BaseModel):
    """One line of the record."""

    model_config = ConfigDict(frozen=True)

    time: str
    """UTC, ISO 8601."""
    source: str
    changes: tuple[Change, ...]
    files: dict[str, str]
    """Symbol -> SHA-256 of every file of bars after the ingest."""
    digest: str
    """SHA-256 over `files`: names the whole folder."""
    forward: LogHead | None = None
    """What the forward log was then; None: there was none, or the record is from before such were kept."""

    @property
    def changed(self) -> list[str]:
        """Lists symbols whose bars changed."""
        return [change.symbol for change in self.changes if change.changed]

    @property
    def failed(self) -> list[str]:
        """Lists symbols of which nothing was taken."""
        return [change.symbol for change in self.changes if change.failed is not None]


def bars_digest(files: dict[str, str]) -> str:
    """Computes one digest for several files of bars, from symbol -> SHA-256."""
    return json_digest(files)


def append(data_dir: Path, ingest: Ingest) -> None:
    """Adds a line, and waits until it is on the disk. A line torn by a crash before is cut off first.

    Raises:
        DataError: the file holds what no ingest wrote, or is a link: nothing is changed.
    """
    read(data_dir)
    journal.append(data_dir / LOG, ingest.model_dump_json(exclude_defaults=True).encode(), KIND)


def read(data_dir: Path) -> list[Ingest]:
    """Reads all ingests, oldest first; a torn last line is left out.

    Raises:
        DataError: a line is not a record; names it.
    """
    path, found = data_dir / LOG, []
    for number, record in journal.read(path, KIND):
        try:
            found.append(Ingest.model_validate(record))
        except ValueError as error:
            why = f"not a record of an ingest ({reason(error)}); {KIND.remedy}"
            raise DataError(f"{path}, line {number}: {why}") from error
    return found


def find(data_dir: Path, digest: str) -> Iterator[tuple[Ingest, Change | None]]:
    """Finds the ingests that wrote a file with this SHA-256, or a folder with this digest.

    Args:
        data_dir: folder of bars.
        digest: all of it, or its first characters (8 at least).

    Returns:
        Pairs of an ingest and the change that wrote the file (None: the digest is the folder's), oldest first.

    Raises:
        DataError: the digest is too short.
    """
    if len(digest) < 8:
        raise DataError(f"{digest}: give at least 8 characters of the digest")
    for ingest in read(data_dir):
        for change in ingest.changes:
            if change.changed and change.after and change.after.startswith(digest):
                yield ingest, change
        if ingest.digest.startswith(digest) and ingest.changed:
            yield ingest, None


def restore(data_dir: Path, symbol: str, digest: str) -> bytes | None:
    """Restores an earlier file of a stock: from `history/`, or as the beginning of a later one; None if it is lost.

    New bars are appended, so an earlier file is the beginning of the next one unless history was restated, and then
    it was kept.
    """
    for path in [data_dir / f"{symbol}.csv", *sorted((data_dir / HISTORY).glob(f"{symbol}.*.csv"))]:
        if not path.is_file():
            continue
        content, running = path.read_bytes(), hashlib.sha256()
        end = 0
        for line in content.splitlines(keepends=True):
            running.update(line)
            end += len(line)
            if running.hexdigest() == digest:
                return content[:end]
    return None


def describe(data_dir: Path, digest: str | None = None, run_dir: Path | None = None) -> str:
    """Words the output of the `data` command: every ingest, or those behind a digest or a run.

    Raises:
        DataError: the record has no such digest.
    """
    if run_dir is not None:
        inputs = read_manifest(run_dir / "preprocessing").inputs
        return "\n".join(_origin(data_dir, symbol, sha) for symbol, sha in sorted(inputs.items()))
    if digest is None:
        return "\n".join(_line(ingest) for ingest in read(data_dir)) or f"{data_dir}: no ingest recorded"
    found = list(find(data_dir, digest))
    if not found:
        raise DataError(f"{data_dir / LOG}: no ingest wrote {digest}")
    return "\n".join(f"{_line(ingest)}\n  {_change(change) if change else ingest.digest}" for ingest, change in found)


def _origin(data_dir: Path, symbol: str, sha: str) -> str:
    found = list(find(data_dir, sha))
    if not found:
        return f"{symbol} {sha[:12]}: no ingest wrote it"
    return f"{symbol} {sha[:12]}: {found[-1][0].time} from {found[-1][0].source}"


def _line(ingest: Ingest) -> str:
    added = sum(change.added for change in ingest.changes)
    parts = [f"{len(ingest.changed)} changed, {added} rows added"]
    parts += [f"{change.symbol} {change.restated}" for change in ingest.changes if change.restated]
    parts += [f"failed: {', '.join(ingest.failed)}"] if ingest.failed else []
    return f"{ingest.time} {ingest.digest[:12]} {ingest.source}: {'; '.join(parts)}"


def _change(change: Change) -> str:
    restated = f", {change.restated}" if change.restated else ""
    return f"{change.symbol}: {change.rows} rows to {change.last}, {change.added} added{restated}; {change.after}"


def store_files(data_dir: Path) -> dict[str, str]:
    """Lists the files of bars that an ingest writes, as symbol -> SHA-256."""
    paths = (path for path in sorted(data_dir.glob("*.csv")) if not path.name.startswith("."))
    return {path.stem: file_digest(path) for path in paths if path.is_file()}
