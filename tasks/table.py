"""Draws the table of a run: a line for each step with its state, time, progress and time left, and one for the run."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column, Table
from rich.text import Text

from tasks.board import BEFORE, DONE, FAILED, LEFT_OUT, RUNS, STOPPED, WAITS, Board, Row, clock, duration

MARGIN = 3
"""Columns that stay free at the right: a terminal writes `^C` behind the table, and may not begin a line for it."""
BAR, LEFT = 8, len("59 min left")
A_SECOND = 2
"""How often the table is drawn."""
STYLES = {RUNS: "bold cyan", DONE: "green", WAITS: "yellow", LEFT_OUT: "dim", FAILED: "bold red", STOPPED: "yellow"}


@dataclass
class Line:
    """A line of the table: a step, a fold of a walk-forward, or the whole run."""

    title: str
    rows: list[Row]
    fold: int | None = None
    """In which the step is."""
    run: Board | None = None
    """Of the line that stands for the whole run."""

    @property
    def state(self) -> str:
        """Tells what its steps are at, the worst first."""
        states = [row.state for row in self.rows]
        if all(state in (DONE, LEFT_OUT) for state in states) and (self.run is None or self.run.ended):
            return DONE if DONE in states else LEFT_OUT
        worst = next((state for state in (FAILED, STOPPED, WAITS) if state in states), None)
        return worst or (BEFORE if set(states) == {BEFORE} else RUNS)

    @property
    def elapsed(self) -> float | None:
        """Returns the seconds that its steps took so far; of the run, those since it began."""
        if self.run is not None:
            return self.run.elapsed
        known = [seconds for row in self.rows if (seconds := row.elapsed()) is not None]
        return sum(known) if known else None


def lines(board: Board) -> list[Line]:
    """Lists what a table can show: the steps in their order, a line before those of each fold, and the run."""
    found: list[Line] = []
    seen: set[int] = set()
    for row in board.rows.values():
        if row.fold is not None and row.fold not in seen:
            seen.add(row.fold)
            found.append(Line(f"Fold {row.fold}", [one for one in board.rows.values() if one.fold == row.fold]))
        found.append(Line(row.title if row.fold is None else f"  {row.title}", [row], row.fold))
    return [*found, Line("Whole run", list(board.rows.values()), run=board)]


class RunProgress(Progress):
    """The steps of a run; of a walk-forward, those of the fold that runs, and one line for each other fold."""

    def __init__(self, board: Board, console: Console) -> None:
        self.board, self.terminal = board, console
        super().__init__(
            _Title(Column(no_wrap=True)),
            _State(Column(no_wrap=True)),
            _Elapsed(Column(no_wrap=True, justify="right")),
            _Course(board),
            console=console,
            refresh_per_second=A_SECOND,
        )
        for line in lines(board):
            self.add_task(line.title, total=1.0, line=line)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Draws what the board says now."""
        rows = self.board.rows.values()
        fold = next((row.fold for row in rows if row.fold is not None and row.state not in (DONE, LEFT_OUT)), None)
        for task in self.tasks:
            line = _line(task)
            task.visible = line.fold in (None, fold)
            task.completed = share(self.board, line)
        yield Constrain(self.make_tasks_table(self.tasks), max(1, self.terminal.width - MARGIN))


def share(board: Board, line: Line) -> float:
    """Estimates how much of a line is done, from 0 to 1: of a step by its progress, of several by their time."""
    if len(line.rows) == 1:
        return line.rows[0].share
    left, past = board.left_of(line.rows), line.elapsed
    if left is None:
        return sum(row.share for row in line.rows) / len(line.rows)
    return past / (past + left) if past else 0.0


def _line(task: Task) -> Line:
    line = task.fields["line"]
    assert isinstance(line, Line)
    return line


class _Title(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.description)


class _State(ProgressColumn):
    def render(self, task: Task) -> Text:
        state = _line(task).state
        return Text(state, STYLES.get(state, ""))


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = _line(task).elapsed
        return Text("" if seconds is None else clock(seconds))


class _Course(ProgressColumn):
    """While a step runs, its bar, the time left and its last words; before, an estimate; afterwards, what it did."""

    def __init__(self, board: Board) -> None:
        self.board, self.bar = board, BarColumn(BAR)
        super().__init__(Column(ratio=1))

    def render(self, task: Task) -> RenderableType:
        line = _line(task)
        left = self.board.left_of(line.rows)
        note = line.rows[-1].note if line.run is None else ()
        if line.state == BEFORE:
            return Parts((f"about {duration(left)}",) if left else (), "dim")
        if line.state != RUNS:
            return Parts(note)
        grid = Table.grid(Column(width=BAR), Column(width=LEFT), Column(), padding=(0, 1))
        grid.add_row(self.bar(task), f"{duration(left)} left" if left else "", Parts(note, between=" "))
        return grid


class Parts:
    """Joins as many parts of a note as there is room for, so that no line wraps and no word is cut in two."""

    def __init__(self, parts: tuple[str, ...], style: str = "", between: str = ", ") -> None:
        self.parts, self.style, self.between = parts, style, between

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws the parts that fit; of a first one that does not, its beginning."""
        said = ""
        for part in self.parts:
            longer = f"{said}{self.between}{part}" if said else part
            if len(longer) > options.max_width and said:
                break
            said = longer
        yield Text(said, self.style, no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """States the room for all of them, and that they do with less."""
        return Measurement(min(1, options.max_width), min(len(self.between.join(self.parts)), options.max_width))
