"""`./run_pipeline.sh serve` as a test or a benchmark uses it: started, asked through the API as the UI asks, ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.places import ORIGIN
from stonk_pipeline.pipeline.publishing import ADAPTER
from stonk_pipeline.runs.manifest import TIMED, file_digest, verify

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def environment(home: Path, **more: str) -> dict[str, str]:
    """The test's own environment, with a database and locks of its own and no server named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own = {
        "PREFECT_HOME": str(home / "prefect"),
        "STONK_LOCKS": str(home / "locks"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return kept | own | more


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Patient(httpx.HTTPTransport):
    """Asks again, as Prefect's own client does, while SQLite is busy, as it is after a kill or on a busy machine."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        until = time.monotonic() + 60
        while (answer := super().handle_request(request)).status_code == 503 and time.monotonic() < until:
            answer.close()
            time.sleep(1)
        return answer


class Served:
    """A server and what serves for it; the two can be ended apart."""

    def __init__(self, home: Path, *options: str, named: bool = True) -> None:
        """`named`: with directories of its own as options, which fill the form anew at each start."""
        self.home, self.options, self.port = home, options, free_port()
        if named:
            self.options = ("--results-dir", str(home / "results"), "--models-dir", str(home / "models"), *options)
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.api = httpx.Client(base_url=self.url, timeout=60, transport=Patient())
        self.process: subprocess.Popen[bytes] | None = None
        self.results = home / "results"
        home.mkdir(parents=True, exist_ok=True)

    def start(self, **more: str) -> None:
        """Starts `serve`, and returns when it says that it serves."""
        log = self.home / "serve.log"
        begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", "--port", str(self.port), *self.options],
                cwd=ROOT,
                env=environment(self.home, **more),
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        until = time.monotonic() + 240
        while b"Ctrl-C ends" not in log.read_bytes()[begin:]:  # in bytes, as the size is: errors hold other characters
            assert self.process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends `serve`."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Asks the API."""
        answer = self.send("POST", path, body)
        answer.raise_for_status()
        return answer.json()

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A write, with a token that was read before, as every client of the server has to show one."""
        token = self.api.get("/csrf-token", params={"client": "tests"})
        token.raise_for_status()
        shown = {"Prefect-Csrf-Client": "tests", "Prefect-Csrf-Token": token.json()["token"]}
        return self.api.request(method, path, json=body, headers=shown)

    def deployment(self, name: str = "train/train") -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/deployments/name/{name}").raise_for_status().json()
        return found

    def run(self, **parameters: Any) -> str:
        """Starts a run as the UI's "Quick run" does; gives its id."""
        config = self.deployment()["parameters"]["config"] | parameters
        made = self.post(
            f"/deployments/{self.deployment()['id']}/create_flow_run",
            {"state": {"type": "SCHEDULED"}, "parameters": {"config": config}},
        )
        return str(made["id"])

    def set_state(self, run: str, **state: Any) -> None:
        answer = self.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        assert answer["status"] == "ACCEPT", answer

    def retry(self, run: str) -> None:
        """What the UI's button sends, once the process of the attempt before is gone.

        Prefect 3.7 reports a run whose process ended with an error as crashed, about a second after the run itself said
        that it failed; a retry that is asked for in between is taken for the crashed one.
        """
        until = time.monotonic() + 60
        while any("-m prefect.engine" in one for one in of_home(str(self.home / "prefect")).values()):
            assert time.monotonic() < until, "the attempt before does not end"
            time.sleep(0.1)
        time.sleep(1.5)
        self.set_state(run, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")

    def cancel(self, run: str) -> None:
        """What the UI's button sends."""
        self.set_state(run, type="CANCELLING", name="Cancelling", message="Cancelled from the UI")

    def state(self, run: str) -> str:
        return str(self.api.get(f"/flow_runs/{run}").raise_for_status().json()["state"]["type"])

    def wait(self, run: str, *states: str, seconds: float = 600) -> str:
        """Waits until a run is in one of the states, or at its end; gives the state."""
        wanted, until = states or ENDS, time.monotonic() + seconds
        while True:
            now = self.state(run)
            if now in wanted:
                return now
            assert time.monotonic() < until, f"{run} is {now} after {seconds:.0f} s, not one of {wanted}"
            time.sleep(0.2)

    def tasks(self, run: str) -> list[tuple[str, str]]:
        """(name of the step, name of its state) of each task run, in their order."""
        found = self.post(
            "/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"}
        )
        # A task that was made this instant has no state yet.
        states = [task["state"]["name"] if task["state"] else "Pending" for task in found]
        return [(task["name"].rpartition("-")[0], state) for task, state in zip(found, states, strict=True)]

    def directory(self, run: str) -> Path:
        """The run's directory: its name ends with the head of the run's id."""
        (found,) = [path for path in self.results.iterdir() if path.name.endswith(f"-{run[:4]}")]
        return found


@contextmanager
def serving(home: Path, *options: str) -> Iterator[Served]:
    """Serves while the block runs."""
    served = Served(home, *options)
    served.start()
    try:
        yield served
    finally:
        served.stop()


def digests(directory: Path) -> dict[str, str]:
    """Digest of each stage's outputs, of those without times of the clock."""
    run = open_run(directory)
    found = {}
    for step in run.graph:
        outputs = verify(run.stage_dir(step)).outputs
        found |= {f"{step}/{name}": digest for name, digest in outputs.items() if name not in TIMED}
    return found


def unpublished(directory: Path, expected: dict[str, str]) -> list[str]:
    """What is not as an undisturbed run's digests say where a run publishes its adapters, or does not belong there."""
    run = open_run(directory)
    wanted = {}
    for step, spec in run.graph.items():
        if spec.publishes:
            begin = f"{step}/{ADAPTER}/"
            names = [name.removeprefix(begin) for name in expected if name.startswith(begin)]
            wanted |= {f"{spec.publishes}/{name}": expected[begin + name] for name in names}
            wanted |= {spec.publishes: "a folder", f"{spec.publishes}/{ORIGIN}": "a note"}  # of this run, with its time
    there = {}
    for path in run.models_dir.rglob("*"):
        kind = "a folder" if path.is_dir() else "a note" if path.name == ORIGIN else file_digest(path)
        there[path.relative_to(run.models_dir).as_posix()] = kind
    return sorted(name for name in wanted | there if wanted.get(name) != there.get(name))


def of_home(mark: str) -> dict[int, str]:
    """Processes whose environment names a PREFECT_HOME: id -> command line, without those that have ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if _home(entry) == mark and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def _home(entry: Path) -> str | None:
    for item in (entry / "environ").read_bytes().split(b"\0"):
        if item.startswith(b"PREFECT_HOME="):
            return item[13:].decode()
    return None
