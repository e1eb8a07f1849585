"""Keeps one CSV of bars a stock in a folder that trainings read, and brings it up to date by ingests.

New bars are appended. Known bars that come differently are a *restatement* (`preprocessing.ingest.restatement`):
accepted, with the earlier file kept in `history/`, or refused. Each file is replaced whole or not at all, after it was
read back by the same checks that a training applies.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from preprocessing.files import bars_stem
from preprocessing.formatting import bar_columns, csv_lines, write_lines
from preprocessing.ingest.restatement import compare, merged
from preprocessing.ingest.sources import Fetch, checks_of, source_symbols
from preprocessing.ohlcv import Bars, clean_symbol, read_bars
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError, PipelineError, StageError
from stonk_pipeline.files import folders, locks
from stonk_pipeline.records import ingests
from stonk_pipeline.records.heads import head_of
from stonk_pipeline.records.ingests import HISTORY, Change, Ingest
from stonk_pipeline.runs.manifest import file_digest
from stonk_pipeline.schema import DATE


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Makes the folder and locks it against other ingests.

    Raises:
        StageError: another ingest holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with locks.tried(data_dir / ".ingest.lock") as free:
        if not free:
            raise StageError(f"{data_dir}: another ingest is running; try again when it has ended")
        ingests.read(data_dir)  # nothing is fetched that cannot be recorded
        folders.sweep(data_dir)  # what ingests that were killed left
        yield


def wanted_symbols(config: IngestConfig) -> list[str]:
    """Lists the symbols of an ingest: the named ones, those of the watched folder, or those known already.

    Raises:
        DataError: none is named and none is known.
    """
    if config.symbols != ["all"]:
        return sorted(set(config.symbols))
    listed = source_symbols(config)
    if listed is not None:
        return listed
    known = sorted(ingests.store_files(Path(config.data_dir)))
    if not known:
        raise DataError(f"{config.data_dir}: no bars yet, and source {config.source} lists no stocks; name symbols")
    return known


def update(config: IngestConfig, fetch: Fetch, symbol: str, final: date) -> Change:
    """Brings one stock up to date; a fault is reported in the result, so that other stocks go on.

    Args:
        config: the folder and the rules.
        fetch: the source.
        symbol: the stock.
        final: last day whose bar is final (`sessions.last_final_day`); later bars are left out.
    """
    data_dir, name = Path(config.data_dir), symbol
    before = None
    try:
        name = clean_symbol(symbol)
        path = data_dir / f"{name}.csv"
        before = file_digest(path) if path.is_file() else None
        return _update(config, fetch, name, path, final, before)
    except (PipelineError, OSError) as error:
        return Change(symbol=name, failed=str(error), before=before, after=before)
    except Exception as error:  # of a library, such as yfinance's own: it too is this stock's fault alone
        return Change(symbol=name, failed=f"{type(error).__name__}: {error}", before=before, after=before)


def _update(config: IngestConfig, fetch: Fetch, symbol: str, path: Path, final: date, before: str | None) -> Change:
    known = _known(path, config)
    since = None
    if known is not None:
        since = known[DATE].iloc[-1].date() - timedelta(days=config.overlap_days)
    bars, new, waiting = _final(fetch(symbol, since), final)
    if known is None and new.empty:
        raise DataError(f"{symbol}: no bar of an ended session; the last one that can be is of {final}")
    found = compare(known, new, config.rounding)
    if found.restated and known is not None and since is not None:
        # A split or a dividend changes all of history: have all of it, if the source keeps it.
        bars, new, waiting = _final(fetch(symbol, None), final)
        found = compare(known, new, config.rounding)
    if found.restated and config.restated == "refuse":
        raise DataError(f"{symbol}: history was restated ({found.restated}); set restated to accept to take it")
    frame = merged(known, new, found, symbol)
    after = before
    if known is None or found.added or found.restated:
        after = _write(path, frame, config)
    return Change(
        symbol=symbol,
        added=found.added,
        restated=found.restated,
        unchanged=found.unchanged,
        waiting=waiting,
        repairs=tuple(repair.detail for repair in bars.repairs if repair.changed),
        rows=len(frame),
        last=str(frame[DATE].iloc[-1].date()),
        before=before,
        after=after,
    )


def _final(bars: Bars, final: date) -> tuple[Bars, pd.DataFrame, int]:
    """The bars, those of ended sessions, and the number of others."""
    done = (bars.frame[DATE] <= pd.Timestamp(final)).to_numpy()
    return bars, bars.frame[done].reset_index(drop=True), int(np.count_nonzero(~done))


def _known(path: Path, config: IngestConfig) -> pd.DataFrame | None:
    if path.is_file():
        return read_bars(path, checks_of(config)).frame
    if path.exists() or path.is_symlink():
        raise DataError(f"{path}: not a plain file; move it away")
    for other in path.parent.iterdir():
        if (bars_stem(other) or "").upper() == path.stem:
            raise DataError(f"{other}: an ingest writes {path.name}; rename the file, or move it to the source")
    return None


def _write(path: Path, frame: pd.DataFrame, config: IngestConfig) -> str:
    """Replaces a stock's file and returns its SHA-256; the one before is kept unless the new one begins with it.

    Raises:
        DataError: the bars together do not pass the checks that a training applies.
    """
    with folders.scratch(path) as scratch:
        new = scratch / path.name
        write_lines(new, *csv_lines(bar_columns(frame)))
        try:
            read_bars(new, checks_of(config))
        except DataError as error:
            raise DataError(str(error).replace(str(new), f"{path} with the new bars")) from None
        with new.open("rb") as stream:
            os.fsync(stream.fileno())
        if path.is_file() and not new.read_bytes().startswith(path.read_bytes()):
            _keep(path, scratch)
        os.replace(new, path)
    return file_digest(path)


def _keep(path: Path, scratch: Path) -> None:
    """Keeps a file in `history/`, named by its digest, whole or not at all."""
    history = path.parent / HISTORY
    history.mkdir(exist_ok=True)
    copy = shutil.copyfile(path, scratch / "earlier")
    os.replace(copy, history / f"{path.stem}.{file_digest(path)}.csv")


def record(
    data_dir: Path, source: str, changes: list[Change], now: datetime, forecasts_dir: str = "forecasts"
) -> Ingest:
    """Writes the record of an ingest, with the forward log's length and last digest, and returns it.

    A file that is neither as the last record says nor changed by this ingest was changed by something else, such as an
    ingest that was killed before its record: that is recorded too, and counts as a change.
    """
    files = ingests.store_files(data_dir)
    past = ingests.read(data_dir)
    if past:
        changes = _untold(past[-1].files, files, changes) + changes
    ingest = Ingest(
        time=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        source=source,
        changes=tuple(changes),
        files=files,
        digest=ingests.bars_digest(files),
        forward=head_of(forecasts_dir, data_dir),
    )
    ingests.append(data_dir, ingest)
    return ingest


def _untold(told: dict[str, str], files: dict[str, str], changes: list[Change]) -> list[Change]:
    begun = files | {change.symbol: change.before for change in changes}
    return [
        Change(
            symbol=symbol, before=told.get(symbol), after=begun.get(symbol), repairs=("changed outside of an ingest",)
        )
        for symbol in sorted(told | files)
        if told.get(symbol) != begun.get(symbol)
    ]
