"""The table of a run: on a real pseudo-terminal, with the events of real runs, and how long it says that they take."""

import json
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at
from tasks import board, live
from tasks.board import Board
from tasks.table import MARGIN, RunProgress
from tests.pseudo_terminal import Terminal
from tests.served import environment

ROOT = Path(__file__).parents[3]
EVENTS = Path(__file__).with_name("events.json")
"""What two finished runs said of their steps, thinned out: of the default recipe, and of `direction`."""
LONG = "waiting for accelerator 'cpu' (/tmp/locks/cpu.lock), held by process 4711, sft of /home/somebody/results/AAPL_1"
REPLAY = f"""
import logging, sys, time, warnings
sys.path.insert(0, {str(EVENTS.parent)!r})
from rich.console import Console
from tasks import live, table
from test_live import LONG, happened, settings
table.A_SECOND = 50
logging.getLogger("prefect").setLevel("INFO")
with live.shown(Console(), settings(sys.argv[1])):
    for count, _ in enumerate(happened(sys.argv[1], live.board.current)):
        if count == 5:
            logging.getLogger("prefect.task_runs.some").warning("%s", LONG)
            logging.getLogger("prefect.some").info("Finished in state Completed()")
        if count == 9:
            warnings.warn("a library warns")
            print("a library prints")
        time.sleep(0.05)
"""


def settings(name):
    changes = {"data": {"folds": 2}} if name == "folds" else {}
    return load_config("direction" if name == "direction" else "default", changes | {"warmup": "never"})


def happened(name, seen: Board):
    """Tells a board what happened in a run, event by event; each fold of a walk-forward has those of the whole run."""
    events = json.loads(EVENTS.read_text())["direction" if name == "direction" else "forecast"]
    run = run_at(Path(), settings(name))
    for part in run.folds or [run]:
        for kind, step, *given in events:
            if kind == "finish":
                given = [part.spec(step).note(*given)]
            getattr(seen, kind)(part.label(step), *given)
            yield kind, part.label(step)
    if run.folds:
        seen.start("compare")
        seen.finish("compare", run.spec("compare").note(events[-1][2]))


@pytest.mark.parametrize(("name", "columns"), [("forecast", 110), ("direction", 80), ("folds", 80)])
def test_screen_shows_one_table_with_what_is_logged_above_it(name, columns, tmp_path):
    terminal = Terminal(columns)
    terminal.run([sys.executable, "-c", REPLAY, name], ROOT, environment(tmp_path))
    assert terminal.wait(60) == 0
    lines, text = terminal.screen.lines, terminal.screen.text
    assert LONG in text  # broken by the terminal at its edge, and whole
    assert "Finished in state" not in text
    assert "{" not in text
    titles = ["Fold 1", "Fold 2"] if name == "folds" else [step.title for step in settings_steps(name)]
    titles += ["Pooled comparison"] if name == "folds" else []
    table = lines[-len(titles) - 1 :]
    assert [line[: len(title)] for line, title in zip(table, [*titles, "Whole run"], strict=True)] == [
        *titles,
        "Whole run",
    ]
    assert all(" done " in line and len(line) <= columns - MARGIN for line in table)
    assert [line for line in lines if line.startswith((*titles, "Whole run"))] == table  # each once
    assert [line for line in lines if line.startswith("a library prints")] == lines[-len(table) - 1 : -len(table)]
    assert not terminal.screen.screen.cursor.hidden


def settings_steps(name):
    return run_at(Path(), settings(name)).graph.values()


def drawn(seen: Board, columns: int) -> list[str]:
    console = Console(width=columns, file=StringIO(), force_terminal=False)
    console.print(RunProgress(seen, console))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.fixture
