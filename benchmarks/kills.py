"""Kills the writers of the project's records many times, does again what was killed, and looks for losses and remains.

    .venv/bin/python benchmarks/kills.py                      # 600 kills, a minute or two
    .venv/bin/python benchmarks/kills.py --kills 60 --seed 7

Each writer has a folder that grows. A process of its own does the next step there and is killed (SIGKILL): half of them
after a random time, half just before a random change of a file. What was finished before has to be there, whole and
unchanged; so has the step itself, if the process had said that it was done. Another process then does it again, as a
person would. The table has a line a writer:

- in the middle: kills between the step's beginning and its end;
- lost: kills after which something that was finished was gone, damaged or changed, or the step could not be done again;
- left behind: kills after which a temporary file, an unfinished folder or a lock stayed, once the step was done again.
"""

import argparse
import multiprocessing
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # processes are forked, and threads are not
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from killed.journals import Bars, ForwardLog  # noqa: E402
from killed.models import Promote, Prune, Publication, Register  # noqa: E402
from killed.steps import Facts, Step, Writer  # noqa: E402

from stonk_pipeline.files import locks  # noqa: E402
from tests.killing import die_at  # noqa: E402

WRITERS: tuple[type[Writer], ...] = (Register, Promote, Prune, ForwardLog, Publication, Bars)
PATIENCE = 60.0
"""Seconds after which a process that neither ends nor is killed counts as stuck."""

NEVER = sys.maxsize
"""Number of a change that no step comes to."""
STEPS = 20
"""Steps in a folder, at most, before the next folder begins."""


@dataclass
class Tally:
    """What came of the kills of one writer."""

    kills: int = 0
    middle: int = 0
    lost: int = 0
    left: int = 0
    findings: list[str] = field(default_factory=list)
    changes: int = 1
    """Changes of files in a step that is let be, at most."""
    seconds: float = 0.0
    """How long one takes, at most."""


@dataclass
class End:
    """How a process ended that did a step."""

    killed: bool
    begun: bool
    done: bool
    """It had said so."""
    changes: int
    seconds: float


def attempt(step: Step, instant: int = NEVER, delay: float | None = None) -> End:
    """Does a step in a process of its own, which is killed before a change of a file, or after a time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _do(step, instant, writing, lasting=delay is not None)
    os.close(writing)
    said = _listen(reading, PATIENCE, "begun")
    started = time.monotonic()
    said += _listen(reading, PATIENCE if delay is None else delay, "")
    seconds = time.monotonic() - started
    os.kill(child, signal.SIGKILL)  # without effect where it has ended
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    said += _listen(reading, PATIENCE, "")
    os.close(reading)
    _, _, changes = said.partition("done")
    return End(killed, "begun" in said, bool(changes), int(changes or 0), seconds)


def _do(step: Step, instant: int, writing: int, *, lasting: bool) -> None:
    status = 1
    try:
        seen = die_at(instant)
        os.write(writing, b"begun")
        step.act()
        os.write(writing, b"done%d" % seen())
        if lasting:
            time.sleep(PATIENCE)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _listen(pipe: int, seconds: float, word: str) -> str:
    """What comes out of a pipe until a word, its end, or a time."""
    said, until = "", time.monotonic() + seconds
    while not (word and word in said) and (left := until - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            piece = os.read(pipe, 100)
            if not piece:
                break
            said += piece.decode()
    return said


def lost(writer: Writer, step: Step, before: Facts, *, done: bool) -> str | None:
    """What is gone, damaged or changed in a writer's folder, or was done and is not there."""
    try:
        facts = writer.facts()
        changed = {name for name in before | facts if before.get(name) != facts.get(name)} - step.may_change
        changed |= before.keys() - facts.keys()  # what was there may be another, and not gone
        if changed:
            return f"changed: {', '.join(sorted(changed))}"
        return step.after(facts) if done else None
    except Exception as error:  # whatever a reader of the project says of damage
        return f"{type(error).__name__}: {error}"


def kill(writer: Writer, tally: Tally, rng: random.Random) -> bool:
    """One step that is killed, looked at, done again, and looked at again; whether all was right."""
    step = writer.step()
    before = writer.facts()
    if rng.random() < 0.5:
        end = attempt(step, instant=rng.randint(1, tally.changes))
    else:
        end = attempt(step, delay=rng.uniform(0, 1.2 * tally.seconds))
    why = lost(writer, step, before, done=end.done)
    again = attempt(step)
    if again.killed or not again.done:
        why = why or "the step could not be done again"
    why = why or lost(writer, step, before, done=True)
    held = [str(path) for path in writer.folder.rglob(".*lock") if locks.is_held(path)]
    left = writer.left_behind() + [f"{path} is held" for path in held]
    tally.kills += end.killed
    tally.middle += end.killed and end.begun and not end.done
    tally.lost += why is not None
    tally.left += bool(left)
    tally.findings += [why] if why else []
    tally.findings += left
    tally.changes = max(tally.changes, again.changes)
    return not why and not left


def run(work: tuple[int, int, int, str]) -> Tally:
    """Kills one writer so many times: (its number, kills, seed, where its folders lie)."""
    which, kills, seed, root = work
    kind, rng = WRITERS[which], random.Random(f"{seed} {which}")
    tally, folder = Tally(), 0
    while tally.kills < kills:
        folder += 1
        writer = kind(Path(root) / f"{kind.__name__}{folder}", rng)
        alone = attempt(writer.step())  # for how long it takes
        tally.changes = max(tally.changes, alone.changes)
        tally.seconds = max(tally.seconds, alone.seconds)
        for _ in range(STEPS):
            if tally.kills == kills or not kill(writer, tally, rng):
                break  # in a folder that is damaged, everything that follows would count too
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=600, help="of all writers together")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begun, wrong = time.monotonic(), []
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPU cores, seed {args.seed}\n", flush=True)
    print("| writer | kills | in the middle | lost | left behind |\n| --- | --- | --- | --- | --- |", flush=True)
    shares = [args.kills // len(WRITERS) + (number < args.kills % len(WRITERS)) for number in range(len(WRITERS))]
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as root,
        multiprocessing.get_context("fork").Pool(locks.cores()) as pool,  # no thread is in those processes
    ):
        work = [(number, share, args.seed, root) for number, share in enumerate(shares)]
        for kind, found in zip(WRITERS, pool.imap(run, work), strict=True):
            print(f"| {kind.name} | {found.kills} | {found.middle} | {found.lost} | {found.left} |", flush=True)
            wrong += [f"{kind.name}: {finding}" for finding in found.findings]
    print(f"\n{time.monotonic() - begun:.0f} s", flush=True)
    for line in wrong:
        sys.stderr.write(line + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
