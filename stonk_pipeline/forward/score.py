"""Marks logged forecasts: each day ahead as soon as its close is there. The log itself is never touched.

Errors are in percent of the last close. They are taken from the closes as the data have them now, each divided by the
close of the last bar in the same data: a split or a dividend adjustment after the forecast scales both alike.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from stonk_pipeline import journal
from stonk_pipeline.config import DataConfig
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.command import ANY_JUMP, read_closes
from stonk_pipeline.forward.calendar import in_weeks
from stonk_pipeline.forward.log import LogEntry, read
from stonk_pipeline.forward.quantiles import MEDIAN, crps_of, inside

SCORES = "scores.jsonl"


class Mark(BaseModel):
    """A line of `scores.jsonl`: what came on one day of one forecast."""

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
    inside: dict[str, bool]
    """Nominal coverage -> whether the close lies within that interval."""
    late: bool
    """The forecast was written down late: it does not count."""
    stamp: str
    """When it was marked (UTC)."""


class Record(NamedTuple):
    """What a model's forecasts came to."""

    model: str
    late: bool
    forecasts: int
    days: int
    mae: float
    mae_persistence: float
    crps: float
    coverage: dict[str, float]

    @property
    def skill(self) -> float:
        """1 - MAE / MAE of persistence."""
        return 1.0 - self.mae / self.mae_persistence if self.mae_persistence > 0 else 0.0


def read_marks(directory: Path) -> list[Mark]:
    """All marks, oldest first.

    Raises:
        LogError: a line is damaged.
    """
    marks = []
    for number, record in journal.read(directory / SCORES):
        try:
            marks.append(Mark.model_validate(record))
        except ValueError as error:
            raise LogError(
                f"{directory / SCORES}, line {number}: not a mark; delete the file and score again"
            ) from error
    return marks


def closes_of(data: DataConfig, stocks: list[str]) -> dict[str, pd.Series]:
    """Adjusted closes of the stocks that the folder has, by ISO date."""
    from pkgutil import resolve_name

    # Closes alone are read here, so neither a jump nor a wrong high may stop the scoring.
    update = {"stocks": ["all"], "split_ratio": ANY_JUMP, "outlier_factor": ANY_JUMP}
    everything = data.model_copy(update=update)
    files = resolve_name("preprocessing.ohlcv:find_files")(everything)
    return read_closes({stock: path for stock, path in files.items() if stock in stocks}, everything)


def score(directory: Path, closes: Mapping[str, pd.Series], now: datetime | None = None) -> list[Mark]:
    """Marks every day of every logged forecast whose close is there and that has no mark yet.

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
        done = {(mark.entry, mark.day) for mark in read_marks(directory)}
        for entry in read(directory):
            series = closes.get(entry.stock)
            if series is None or entry.last_bar not in series.index:
                continue
            # The bar of a week may be dated by another of its days than the forecast's, where that one was a holiday.
            key = _week if in_weeks(entry.last_bar, entry.targets) else str
            came = {key(day): float(close) for day, close in series.items()}
            for ahead, day in enumerate(map(key, entry.targets), start=1):
                if (entry.digest, ahead) not in done and day in came:
                    outcome = 100.0 * came[day] / float(series[entry.last_bar])
                    new.append(_mark(entry, ahead, outcome, stamp))
        for mark in new:
            journal.append(directory / SCORES, mark.model_dump(mode="json"))
    return new


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
        inside=inside(quantiles, outcome),
        late=entry.late,
        stamp=stamp,
    )


def records(marks: list[Mark]) -> list[Record]:
    """What each model's forecasts came to; those that were late stand apart."""
    groups: dict[tuple[str, bool], list[Mark]] = defaultdict(list)
    for mark in marks:
        groups[mark.model, mark.late].append(mark)
    return [
        Record(
            model=model,
            late=late,
            forecasts=len({mark.entry for mark in of}),
            days=len(of),
            mae=float(np.mean([mark.error for mark in of])),
            mae_persistence=float(np.mean([mark.error_persistence for mark in of])),
            crps=float(np.mean([mark.crps for mark in of])),
            coverage={name: float(np.mean([mark.inside[name] for mark in of])) for name in of[0].inside},
        )
        for (model, late), of in groups.items()
    ]


def strangers(directory: Path, entries: list[LogEntry]) -> list[Mark]:
    """Marks of forecasts that the log does not hold: the log's end was cut off, or it was written anew."""
    known = {entry.digest for entry in entries}
    return [mark for mark in read_marks(directory) if mark.entry not in known]
