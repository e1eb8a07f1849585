"""Kills everything that takes part in a run, at random instants, many times, and reports what came of it.

    .venv/bin/python benchmarks/chaos.py --kills 100

One run goes through undisturbed first. Then a run is started, something is killed or cancelled after a random time, the
clock runs until the server shows a state that has ended, and the run is retried and disturbed again, until it completes
and its outputs and published adapters are compared with the undisturbed run's. Then the next run begins. The table has
a line a target:

- state after: seconds until the run was Crashed, Failed, Cancelled (or Completed, if it took no notice);
- orphans: processes that were still there ten seconds later and should not have been;
- runs, wrong: completed runs with such a kill among theirs, and those whose outputs or published adapters differ
  from the undisturbed run's, or that left something beside these.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.served import ENDS, TINY, Served, digests, of_home, unpublished  # noqa: E402  # needs the line above

TARGETS = (
    ("flow", "SIGKILL"),
    ("flow", "SIGTERM"),
    ("stage", "SIGKILL"),
    ("stage", "SIGTERM"),
    ("run", "cancel"),
    ("server", "SIGKILL"),
    ("serve", "SIGKILL"),
    ("serve", "SIGTERM"),
)
COMMANDS = {"flow": "-m prefect.engine", "stage": "-m stonk_pipeline ", "server": "-m tasks.server"}
Target = tuple[str, str]


@dataclass
class Tally:
    """What came of the kills of one target."""

    seconds: list[float] = field(default_factory=list)
    orphans: int = 0
    runs: int = 0
    wrong: int = 0


class Soak:
    """A server, a run on it, and counts."""

    def __init__(self, home: Path, longest: float, seed: int) -> None:
        self.served = Served(home, "--recipe", str(TINY))
        self.random = random.Random(seed)
        self.longest = longest
        self.tallies: dict[Target, Tally] = defaultdict(Tally)
        self.kills = 0

    def state(self, run: str) -> str:
        """State of a run, also while the server is away."""
        try:
            return self.served.state(run)
        except httpx.HTTPError:
            return "UNKNOWN"

    def wait(self, run: str, *states: str, seconds: float) -> tuple[str, float]:
        """(the state, seconds until it was reached, or until patience ended)."""
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < seconds:
            if (now := self.state(run)) in states:
                return now, waited
            time.sleep(0.1)
        return self.state(run), seconds

    def strays(self, allowed: tuple[str, ...]) -> int:
        """Processes that should be gone, ten seconds after a run has ended."""
        until = time.monotonic() + 10
        while True:
            commands = of_home(str(self.served.home / "prefect")).values()
            left = [one for one in commands if not any(words in one for words in allowed)]
            if not left or time.monotonic() > until:
                for one in left:
                    print(f"    orphan: {one}", flush=True)
                return len(left)
            time.sleep(0.2)

    def disturb(self, run: str, target: Target) -> bool:
        """Kills or cancels once; False if the target was not there."""
        who, how = target
        if how == "cancel":
            if self.state(run) != "RUNNING":
                return False
            self.served.cancel(run)
            return True
        if who == "serve":
            assert self.served.process is not None
            os.kill(self.served.process.pid, signal.Signals[how])
            self.served.process.wait(60)
            return True
        found = [pid for pid, one in of_home(str(self.served.home / "prefect")).items() if COMMANDS[who] in one]
        if not found:
            return False
        os.kill(found[0], signal.Signals[how])
        return True

    def kill_once(self, run: str) -> Target | None:
        """Lets a run work for a random time, then disturbs it; None if it ended before."""
        if self.wait(run, "RUNNING", *ENDS, seconds=120)[0] in ENDS:
            return None
        if self.wait(run, *ENDS, seconds=self.random.uniform(0.5, self.longest))[0] in ENDS:
            return None
        target = self.random.choice(TARGETS)
        if not self.disturb(run, target):
            return None
        begun, tally = time.monotonic(), self.tallies[target]
        self.kills += 1
        if target[0] == "serve":
            tally.orphans += self.strays(("tasks.guard",))
            self.served.start()
        elif target[0] == "server":
            self.wait(run, "RUNNING", *ENDS, seconds=120)
        ended, _ = self.wait(run, *ENDS, seconds=400)
        tally.seconds.append(time.monotonic() - begun)
        if target[0] != "serve" and ended in ENDS:
            tally.orphans += self.strays(("tasks.server", "flows.serve", "tasks.guard"))
        print(f"{self.kills:4} {target[0]:7} {target[1]:8} {ended:10} {tally.seconds[-1]:6.1f} s", flush=True)
        return target

    def one_run(self, expected: dict[str, str], kills: int) -> None:
        """Disturbs a run until it completes, or there were enough kills, after which it may complete."""
        run, suffered = self.served.run(), set()
        while True:
            if self.kills < kills and (target := self.kill_once(run)) is not None:
                suffered.add(target)
            ended, _ = self.wait(run, *ENDS, seconds=0.1 if self.kills < kills else 1200)
            if ended == "COMPLETED":
                break
            if ended in ENDS:
                self.served.retry(run)
        directory = self.served.directory(run)
        wrong = digests(directory) != expected or bool(unpublished(directory, expected))
        for target in suffered:
            self.tallies[target].runs += 1
            self.tallies[target].wrong += wrong
        print(f"     completed, {'WRONG outputs' if wrong else 'the same outputs'}", flush=True)
        if not wrong:
            shutil.rmtree(directory)

    def table(self) -> str:
        """The counts, as Markdown."""
        lines = ["| target | signal | kills | state after, s: median | longest | orphans | runs | wrong |"]
        lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for who, how in TARGETS:
            tally = self.tallies[who, how]
            if tally.seconds:
                middle, longest = statistics.median(tally.seconds), max(tally.seconds)
                lines.append(
                    f"| {who} | {how} | {len(tally.seconds)} | {middle:.1f} | {longest:.1f} | {tally.orphans} "
                    f"| {tally.runs} | {tally.wrong} |"
                )
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=600.0, help="no further kills after this time")
    parser.add_argument("--longest", type=float, default=30.0, help="longest time before a kill, in seconds")
    parser.add_argument("--home", type=Path, help="directory to use and keep; its undisturbed run is used again")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        soak = Soak(args.home or Path(directory), args.longest, args.seed)
        soak.served.start()
        until = time.monotonic() + 60 * args.minutes
        try:
            note = soak.served.home / "undisturbed"
            run = note.read_text() if note.exists() else soak.served.run()
            assert soak.served.wait(run, seconds=1800) == "COMPLETED"
            note.write_text(run)
            expected = digests(soak.served.directory(run))
            while soak.kills < args.kills and time.monotonic() < until:
                soak.one_run(expected, args.kills)
        finally:
            soak.served.stop()
            print(soak.table())


if __name__ == "__main__":
    main()
