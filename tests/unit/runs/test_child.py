"""A step in a child process: what comes back from it, and that nothing outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stonk_pipeline import errors
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import ConfigError, DataError, StageError
from stonk_pipeline.runs import child

ROOT = Path(__file__).parents[3]
REAL = ["preprocess", "--recipe", "default", "--set", "data.market.tickers=1", "--set", "data.market.days=400"]


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """A working directory where `python -m stonk_pipeline NAME CODE` runs the code, with the real modules at hand."""
    package = tmp_path / "stonk_pipeline"
    package.mkdir()
    real = (ROOT / "stonk_pipeline").as_posix()
    (package / "__init__.py").write_text(
        f"from pathlib import Path\n__path__.append({real!r})\nPACKAGE = Path({real!r})\n"
    )
    (package / "__main__.py").write_text(
        "import os, signal, subprocess, sys, time\nfrom stonk_pipeline import errors\n"
        "from stonk_pipeline.runs import child\nexec(sys.argv[2])\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Heard:
    """What a parent heard from its child."""

    def __init__(self):
        self.progress = []
        self.lines = []

    def run(self, arguments, log="pipeline.log", **settings):
        child.run_child(
            arguments,
            PipelineConfig(**settings),
            Path(log),
            lambda *step: self.progress.append(step),
            self.lines.append,
        )


@pytest.fixture
def heard():
    return Heard()


def alive(pid):
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends(pid, seconds=50.0):
    """Whether a process ends within a time, long enough for a busy machine."""
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_run_child_runs_a_real_step(tmp_path, heard):
    heard.run([*REAL, "--run-dir", str(tmp_path / "run")], tmp_path / "logs" / "pipeline.log")
    assert (tmp_path / "run" / "preprocessing" / "manifest.json").is_file()
    assert heard.progress == [(1, 1, "SIM01")]
    assert heard.lines[-1].startswith(f"{tmp_path / 'run' / 'preprocessing'}: done; ")
    assert (tmp_path / "logs" / "pipeline.log").read_text().splitlines() == heard.lines


def test_run_child_raises_the_error_of_a_real_step(tmp_path, heard):
    log = tmp_path / "pipeline.log"
    with pytest.raises(ConfigError) as caught:
        heard.run(["preprocess", "--run-dir", str(tmp_path), "--recipe", "no-such"], log)
    assert str(caught.value).startswith("no recipe 'no-such': give one of default, ")
    with pytest.raises(DataError) as caught:
        heard.run([*REAL, "--run-dir", str(tmp_path), "--data-dir", "no such"], log)
    assert str(caught.value).startswith("no such: no such folder or file")
    assert log.read_text().count("@error") == 2
    assert heard.lines == []


def test_run_child_raises_an_error_of_the_same_class_and_words(scripted, heard):
    words = 'two\nlines, "quotes", Zürich, 株'
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) == 13
    for kind in (errors.PromptError, errors.EngineError):
        code = f"child.report_error(errors.{kind.__name__}({words!r})); sys.exit(1)"
        with pytest.raises(kind) as caught:
            heard.run(["sft", code])
        assert type(caught.value) is kind
        assert str(caught.value) == words
    code = "class MyError(errors.DataError): pass\nchild.report_error(MyError('mine')); sys.exit(1)"
    with pytest.raises(StageError, match="mine"):  # a class that the parent does not know
        heard.run(["sft", code])


def test_run_child_tells_progress_from_other_lines(scripted, heard):
    code = (
        "child.report_progress(1, 4, 'loss 0.5, \"é\"\\n'); print('a line');"
        "print('to stderr', file=sys.stderr); print(); child.report_progress(4, 4, '')"
    )
    heard.run(["sft", code])
    assert heard.progress == [(1, 4, 'loss 0.5, "é"\n'), (4, 4, "")]
    assert heard.lines == ["a line", "to stderr"]
    assert Path("pipeline.log").read_text() == "a line\nto stderr\n\n"
    heard.run(["compare", "print('another step')"])
    assert Path("pipeline.log").read_text() == "a line\nto stderr\n\nanother step\n"


def test_run_child_tells_warnings_from_other_lines(scripted):
    lines, warned = [], []
    code = "child.report_warning('answers are \\n cut off'); print('a line')"
    child.run_child(["sft", code], PipelineConfig(), Path("pipeline.log"), print, lines.append, warn=warned.append)
    assert (warned, lines) == (["answers are \n cut off"], ["a line"])


def test_run_child_names_the_log_and_the_last_words_of_a_crash(scripted, heard):
    code = "for n in range(50): print('line', n)\nraise RuntimeError('boom')"
    with pytest.raises(StageError) as caught:
        heard.run(["sft", code], scripted / "run" / "pipeline.log")
    message = str(caught.value)
    assert message.startswith("sft ended with exit code 1; its last words:\n")
    assert "RuntimeError: boom" in message
    assert "line 49" in message
    assert "line 20" not in message  # the log has it
    assert message.endswith(f"All of it: {scripted / 'run' / 'pipeline.log'}")
    assert "line 20" in (scripted / "run" / "pipeline.log").read_text()


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_run_child_names_the_signal_that_killed_it(scripted, heard, name):
    with pytest.raises(StageError, match=rf"^sft was killed by {name}; its last words:\nworking\n"):
        heard.run(["sft", f"print('working'); os.kill(os.getpid(), signal.{name})"])


def test_run_child_survives_whatever_is_printed(scripted, heard):
    printed = "\\xff\\xfe\\x00 no text\\n50 %\\r100 %\\r\\n@@progress [1]\\nlast, without an end"
    heard.run(["sft", f"os.write(1, b'{printed}')"])
    assert heard.progress == []
    assert heard.lines == ["\ufffd\ufffd\x00 no text", "50 %", "100 %", "@@progress [1]", "last, without an end"]


@pytest.mark.parametrize(("devices", "seen"), [("1,0", "1,0"), ("", ""), (None, "from the shell")])
def test_run_child_shows_the_devices_of_the_settings(scripted, heard, monkeypatch, devices, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "from the shell")
    heard.run(["sft", "print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')), os.getppid())"], cuda_devices=devices)
    assert heard.lines == [f"{seen!r} {os.getpid()}"]


def test_run_child_leaves_the_devices_alone_where_nobody_named_any(scripted, heard, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    heard.run(["sft", "print(os.environ.get('CUDA_VISIBLE_DEVICES'))"])
    assert heard.lines == ["None"]


def test_run_child_ends_the_child_when_the_parent_gives_up(scripted):
    class Cancelled(BaseException):
        pass

    seen = []

    def line(text):
        seen.append(int(text))
        raise Cancelled

    with pytest.raises(Cancelled):
        child.run_child(
            ["sft", "print(os.getpid()); time.sleep(60)"], PipelineConfig(), Path("log"), lambda *_: None, line
        )
    assert not alive(seen[0])


def test_run_child_ends_a_child_that_does_not_want_to(scripted, monkeypatch):
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.2)
    seen = []

    def line(text):
        seen.append(text)
        int(text)

    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); print('stop'); time.sleep(60)"
    with pytest.raises(ValueError, match="stop"):
        child.run_child(["sft", code], PipelineConfig(), Path("log"), lambda *_: None, line)
    assert not alive(int(seen[0]))


SLEEPS = "import time; time.sleep(300); open('outlived', 'w').close()"
GRANDCHILD = f"print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]OUTPUT).pid)"


@pytest.mark.parametrize(
    ("output", "ending"),
    [
        (", stdout=-3, stderr=-3", ""),
        ("", ""),  # it holds the pipe that the parent reads from
        ("", "; sys.stdout.flush(); os.kill(os.getpid(), 9)"),
    ],
)
def test_run_child_leaves_no_grandchild_behind(scripted, heard, output, ending):
    try:
        heard.run(["sft", GRANDCHILD.replace("OUTPUT", output) + ending])
    except StageError as error:
        assert "SIGKILL" in str(error)
    assert ends(int(heard.lines[0]))
    assert not Path("outlived").exists()


PARENT = """
from pathlib import Path
from stonk_pipeline.runs import child
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
code = "child.die_with_parent(); print(os.getpid()); time.sleep(100)"
child.run_child(["sft", code], PipelineConfig(), Path("log"), lambda *_: None, lambda line: print(line, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked for it on Linux alone")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_die_with_parent_ends_the_child_of_a_killed_parent(scripted, name):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        started = int(parent.stdout.readline())
        assert alive(started)
        parent.send_signal(signal.Signals[name])
        parent.wait()
        assert ends(started)


def test_die_with_parent_ends_a_child_whose_parent_is_gone_already():
    """The command line asks first of all: a step must not begin for a parent that is not there."""
    done = subprocess.run(
        [sys.executable, "-m", "stonk_pipeline", "--version"],
        cwd=ROOT,
        env=os.environ | {child.PARENT: str(2**22 + 1)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_die_with_parent_does_nothing_for_a_process_that_is_no_child(monkeypatch):
    monkeypatch.delenv(child.PARENT, raising=False)
    child.die_with_parent()
    assert not child.has_parent()


def test_report_progress_has_a_form_for_parents_and_one_for_people(monkeypatch, capsys):
    monkeypatch.delenv(child.PARENT, raising=False)
    child.report_progress(3, 10, "loss 0.5")
    assert capsys.readouterr().out == "3/10 loss 0.5\n"
    monkeypatch.setenv(child.PARENT, "1")
    child.report_progress(3, 10, "loss 0.5")
    assert capsys.readouterr().out == '@progress [3, 10, "loss 0.5"]\n'


def test_run_child_hears_what_the_projects_own_code_warns_of(scripted):
    lines, warned = [], []
    code = (
        "import logging; child.hand_on_warnings()\n"
        "from stonk_pipeline.files import locks; locks.on_stderr('waiting for a lock')\n"
        "logging.getLogger('transformers').warning('of others'); logging.getLogger('preprocessing.x').info('small')"
    )
    child.run_child(["sft", code], PipelineConfig(), Path("pipeline.log"), print, lines.append, warn=warned.append)
    assert (warned, lines) == (["waiting for a lock"], ["of others"])
