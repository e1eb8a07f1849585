"""A command that ends, however it ends, says what to do last and gives the prompt back at once."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stonk_pipeline.contracts.forecast.steps import STEPS
from tests.pseudo_terminal import CTRL_C, Screen, Terminal
from tests.served import ROOT, environment, of_home

PROMPT_SECONDS = 3
TITLES = [*(step.title for step in STEPS.values()), "Whole run"]
COUNTING = """
import sys
from pathlib import Path
from flows.direction_flow import direction_flow
from flows.train_flow import train_flow
from tasks import contact
from tasks.terminal import main
code = main({"forecast": train_flow, "direction": direction_flow}, sys.argv[2:])
Path(sys.argv[1]).write_text(str(len(contact.awaited())))
raise SystemExit(code)
"""
"""What `python -m flows` does, and then a count of the senders that Python would wait for."""


@dataclass
class End:
    """How a command ended."""

    code: int
    screen: Screen
    silent: float
    """Seconds between its last line and the end of the process."""
    awaited: int
    """Senders of log lines and events that were still at work after it."""


def command(home: Path, *options: str, interrupt: str | None = None, kill: bool = False) -> End:
    """Runs the pipeline in a terminal; where its screen shows the words of `interrupt`, it is ended."""
    count, terminal = home / "awaited", Terminal(80)
    own = ["--results-dir", str(home / "results"), "--models-dir", str(home / "models")]
    arguments = [sys.executable, "-c", COUNTING, str(count), "--recipe", "small", *own, *options]
    terminal.run(arguments, ROOT, environment(home, HF_HUB_OFFLINE="1"))
    if interrupt is not None:
        terminal.until(lambda text: re.search(interrupt, text) is not None, 120)
        if kill and terminal.process is not None:
            terminal.process.terminate()
        else:
            terminal.press(CTRL_C)
    code = terminal.wait(120)
    end = End(code, terminal.screen, terminal.ended - terminal.last, int(count.read_text()))
    sys.stdout.write(f"{end.silent:.2f} s after the last line, {end.awaited} awaited:\n" + "\n".join(end.screen.lines))
    return end


def test_wrong_model_name_is_said_before_a_server_is_started(tmp_path: Path) -> None:
    end = command(tmp_path, "--model", "nosuch/model")
    assert (end.code, end.awaited) == (1, 0)
    assert end.silent < PROMPT_SECONDS
    assert end.screen.text.startswith("error: model.name: nosuch/model: not on this machine")


@pytest.mark.parametrize(("ending", "exit_code"), [("failed", 1), ("interrupted", 130), ("terminated", 143)])
def test_ended_run_says_last_how_to_go_on(tmp_path: Path, ending: str, exit_code: int) -> None:
    stopped = ending != "failed"
    bars = tmp_path / "bars"
    bars.mkdir()
    (bars / "AAA.csv").write_text("date,open,high,low,close,volume\n2020-01-02,1,2,0.5,nonsense,10\n")
    options = ["--data-dir", str(bars), "--stock", "AAA"] if not stopped else []
    reached = r"Warm-up +runs" if stopped else None
    end = command(tmp_path, *options, interrupt=reached, kill=ending == "terminated")
    assert end.code == exit_code
    assert end.awaited == 0
    assert end.silent < PROMPT_SECONDS
    lines, text = end.screen.lines, end.screen.text
    assert (
        text.rstrip().partition("to go on from here:")[2].strip().startswith(f"./run_pipeline.sh --continue {tmp_path}")
    )
    how = "stopped" if stopped else "failed"
    state = {title: [line for line in lines if line.startswith(title)] for title in TITLES}
    assert all(len(found) == 1 for found in state.values()), "\n".join(lines)
    assert how in state["Warm-up" if stopped else "Preprocessing"][0]
    assert how in state["Whole run"][0]
    assert ("error: " in text) is not stopped
    assert not {word for word in ("Traceback", "Error logging", "Exception", "Crash", "^C") if word in text}
    assert not end.screen.screen.cursor.hidden
    assert of_home(str(tmp_path / "prefect")) == {}