def now(monkeypatch):
    """A clock that the test turns."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(board, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


def test_notes_of_finished_steps_are_words_for_a_person(now):
    seen = Board.of(settings("forecast"))
    for _ in happened("forecast", seen):
        now.seconds += 10
    assert [line[22:].split(maxsplit=2)[2] for line in drawn(seen, 80)[:-1]] == [
        "11,172 / 1,572 / 3,372 windows, 12 stocks",
        "validation skill -9.4% → -6.2%, 16 steps",
        "kept 1,429 of 12,000 answers, 2,000 windows",
        "held-out loss 0.659, 1,341 examples",
        "validation skill +11.0% → +16.1%, 36 steps",
        "evidence of skill, 400 windows",
    ]


def test_walk_forward_shows_the_steps_of_the_fold_that_runs(now):
    seen = Board.of(settings("folds"))
    for _, label in happened("folds", seen):
        now.seconds += 10
        if label == "sft-2":
            break
    assert [line[:24].rstrip() for line in drawn(seen, 80)] == [
        "Fold 1",
        "Fold 2",
        "  Preprocessing",
        "  First GRPO",
        "  Rejection sampling",
        "  Supervised fine-tuning",
        "  Second GRPO",
        "  Comparison",
        "Pooled comparison",
        "Whole run",
    ]


def test_time_left_begins_with_the_estimate_and_follows_what_is_measured(now):
    seen = Board.of(settings("forecast"))
    assert seen.left_of(seen.rows.values()) is None  # nothing is known
    seen.estimates = {"grpo-first": 100, "sample": 50, "sft": 40, "grpo-second": 100, "compare": 60}
    assert seen.left_of(seen.rows.values()) == 5 + 350
    seen.start("grpo-first")
    now.seconds += 30
    assert seen.left(seen.row("grpo-first")) == 70
    seen.progress("grpo-first", 1, 10, "")  # its start took 20 s, and a step takes 10
    now.seconds += 20
    seen.progress("grpo-first", 3, 10, "")
    assert seen.left(seen.row("grpo-first")) == pytest.approx(70)
    assert seen.left(seen.row("compare")) == pytest.approx(60 * 120 / 100)  # as slow as this one
    now.seconds += 150
    seen.finish("grpo-first", ())
    assert seen.left(seen.row("grpo-first")) == 0
    assert seen.left(seen.row("sft")) == pytest.approx(40 * 200 / 100)
    seen.start("sft")
    seen.progress("sft", 10, 500, "loss 0.687")
    assert seen.words("sft") == "10/500 loss 0.687, about 1 min left"


def test_time_left_of_a_fold_is_that_of_the_fold_before(now):
    seen = Board.of(settings("folds"))
    for _ in happened("folds", seen):
        now.seconds += 10
        if seen.rows["compare-1"].state == board.DONE:
            break
    taken = {row.step: row.seconds for row in seen.rows.values() if row.fold == 1}
    assert {row.step: seen.left(row) for row in seen.rows.values() if row.fold == 2} == taken


def test_what_is_left_out_or_was_done_before_takes_no_time(now):
    seen = Board.of(settings("direction"))
    for label in list(seen.rows)[:-1]:
        seen.skip(label, ("kept 2 of 3 answers",))
    seen.leave_out("compare")
    assert seen.left_of(seen.rows.values()) == 0
    assert drawn(seen, 80)[2].split(maxsplit=3)[3] == "done before, kept 2 of 3 answers"
    assert drawn(seen, 80)[-2].split() == ["Comparison", "left", "out"]


def test_end_says_what_became_of_the_step_that_ran(now):
    seen = Board.of(settings("forecast"))
    seen.start("sft")
    now.seconds += 60
    seen.end(board.STOPPED)
    now.seconds += 60
    assert drawn(seen, 80)[3].split() == ["Supervised", "fine-tuning", "stopped", "1:00"]
    assert drawn(seen, 80)[-1].split() == ["Whole", "run", "stopped", "1:00"]


def test_nothing_is_drawn_where_colours_are_forced_on_a_file(now):
    console = Console(file=StringIO(), force_terminal=True, force_interactive=True)
    with live.shown(console, settings("forecast")):
        board.current.start("sft")
    assert console.file.getvalue() == ""
    assert board.current.row("sft").state == board.RUNS  # and the log can say how far it is
