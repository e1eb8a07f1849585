"""Runs malformed inputs in a process of their own, which bounds time and memory and survives whatever they do."""

import multiprocessing
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import PipelineError

from .cases import Case, Reader

SECONDS = 10
"""That a reader may take for one input."""
MEGABYTES = 1_000
"""That one may add to the process's memory."""
KINDS = ("refused", "read", "traceback", "silent", "vague", "slow", "large", "crash")
"""Outcomes; the first two are right. `silent`: damage was taken. `vague`: refused without a place, or at length."""


class Slow(BaseException):
    """Raised by the alarm; no reader can take it for an error of its own."""


@dataclass
class Outcome:
    """What the inputs of one reader came to."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """(kind, case, why) of those that are not right."""
    slowest: float = 0.0
    largest: int = 0
    """MB that an input added at most."""


def run(reader: Reader, seed: int, count: int) -> Outcome:
    """Puts so many inputs to a reader."""
    outcome, begun = Outcome(), 0
    while begun < count:
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        process = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, reader, seed, begun, count))
        process.start()
        theirs.close()
        for number, name, kind, why, seconds, megabytes in _results(ours):
            begun = number + 1
            outcome.counts[kind] += 1
            outcome.slowest = max(outcome.slowest, seconds)
            outcome.largest = max(outcome.largest, megabytes)
            if kind not in KINDS[:2]:
                outcome.findings.append((kind, name, why))
        if begun < count:  # it ended, or stood still, in the middle of an input
            process.kill()
            outcome.counts["crash"] += 1
            outcome.findings.append(("crash", f"number {begun}", f"exit code {process.exitcode}"))
            begun += 1
        process.join()
    return outcome


def _results(pipe: Connection) -> Iterator[Any]:
    try:
        while pipe.poll(6 * SECONDS):
            yield pipe.recv()
    except EOFError:
        return


def _work(pipe: Connection, reader: Reader, seed: int, begun: int, count: int) -> None:
    present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft = present + 4_000 * 1_000_000  # so that an input that fills the memory ends itself, and not the machine
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    signal.signal(signal.SIGALRM, _alarm)
    reader.prepare()
    for number, case in enumerate(islice(reader.cases(random.Random(seed)), count)):
        if number >= begun:
            pipe.send((number, case.name, *attempt(reader, case)))


def _alarm(signum: int, frame: object) -> None:
    raise Slow


def attempt(reader: Reader, case: Case) -> tuple[str, str, float, int]:
    """Reads one input: (kind of outcome, why, seconds, MB added)."""
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        for name, content in case.files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
        if case.write:
            case.write(directory)
        _reset_peak()
        before, start = _peak(), time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            kind, why = _judge(reader, case, directory)
        except Slow:
            kind, why = "slow", f"more than {SECONDS} s"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds, megabytes = time.monotonic() - start, _peak() - before
        if megabytes > MEGABYTES:
            kind, why = "large", f"{megabytes} MB"
        return kind, why, seconds, megabytes
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _judge(reader: Reader, case: Case, directory: Path) -> tuple[str, str]:
    try:
        value = reader.read(directory, case)
    except PipelineError as error:
        return _judge_message(str(error), case, directory)
    except MemoryError:
        return "large", "memory ran out"
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if {"stonk_pipeline", "preprocessing"} & set(Path(frame.filename).parts)]
        at = (own or frames)[-1]
        return "traceback", f"{type(error).__name__}: {str(error)[:100]} at {Path(at.filename).name}:{at.lineno}"
    if case.refused:
        return "silent", f"taken: {str(value)[:100]}"
    return ("read", "") if reader.sound(value) else ("silent", f"taken: {str(value)[:200]}")


def _judge_message(message: str, case: Case, directory: Path) -> tuple[str, str]:
    """A refusal is right if it names the file or the option, in few words that a terminal can show."""
    named = str(directory) in message or any(f"{word}" in message for word in _places(case))
    short = len(message) < 6_000 and message.replace("\n", "").replace("\t", "").isprintable()
    return ("refused", "") if named and short else ("vague", message[:200])


def _places(case: Case) -> list[str]:
    """What a refusal may name instead of a file: the option, or the setting that it changes."""
    if not case.options or case.options[0] != "--set":
        return ["no recipe", "cannot be read"] if case.options else []
    return ["--set", *(f"command line: {text}" for text in ("wrong settings", "contract"))]


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    """The largest memory of this process since the reset, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1000
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
