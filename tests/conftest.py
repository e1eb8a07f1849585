"""What all tests share. A test's folder says its tier: `unit`, `integration` (real libraries, minutes) or `gpu`."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

# Before Prefect is imported, and inherited by its servers and by child processes: tests report to nobody.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side: threads of two would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from stonk_pipeline.config import MarketConfig
from stonk_pipeline.market import generate

ROOT = Path(__file__).parent.parent
STOCKNET = ROOT.parent / "shared" / "data" / "stocknet"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", help="directory for screenshots of the UI, e.g. docs/pictures")
    parser.addoption("--long", action="store_true", help="also the tests that take many minutes each")
    parser.addoption("--served-home", help="directory of the served runs, kept for the next time: saves the first run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes many minutes; --long runs it"))
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
