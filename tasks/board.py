"""Keeps how far each step of a run is, and how long the rest takes; `tasks.live` draws it.

The time left begins as a dry run's estimate. What the run measures corrects it: a step's own progress, the pace of the
steps before it against their estimates, and the same step of an earlier fold.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.runs import run_at

BEFORE, WAITS, RUNS, DONE, LEFT_OUT, FAILED, STOPPED = "", "waits", "runs", "done", "left out", "failed", "stopped"
"""States of a step; `waits` is for an accelerator, or for its next attempt."""
TRUSTED = 0.2
"""A step that has done this share has a pace of its own, and its estimate no longer counts."""


@dataclass
class Row:
    """A step of a run, or of one fold."""

    step: str
    title: str
    fold: int | None = None
    least: float | None = None
    """Seconds that it takes where nothing is estimated; None where that says nothing."""
    state: str = BEFORE
    note: tuple[str, ...] = ()
    """What a person reads of it, the most important first."""
    share: float = 0.0
    begun: float | None = None
    seconds: float | None = None
    """That it took."""
    first: tuple[float, float] | None = None
    """(clock, share) of its first progress; what came before that is its start."""
    last: tuple[float, float] = (0.0, 0.0)

    @property
    def over(self) -> bool:
        """Tells whether it takes no more time."""
        return self.state in (DONE, LEFT_OUT, FAILED, STOPPED)

    def elapsed(self) -> float | None:
        """Returns the seconds since it began, or that it took."""
        return self.seconds if self.begun is None or self.seconds is not None else time.monotonic() - self.begun

    def measured(self) -> tuple[float, float] | None:
        """Returns (seconds that it takes in all by its own pace, how far that can be trusted: 0 to 1)."""
        if self.seconds is not None:
            return self.seconds, 1.0
        if self.begun is None or self.first is None or self.last[1] <= self.first[1]:
            return None
        pace = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        trust = min(1.0, (self.last[1] - self.first[1]) / TRUSTED)
        return self.last[0] - self.begun + (1.0 - self.last[1]) * pace, trust


@dataclass
class Board:
    """All steps of a run in their order, by their labels."""

    rows: dict[str, Row] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)
    """Step -> seconds, as a dry run estimates them."""
    begun: float = field(default_factory=lambda: time.monotonic())
    ended: float | None = None
    """When the run itself had ended, its report and all."""

    @classmethod
    def of(cls, config: RunConfig) -> "Board":
        """Makes the board of a run with these settings that has not begun."""
        rows = {}
        for part, step in run_at(Path(), config).steps():
            spec, fold = part.spec(step), part.config.data.fold
            least = None if spec.loads_model else spec.start_seconds
            rows[part.label(step)] = Row(step, spec.title, fold, least)
        return cls(rows)

    @property
    def elapsed(self) -> float:
        """Returns the seconds since the run began, or that it took."""
        return (self.ended or time.monotonic()) - self.begun

    def row(self, label: str) -> Row:
        """Returns the row of a step; one that nobody has announced is added."""
        return self.rows.setdefault(label, Row(label, label))

    def wait(self, label: str, *note: str) -> None:
        """Marks a step as waiting for an accelerator or for its next attempt."""
        row = self.row(label)
        row.state, row.note, row.begun = WAITS, note, None

    def start(self, label: str) -> None:
        """Marks a step as running."""
        row = self.row(label)
        row.state, row.note, row.share, row.first, row.seconds = RUNS, (), 0.0, None, None
        row.begun = time.monotonic()

    def progress(self, label: str, done: int, total: int, note: str) -> None:
        """Notes how far a step is."""
        row = self.row(label)
        row.share, row.note = done / max(total, 1), (f"{done:,}/{total:,}", note)
        row.last = (time.monotonic(), row.share)
        row.first = row.first or row.last

    def finish(self, label: str, note: Sequence[str]) -> None:
        """Marks a step as done, with a few words on what it did."""
        row = self.row(label)
        row.seconds = row.elapsed()
        row.state, row.share, row.note = DONE, 1.0, tuple(note)

    def skip(self, label: str, note: Sequence[str]) -> None:
        """Marks a step as done before."""
        row = self.row(label)
        if row.state != DONE:
            row.state, row.share, row.note = DONE, 1.0, ("done before", *note)

    def leave_out(self, label: str) -> None:
        """Marks a step as no part of this run."""
        row = self.row(label)
        row.state, row.note = LEFT_OUT, ()

    def end(self, state: str = DONE) -> None:
        """Marks the run as ended, and what still runs or waits as failed or stopped."""
        self.ended = time.monotonic()
        for row in self.rows.values():
            if row.state in (RUNS, WAITS):
                row.note = () if row.state == WAITS else row.note
                row.seconds, row.state = row.elapsed(), state

    def words(self, label: str) -> str:
        """Words a running step's progress and the time that it still takes, where that is known."""
        row = self.row(label)
        left = self.left(row)
        left_words = f"about {duration(left)} left" if left else ""
        return ", ".join(filter(None, (" ".join(row.note), left_words)))

    def left(self, row: Row) -> float | None:
        """Estimates the seconds that a step still takes; None where nothing is known."""
        whole = self._whole(row)
        if row.over or whole is None:
            return 0.0 if row.over else None
        return max(0.0, whole - (row.elapsed() or 0.0))

    def left_of(self, rows: Iterable[Row]) -> float | None:
        """Estimates the seconds that these steps still take; None where that of one is not known."""
        each = [self.left(row) for row in rows]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _whole(self, row: Row) -> float | None:
        """Seconds that a step takes in all: estimated, and more and more as measured."""
        guess, measured = self._guess(row), row.measured()
        if measured is None:
            return guess
        seconds, trust = measured
        return seconds if guess is None else trust * seconds + (1.0 - trust) * guess

    def _guess(self, row: Row) -> float | None:
        """Seconds that a step should take, from what is known without its own progress."""
        same = [
            other.seconds
            for other in self.rows.values()
            if (other.step, other.least) == (row.step, row.least) and other.state == DONE and other.seconds is not None
        ]
        if same:  # in an earlier fold
            return same[-1]
        if row.least is not None or row.step not in self.estimates:
            return row.least
        return self.estimates[row.step] * self._pace()

    def _pace(self) -> float:
        """Seconds that the steps so far took for each second of their estimates."""
        taken, estimated = 0.0, 0.0
        for row in self.rows.values():
            measured = row.measured()
            if measured is not None and row.least is None and row.step in self.estimates:
                seconds, trust = measured
                taken, estimated = taken + trust * seconds, estimated + trust * self.estimates[row.step]
        return taken / estimated if taken and estimated else 1.0


current = Board()
"""The board of the run that this process works on."""


def duration(seconds: float) -> str:
    """Words a time span for a person, without more digits than an estimate has.

    >>> duration(37.2), duration(400), duration(5400)
    ('40 s', '7 min', '1.5 h')
    """
    if seconds < 57.5:
        return f"{5 * max(1, round(seconds / 5))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5370 else f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """Words seconds as a clock shows them.

    >>> clock(7), clock(125.9), clock(3661)
    ('0:07', '2:05', '1:01:01')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
