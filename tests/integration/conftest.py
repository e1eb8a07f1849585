"""One run of the whole flow on the small recipe, shared by the tests that look at what it left."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.files import locks
from stonk_pipeline.pipeline.run import Run
from tests.pseudo_terminal import Terminal
from tests.served import TINY, Served, digests, environment, serving

ROOT = Path(__file__).parents[2]


def run_flow(arguments: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """`python -m flows.train_flow …` with a Prefect server and database of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    return subprocess.run(
        [sys.executable, "-m", "flows.train_flow", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )


@pytest.fixture(name="run_flow", scope="session")
def _run_flow() -> Callable[[list[str], Path], "subprocess.CompletedProcess[str]"]:
    return run_flow


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow")


@pytest.fixture(scope="session")
def watched(scratch: Path) -> Terminal:
    """The terminal, 80 columns wide, in which `--recipe small` ran, and waited for an accelerator at first.

    With Unsloth, which `auto` takes on a GPU alone.
    """
    terminal, home = Terminal(80), scratch / "watched"
    places = ["--results-dir", str(scratch / "results"), "--models-dir", str(scratch / "models")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STONK_LOCKS", environment(home)["STONK_LOCKS"])
        with locks.accelerator(locks.accelerators(None), "another run"):
            command = [sys.executable, "-m", "flows.train_flow", "--recipe", "small", *places]
            command += ["--set", "model.backend=unsloth"]
            terminal.run(command, ROOT, environment(home))
            terminal.until(lambda text: "waits" in text, 300)
    code = terminal.wait(800)
    assert code == 0, "\n".join(terminal.screen.lines)
    return terminal


@pytest.fixture(scope="session")
def small_run(watched: Terminal, scratch: Path) -> Iterator[Run]:
    """A finished run of `--recipe small`."""
    (directory,) = (scratch / "results").iterdir()
    yield open_run(directory)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Served]:
    """`./run_pipeline.sh serve` on a database of its own, with a form for the tiniest run."""
    kept = pytestconfig.getoption("--served-home")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # tests side by side have a server each
    home = Path(kept).resolve() / worker if kept else tmp_path_factory.mktemp("served")
    with serving(home, "--recipe", str(TINY)) as running:
        yield running


@pytest.fixture(scope="session")
def undisturbed(served: Served) -> tuple[str, dict[str, str]]:
    """A served run that went through: its id, and what it left."""
    note = served.home / "undisturbed"
    run = note.read_text() if note.exists() else served.run()
    if note.exists() and served.state(run) != "COMPLETED":  # the session before ended in the middle of a test
        served.retry(run)
    assert served.wait(run) == "COMPLETED", (served.home / "serve.log").read_text()[-3000:]
    note.write_text(run)
    return run, digests(served.directory(run))
