"""Scores logged forecasts, each day as soon as its close is there. The log itself is never touched.

Marks are kept for the outcomes: all else in them follows from the log, and a line that says otherwise is refused.

Errors are in percent of the last close. They are taken from the closes as the data have them now, each divided by the
close of the last bar in the same data: a split or a dividend adjustment after the forecast scales both alike.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from preprocessing.ohlcv import find_files
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.contracts.forecast.evaluate import ANY_JUMP, read_closes
from stonk_pipeline.contracts.forecast.live.calendar import in_weeks
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.quantiles import MEDIAN, crps_of, inside, normal_quantiles
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.records.forward_log import LogEntry, read

SCORES = "scores.jsonl"
REMEDY = "delete the file and score again"


class Mark(BaseModel):
    """A line of `scores.jsonl`: the outcome and error of one day of one forecast."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    entry: str
    """Digest of the log's entry."""
    n: int
    """Its number."""
    stock: str
    model: str
    day: int
    """Days ahead, from 1."""
    date: str
    outcome: float
    """Close, in percent of the last close before the forecast."""
    error: float
    """|median - outcome|, in percent."""
    error_persistence: float
    """|100 - outcome|."""
    crps: float
    """In percent; of persistence it is `error_persistence`."""
    crps_random_walk: float | None = None
    """Of a random walk with the volatility of the entry, from the same quantiles; None where the entry has none."""
    inside: dict[str, bool]
    """Nominal coverage -> whether the close lies within that interval."""
    late: bool
    """The forecast was written down late: it does not count."""
    stamp: str
    """When it was marked (UTC)."""


class Record(NamedTuple):
    """The mean scores of all of a model's logged forecasts."""

    model: str
    late: bool
    forecasts: int
    days: int
    mae: float
    mae_persistence: float
    crps: float
    crps_random_walk: float | None
    """None where not every forecast says what the volatility was."""
    coverage: dict[str, float]

    @property
    def skill(self) -> float:
        """Computes 1 - MAE / MAE of persistence."""
        return 1.0 - self.mae / self.mae_persistence if self.mae_persistence > 0 else 0.0

    @property
    def crps_skill(self) -> float | None:
        """Computes 1 - CRPS / CRPS of the random walk with volatility."""
        return 1.0 - self.crps / self.crps_random_walk if self.crps_random_walk else None


def read_marks(directory: Path, entries: Sequence[LogEntry]) -> list[Mark]:
    """Reads all marks, oldest first, and checks each against the log.

    Args:
        directory: of the log.
        entries: of the log.

    Raises:
        LogError: names the first line that is no mark, that marks what the log does not hold or what is marked already,
            or that says something else than follows from the log and its outcome.
    """
    known, seen, marks = {entry.digest: entry for entry in entries}, set(), []
    for number, record in journal.read(directory / SCORES):
        place = f"{directory / SCORES}, line {number}"
        try:
            mark = Mark.model_validate(record)
        except ValueError as error:
            raise LogError(f"{place}: not a mark; {REMEDY}") from error
        entry = known.get(mark.entry)
        if entry is None:
            raise LogError(
                f"{place}: marks entry {mark.n} ({shown(mark.stock)}, digest {shown(mark.entry[:12])}), which the log "
                "does not hold: its end was cut off, or it was written anew; put back the log as it was"
            )
        wrong = _wrong(mark, entry)
        if (mark.entry, mark.day) in seen:
            wrong = f"marks day {mark.day} of entry {mark.n} a second time"
        if wrong is not None:
            raise LogError(f"{place}: {wrong}; {REMEDY}")
        seen.add((mark.entry, mark.day))
        marks.append(mark)
    return marks


def _wrong(mark: Mark, entry: LogEntry) -> str | None:
    """What a mark says otherwise than follows from its entry and its outcome."""
    if not 1 <= mark.day <= len(entry.targets):
        return f"marks day {mark.day} of entry {entry.n}, which forecasts {len(entry.targets)}"
    if not mark.outcome > 0:
        return f"outcome is {mark.outcome:g}, which no close is"
    due = _mark(entry, mark.day, mark.outcome, mark.stamp).model_dump()
    for name, said in mark.model_dump().items():
        same = isinstance(said, float) and math.isclose(said, due[name], rel_tol=1e-9, abs_tol=1e-9)
        if said != due[name] and not same:
            return f"{name} is {shown(said, 40)}, and {shown(due[name], 40)} follows from entry {entry.n} of the log"
    return None


