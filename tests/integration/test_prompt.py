"""A command that ends, however it ends, says what to do last and gives the prompt back at once."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.served import ROOT, environment, of_home

PROMPT_SECONDS = 3
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
    lines: list[str]
    silent: float
    """Seconds between its last line and the end of process and pipe."""
    awaited: int
    """Senders of log lines and events that were still at work after it."""


def command(home: Path, *options: str, interrupt: str | None = None) -> End:
    """Runs the pipeline and stamps its lines; a line with the words of `interrupt` is answered by Ctrl-C."""
    count = home / "awaited"
    settings = environment(home, PYTHONUNBUFFERED="1", COLUMNS="500", HF_HUB_OFFLINE="1")
    own = ["--results-dir", str(home / "results"), "--models-dir", str(home / "models")]
    with subprocess.Popen(
        [sys.executable, "-c", COUNTING, str(count), "--recipe", "small", *own, *options],
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines, last = [], time.monotonic()
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            last = time.monotonic()
            if interrupt is not None and interrupt in line:
                process.send_signal(signal.SIGINT)
                interrupt = None
        code = process.wait(60)
    end = End(code, lines, time.monotonic() - last, int(count.read_text()))
    sys.stdout.write(f"{end.silent:.2f} s after the last line, {end.awaited} awaited:\n" + "\n".join(end.lines))
    return end


def test_wrong_model_name_is_said_before_a_server_is_started(tmp_path: Path) -> None:
    end = command(tmp_path, "--model", "nosuch/model")
    assert (end.code, end.awaited) == (1, 0)
    assert end.silent < PROMPT_SECONDS
    assert len(end.lines) == 1
    assert end.lines[0].startswith("error: model.name: nosuch/model: not on this machine")


@pytest.mark.parametrize("stopped", [False, True], ids=["failed", "interrupted"])
def test_ended_run_says_last_how_to_go_on(tmp_path: Path, stopped: bool) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    (bars / "AAA.csv").write_text("date,open,high,low,close,volume\n2020-01-02,1,2,0.5,nonsense,10\n")
    options = ["--data-dir", str(bars), "--stock", "AAA"] if not stopped else []
    end = command(tmp_path, *options, interrupt="preprocess: done" if stopped else None)
    assert end.code == (130 if stopped else 1)
    assert end.awaited == 0
    assert end.silent < PROMPT_SECONDS
    assert "--- Error logging to API ---" not in "\n".join(end.lines)
    assert end.lines[-1].startswith(f"./run_pipeline.sh --continue {tmp_path}")
    assert of_home(str(tmp_path / "prefect")) == {}
