"""Runs a step in a child process, which frees all its memory at the end and dies with its parent."""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stonk_pipeline import errors
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.runs.capacity import killed_hint
from stonk_pipeline.runs.manifest import Progress

PROGRESS, ERROR, WARNING = "@progress ", "@error ", "@warning "
PARENT = "STONK_PARENT_PID"
GRACE_SECONDS = 4
"""Between asking a child to stop and killing it."""


def run_child(
    arguments: list[str],
    config: RunConfig,
    log: Path,
    progress: Progress,
    line: Callable[[str], None],
    *,
    warn: Callable[[str], None] | None = None,
    locks: tuple[int, ...] = (),
    smaller: str = "use a smaller model",
) -> None:
    """Runs `python -m stonk_pipeline <arguments>` and waits for it.

    Args:
        arguments: of the command line.
        config: of the run; says which devices the child may see.
        log: file that receives all that the child prints.
        progress: receives the child's progress.
        line: receives each other line.
        warn: receives what the child warns of; without it, `line` does.
        locks: descriptors of locks that the child holds as well, so that they are not free before it has ended.
        smaller: what makes the command need less memory, for the message where it was killed.

    Raises:
        PipelineError: of the class that the child raised, with its message.
        StageError: the child ended otherwise; names the log.
    """
    settings = environment()
    if config.cuda_devices is not None:
        settings["CUDA_VISIBLE_DEVICES"] = config.cuda_devices
    child = subprocess.Popen(
        [sys.executable, "-m", "stonk_pipeline", *arguments],
        env=settings,
        cwd=Path.cwd(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=locks,
    )
    threading.Thread(target=_end_group, args=(child,), daemon=True).start()
    try:
        error, tail = _listen(child, log, progress, line, warn or line)
        code = child.wait()
    finally:
        _end(child)
    if error is not None:
        raise error
    if code:
        raise errors.StageError(_obituary(arguments[0], code, tail, log, smaller))


def environment() -> dict[str, str]:
    """Returns the environment of a child, which ends when this process does."""
    return os.environ | {PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def _obituary(step: str, code: int, tail: list[str], log: Path, smaller: str) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = f"\n{killed_hint(smaller)}" if code == -signal.SIGKILL else ""
    return f"{step} {how}; its last words:\n" + "\n".join(tail) + f"{hint}\nAll of it: {log}"


def _listen(
    child: "subprocess.Popen[str]",
    log: Path,
    progress: Progress,
    line: Callable[[str], None],
    warn: Callable[[str], None],
) -> tuple[errors.PipelineError | None, list[str]]:
    """Reads what the child prints until it ends: (the error it reported, its last lines)."""
    error: errors.PipelineError | None = None
    tail: deque[str] = deque(maxlen=15)
    assert child.stdout is not None
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666), "ab", buffering=0) as stream:
        for raw in child.stdout:
            text = raw.rstrip("\n")
            if text.startswith(PROGRESS):
                progress(*json.loads(text[len(PROGRESS) :]))
                continue
            if text.startswith(WARNING):
                warn(json.loads(text[len(WARNING) :]))
                continue
            with suppress(OSError):  # a full disk: what the child says about it counts more than its log
                stream.write(raw.encode())
            if text.startswith(ERROR):
                kind, message = json.loads(text[len(ERROR) :])
                error = getattr(errors, kind, errors.StageError)(message)
            elif text.strip():
                tail.append(text)
                line(text)
    return error, list(tail)


def _end(child: "subprocess.Popen[str]") -> None:
    """Ends the child and whatever it started, whether the wait ended normally or not."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    child.kill()
    _end_group(child)


def _end_group(child: "subprocess.Popen[str]") -> None:
    """Ends what a child started as soon as the child has ended: else the output that is read here would stay open."""
    child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def has_parent() -> bool:
    """Tells whether this process is a step's child process."""
    return PARENT in os.environ


def die_with_parent() -> None:
    """Ends this process when the one that started it as a child ends, if it is a child."""
    parent = os.environ.get(PARENT)
    if parent is not None:
        die_with(int(parent))


def die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends (Linux); elsewhere a thread watches."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(1)


def report_progress(done: int, total: int, note: str) -> None:
    """Prints progress, in the form that a parent reads where there is one."""
    text = f"{PROGRESS}{json.dumps([done, total, note])}" if has_parent() else f"{done}/{total} {note}"
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report_warning(text: str) -> None:
    """Prints a warning, in the form that a parent reads where there is one, and else on standard error."""
    if has_parent():
        sys.stdout.write(f"{WARNING}{json.dumps(text)}\n")
        sys.stdout.flush()
    else:
        sys.stderr.write(f"warning: {text}\n")


def report_error(error: errors.PipelineError) -> None:
    """Prints an error in the form that a parent reads."""
    sys.stdout.write(f"{ERROR}{json.dumps([type(error).__name__, str(error)])}\n")
    sys.stdout.flush()


class _Warnings(logging.Handler):
    """Hands on to a parent what is logged as a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        report_warning(record.getMessage())


def hand_on_warnings() -> None:
    """Has the warnings that the project's own code logs reach the parent, where this process is somebody's child."""
    for package in (__name__.partition(".")[0], "preprocessing") if has_parent() else ():
        logging.getLogger(package).addHandler(_Warnings(logging.WARNING))
        logging.getLogger(package).propagate = False
