"""Shows a live table of steps in the terminal, while `shown` is active; otherwise its functions do nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.runs import run_at


@dataclass
class _Line:
    state: str = "waiting"
    note: str = ""
    begun: float = 0.0
    seconds: float | None = None
    share: float = 0.0


@dataclass
class _Board:
    titles: dict[str, str] = field(default_factory=dict)
    lines: dict[str, _Line] = field(default_factory=dict)

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("stage", "state", "time", "progress"):
            table.add_column(heading, justify="right" if heading == "time" else "left")
        for name, line in self.lines.items():
            seconds = line.seconds if line.seconds is not None else time.monotonic() - line.begun
            clock = "" if line.state == "waiting" else f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
            bar = "█" * round(line.share * 12)
            table.add_row(self.titles[name], line.state, clock, f"{bar:<12} {line.note[:60]}")
        return table


_board = _Board()


@contextmanager
def shown(console: Console, config: RunConfig) -> Iterator[None]:
    """Draws the table of a run's steps while the block runs; on something that is no terminal, nothing is drawn."""
    run = run_at(Path(), config)
    _board.titles = {part.label(step): part.title(step) for part, step in run.steps()}
    _board.lines = {label: _Line() for label in _board.titles}
    if not console.is_terminal:
        yield
        return
    with Live(_board, console=console, refresh_per_second=2):
        yield


def start(step: str) -> None:
    """Marks a step as running."""
    _board.lines[step] = _Line("running", begun=time.monotonic())


def progress(step: str, done: int, total: int, note: str) -> None:
    """Shows how far a step is."""
    line = _board.lines.setdefault(step, _Line())
    line.share, line.note = done / max(total, 1), f"{done}/{total} {note}"


def finish(step: str, seconds: float, numbers: dict[str, Any]) -> None:
    """Marks a step as done and shows a few of its numbers."""
    short = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items()
    ]
    _board.lines[step] = _Line("done", ", ".join(short), seconds=seconds, share=1.0)


def skip(step: str) -> None:
    """Marks a step as done before."""
    _board.lines[step] = _Line("done before", seconds=0.0, share=1.0)