def restated(marks: Sequence[Mark], entries: Sequence[LogEntry], closes: Mapping[str, pd.Series]) -> list[Mark]:
    """Updates the outcomes of marks from the bars as they are now, where they have them."""
    due = {(mark.entry, mark.day): mark for entry in entries for mark in _due(entry, closes, "")}
    return [
        mark.model_copy(update=due[key].model_dump(exclude={"stamp"}))
        if (key := (mark.entry, mark.day)) in due
        else mark
        for mark in marks
    ]


def closes_of(data: DataConfig, stocks: list[str]) -> dict[str, pd.Series]:
    """Reads adjusted closes of the stocks that the folder has, by ISO date."""
    # Closes alone are read here, so neither a jump nor a wrong high may stop the scoring.
    update = {"stocks": ["all"], "split_ratio": ANY_JUMP, "outlier_factor": ANY_JUMP}
    everything = data.model_copy(update=update)
    files = find_files(everything)
    return read_closes({stock: path for stock, path in files.items() if stock in stocks}, everything)


def score(directory: Path, closes: Mapping[str, pd.Series], now: datetime | None = None) -> list[Mark]:
    """Scores every day of every logged forecast whose close is there and that has no score yet.

    Args:
        directory: of the log.
        closes: stock -> closes by ISO date, as the data have them now.
        now: the time; the clock's, if not given.

    Returns:
        The new marks.

    Raises:
        LogError: the log or the marks are damaged.
    """
    stamp = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    new = []
    with journal.locked(directory):
        entries = read(directory)
        done = {(mark.entry, mark.day) for mark in read_marks(directory, entries)}
        for entry in entries:
            new += [mark for mark in _due(entry, closes, stamp) if (mark.entry, mark.day) not in done]
        for mark in new:
            journal.append(directory / SCORES, mark.model_dump(mode="json"))
    return new


def _due(entry: LogEntry, closes: Mapping[str, pd.Series], stamp: str) -> Iterator[Mark]:
    """The marks of an entry's days whose closes are there."""
    series = closes.get(entry.stock)
    if series is None or entry.last_bar not in series.index:
        return
    # The bar of a week may be dated by another of its days than the forecast's, where that one was a holiday.
    key = _week if in_weeks(entry.last_bar, entry.targets) else str
    came = {key(day): float(close) for day, close in series.items()}
    for ahead, day in enumerate(map(key, entry.targets), start=1):
        if day in came:
            yield _mark(entry, ahead, 100.0 * came[day] / float(series[entry.last_bar]), stamp)


def _week(day: object) -> str:
    year, week, _ = date.fromisoformat(str(day)).isocalendar()
    return f"{year}-W{week:02d}"


def _mark(entry: LogEntry, day: int, outcome: float, stamp: str) -> Mark:
    quantiles = 100.0 * np.array(entry.quantiles)[:, day - 1] / entry.last_close
    return Mark(
        entry=entry.digest,
        n=entry.n,
        stock=entry.stock,
        model=entry.model,
        day=day,
        date=entry.targets[day - 1],
        outcome=outcome,
        error=abs(float(quantiles[MEDIAN]) - outcome),
        error_persistence=abs(100.0 - outcome),
        crps=crps_of(quantiles, outcome),
        crps_random_walk=None
        if entry.volatility is None
        else crps_of(normal_quantiles(100.0, entry.volatility * math.sqrt(day)), outcome),
        inside=inside(quantiles, outcome),
        late=entry.late,
        stamp=stamp,
    )


def records(marks: list[Mark]) -> list[Record]:
    """Averages the scores of each model's forecasts; those that were late stand apart."""
    groups: dict[tuple[str, bool], list[Mark]] = defaultdict(list)
    for mark in marks:
        groups[mark.model, mark.late].append(mark)
    return [_record(model, late, of) for (model, late), of in groups.items()]


def _record(model: str, late: bool, of: list[Mark]) -> Record:
    walks = [mark.crps_random_walk for mark in of if mark.crps_random_walk is not None]
    return Record(
        model=model,
        late=late,
        forecasts=len({mark.entry for mark in of}),
        days=len(of),
        mae=float(np.mean([mark.error for mark in of])),
        mae_persistence=float(np.mean([mark.error_persistence for mark in of])),
        crps=float(np.mean([mark.crps for mark in of])),
        crps_random_walk=float(np.mean(walks)) if len(walks) == len(of) else None,
        coverage={name: float(np.mean([mark.inside[name] for mark in of])) for name in of[0].inside},
    )
