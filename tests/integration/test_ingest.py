"""New bars start one retraining, the same bars none: a real server, its automation, and served deployments."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from preprocessing.ingest import store
from preprocessing.ingest.sources import make_source
from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.market.bars import generate
from stonk_pipeline.records import ingests
from stonk_pipeline.runs.manifest import read_manifest
from tests.served import Patient

ROOT = Path(__file__).parents[2]

SERVE = """
import json, sys
from prefect import serve
from flows.ingest_flow import ingest_flow
from flows.retrain_flow import retrain_flow
from tasks.automations import ensure_retrain_automation

ingest, retrain = json.loads(sys.argv[1])
deployments = [
    ingest_flow.to_deployment("ingest", parameters={"config": ingest}),
    retrain_flow.to_deployment("retrain", parameters={"config": retrain}),
]
(retrain_id,) = [item.apply() for item in deployments][1:]
first = ensure_retrain_automation(retrain_id)
assert ensure_retrain_automation(retrain_id) == first
print("ready", flush=True)
serve(*deployments, pause_on_shutdown=False)
"""

TINY = {"steps": 1, "prompts_per_step": 2, "group_size": 4, "micro_batch": 8, "save_steps": 1, "validation_windows": 8}
FEW = {
    "grpo_first": TINY,
    "grpo_second": TINY,
    "sampling": {"engine": "transformers", "windows": 16, "samples": 8, "min_skill": -5.0},
    "comparison": {"engine": "transformers", "windows": 24, "samples": 2, "resamples": 100},
    "model": {"backend": "peft"},
}


def write_bars(folder: Path, days: int, more: dict[str, int]) -> None:
    """Three stocks of the generated market: so many days, and more of some."""
    folder.mkdir(exist_ok=True)
    for symbol, frame in generate(MarketConfig(tickers=3, days=days + 50)).items():
        frame.head(days + more.get(symbol, 0)).to_csv(folder / f"{symbol}.csv", index=False)


def first_ingest(place: "Place") -> None:
    """Fills the store before anything watches it."""
    config = IngestConfig(folder=str(place.incoming), data_dir=str(place.bars))
    with store.alone(place.bars):
        symbols = store.wanted_symbols(config)
        changes = [store.update(config, make_source(config), symbol, date.today()) for symbol in symbols]
        store.record(place.bars, "test", changes, datetime.now(UTC))


@dataclass(frozen=True)
class Place:
    """A server with both deployments served, and what they read and write."""

    folder: Path
    environment: dict[str, str]

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"

    @property
    def bars(self) -> Path:
        return self.folder / "bars"

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        address = self.environment["PREFECT_API_URL"] + path
        with httpx.Client(timeout=60, transport=Patient()) as client:
            return client.request(method, address, json=body).raise_for_status().json()

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """Runs of a flow, oldest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        return self.api("POST", "/flow_runs/filter", body)

    def ingest(self) -> dict[str, Any]:
        """Runs the ingest deployment to its end."""
        deployment = self.api("GET", "/deployments/name/ingest/ingest")
        run = self.api("POST", f"/deployments/{deployment['id']}/create_flow_run", {})
        return wait_for(lambda: ended([self.api("GET", f"/flow_runs/{run['id']}")]), 180)[0]

    def events(self) -> int:
        """How often changed bars were announced."""
        body = {"filter": {"event": {"name": ["stonk.data.changed"]}}, "limit": 50}
        return len(self.api("POST", "/events/filter", body)["events"])


def ended(runs: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    return runs if runs and all(run["state_type"] in final for run in runs) else None


def wait_for(found: Callable[[], Any], seconds: float) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if value := found():
            return value
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("operated")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    here = Place(folder, environment)
    write_bars(here.incoming, 320, {})
    first_ingest(here)
    ingest = {"folder": str(here.incoming), "data_dir": str(here.bars)}
    places = {"results_dir": str(folder / "results"), "models_dir": str(folder / "models")}
    retrain = {"data_dir": str(here.bars), "recipe": "small", "overrides": FEW | places}
    commands = [
        ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
        ["-c", SERVE, json.dumps([ingest, retrain])],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "server.log").open("wb") as server_log, (folder / "serve.log").open("wb") as serve_log:
            for command, log in zip(commands, (server_log, serve_log), strict=True):
                running.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        cwd=ROOT,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
                wait_for(lambda: answers(environment["PREFECT_API_URL"]), 300)
            wait_for(lambda: b"ready" in (folder / "serve.log").read_bytes(), 300)
            yield here
    finally:
        for child in reversed(running):
            child.send_signal(signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)


def test_new_bars_start_one_retraining_and_the_same_bars_none(place: Place) -> None:
    # Ten more days of one of the three stocks.
    write_bars(place.incoming, 320, {"SIM02": 10})
    assert place.ingest()["state_name"] == "Completed"
    record = ingests.read(place.bars)[-1]
    assert {change.symbol: change.added for change in record.changes} == {"SIM01": 0, "SIM02": 10, "SIM03": 0}
    (run,) = wait_for(lambda: ended(place.runs("retrain")), 700)
    assert run["state_name"] == "Completed", run["state"]["message"]

    # What it was trained on is what the record says.
    (directory,) = (place.folder / "results").glob("ALL_*")
    assert read_manifest(directory / "preprocessing").inputs == record.files

    # The same bars again, twice: neither an event nor a run.
    assert [place.ingest()["state_name"] for _ in range(2)] == ["Completed"] * 2
    time.sleep(30)  # an automation acts within ten, and its run starts ten later
    assert place.events() == 1
    assert len(place.runs("retrain")) == 1


def test_scheduled_retraining_without_new_bars_ends_within_five_seconds(place: Place) -> None:
    deployment = place.api("GET", "/deployments/name/retrain/retrain")
    run = place.api("POST", f"/deployments/{deployment['id']}/create_flow_run", {})
    (done,) = wait_for(lambda: ended([place.api("GET", f"/flow_runs/{run['id']}")]), 60)
    assert done["state_name"] == "Unchanged"
    assert done["total_run_time"] < 5


def test_stock_that_fails_is_named_and_stops_no_other(place: Place) -> None:
    write_bars(place.incoming, 320, {"SIM02": 10})
    (place.incoming / "BAD.csv").write_text("no bars at all\n", encoding="utf-8")
    try:
        done = place.ingest()
    finally:
        (place.incoming / "BAD.csv").unlink()
    assert (done["state_name"], done["state_type"]) == ("Warning", "COMPLETED")
    assert "BAD" in done["state"]["message"]
    assert pd.read_csv(place.bars / "SIM02.csv").shape[0] == 330


def test_other_settings_of_the_comparison_run_the_comparison_alone(place: Place) -> None:
    (before,) = (place.folder / "results").glob("ALL_*")
    deployment = place.api("GET", "/deployments/name/retrain/retrain")
    config = deployment["parameters"]["config"]
    config["overrides"]["comparison"]["windows"] = 20
    body = {"parameters": {"config": config}}
    run = place.api("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    (done,) = wait_for(lambda: ended([place.api("GET", f"/flow_runs/{run['id']}")]), 400)
    assert done["state_name"] == "Completed", done["state"]["message"]
    (after,) = set((place.folder / "results").glob("ALL_*")) - {before}
    stages = {step.name: step.directory for step in STEPS.values()}
    manifests = {name: (read_manifest(before / path), read_manifest(after / path)) for name, path in stages.items()}
    assert [name for name, (old, new) in manifests.items() if old != new] == ["compare"]
