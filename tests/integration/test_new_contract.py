"""A new contract runs through the real machinery; its package and its name in the tuple are all that it takes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOM = Path(__file__).with_name("range_contract")
"""The worked example of docs/architecture.md: what a contract's package holds."""
STEPS = ("preprocess", "learn", "compare")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the code with one more contract: its package, and its name in the tuple."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("preprocessing", "stonk_pipeline"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    room = shutil.copytree(ROOM, root / "stonk_pipeline" / "contracts" / "range")
    (room / "package.py").rename(room / "__init__.py")  # a folder of tests may not look like a package
    contracts = root / "stonk_pipeline" / "contracts" / "__init__.py"
    text = contracts.read_text()
    known = "(FORECAST, DIRECTION)"
    assert known in text
    text = text.replace(known, "(FORECAST, DIRECTION, RANGE)")
    contracts.write_text(text.replace("CONTRACTS: ", "from stonk_pipeline.contracts.range import RANGE\n\nCONTRACTS: "))
    return root


def command(root, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "stonk_pipeline", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.integration
def test_a_new_contract_goes_from_the_question_to_the_report(checkout):
    given = ["--recipe", "range"]
    for step in STEPS:
        command(checkout, step, "--run-dir", "run", *given)
        given = []
    command(checkout, "report", "--run-dir", "run")
    verdict = json.loads((checkout / "run" / "model_comparison" / "verdict.json").read_text())
    page = (checkout / "run" / "report.html").read_text()
    assert verdict["finding"] == "too little data to tell"  # sixteen windows are
    assert "Can the final model, Learned, say how far tomorrow" in page
    assert "smaller errors than today" in page
    rows = (checkout / "run" / "training" / "training_log.csv").read_text().splitlines()
    assert "reward_closeness" in rows[0] and len(rows) == 3  # two steps
    assert "registered" in command(checkout, "models", "register", "--run-dir", "run")
    assert "-range" in command(checkout, "models", "list")
