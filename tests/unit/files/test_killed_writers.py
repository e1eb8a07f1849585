"""Registry, forward log and ingest killed at every instant: nothing is lost, and nothing is left behind."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ingest import store
from preprocessing.ingest.sources import make_source
from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.contracts.forecast.live.files import files_of, keep
from stonk_pipeline.contracts.forecast.live.make import Made
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.files import folders
from stonk_pipeline.market.bars import generate
from stonk_pipeline.records import ingests
from stonk_pipeline.records.forward_log import Forecasted, read
from stonk_pipeline.registry.entries import describe
from stonk_pipeline.registry.promotion import decide
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import file_digest
from stonk_pipeline.schema import DATE
from tests.killing import kill_at_every_instant
from tests.unit.registry.test_registry import trained_run

ROOT = Path(__file__).parents[3]
LEAST = {"registry": 50, "pruned_entry": 8, "log": 10, "ingest": 12}
"""Instants that there are at least: with fewer, the hook sees nothing any more."""


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if folders.LEFTOVER.fullmatch(path.name)]


def kills_of_registry(root: Path) -> int:
    runs = [trained_run(root / "runs", name, 0.5) for name in "abc"]
    ids, key = [describe(run).id for run in runs], describe(runs[0]).key
    decision = decide(None, None, trial=1, comparison=ComparisonConfig(), seed=0)

    def act(folder: Path) -> None:
        """What a person does who looks first what is done already."""
        registry = Registry(folder / "models", folder / "forecasts")
        first, second = registry.register(runs[0]), registry.register(runs[1])
        if registry.champion(key) is None:
            registry.promote(first, "forced", "x")
        if not registry.trials(key):
            registry.record_trial(key, {"challenger": second.id}, decision)
        if registry.champions(key).current != second.id:
            registry.promote(second, "test", "x", instead_of=first.id)
        if ids[2] not in [entry.id for entry in registry.entries(key)]:
            registry.register(runs[2])
        registry.prune(key, keep=0)

    def look(folder: Path) -> None:
        registry = Registry(folder / "models")
        for entry in registry.entries():
            if entry.pruned is None:
                registry.adapter(entry)
        champion = registry.champion(key)
        assert champion is None or registry.adapter(champion)

    def finish(folder: Path) -> None:
        registry = Registry(folder / "models")
        look(folder)
        assert registry.champions(key).line == tuple(ids[:2])
        assert len(registry.trials(key)) == 1
        assert {entry.id for entry in registry.entries(key) if entry.pruned} == {ids[2]}
        there = sorted(path.parent.name for path in registry.root.glob("*/*/entries/*/adapter"))
        assert there == sorted(ids[:2])
        assert not leftovers(folder)

    return kill_at_every_instant(lambda folder: None, act, look, finish, root)


def kills_of_pruned_entry(root: Path) -> int:
    run = trained_run(root / "runs", "a", 0.5)
    entry = describe(run)

    def registry(folder: Path) -> Registry:
        return Registry(folder / "models", folder / "forecasts")

    def prepare(folder: Path) -> None:
        registry(folder).register(run)
        assert registry(folder).prune(entry.key, keep=0)

    def look(folder: Path) -> None:
        (found,) = registry(folder).entries()  # what was tried stays on record
        assert found.pruned or registry(folder).adapter(found)

    def finish(folder: Path) -> None:
        look(folder)
        assert registry(folder).adapter(registry(folder).find(entry.id))
        assert not leftovers(folder)

    return kill_at_every_instant(prepare, lambda folder: registry(folder).register(run), look, finish, root)


def kills_of_log(root: Path) -> int:
    closes = pd.Series([100.0, 101.0, 100.5], index=["2026-02-26", "2026-02-27", "2026-03-02"])
    content = Forecasted(
        stock="AAPL",
        model="abc",
        adapter_digest=None,
        base_model="stonk-tiny",
        data_digest="e",
        last_bar="2026-03-02",
        last_close=100.5,
        calendar="XNYS",
        targets=("2026-03-03", "2026-03-04"),
        first_close="2026-03-03T21:00:00+00:00",
        answers=8,
        readable=1.0,
        levels=LEVELS,
        quantiles=tuple((90.0 + step, 91.0 + step) for step in range(len(LEVELS))),
    )
    made = Made(content, closes, np.full((8, 2), 100.0), ["x"] * 8)
    (root / "warm").mkdir()
    keep(made, root / "warm")  # matplotlib opens files of its own the first time

    def finish(folder: Path) -> None:
        (entry,) = read(folder)
        assert all(path.is_file() for path in files_of(entry, folder))
        numbers = json.loads(files_of(entry, folder)[0].read_text())
        assert numbers["entry"]["digest"] == entry.digest
        assert not leftovers(folder)

    return kill_at_every_instant(lambda folder: None, lambda folder: keep(made, folder), read, finish, root)


def kills_of_ingest(root: Path) -> int:
    bars = generate(MarketConfig(tickers=1, days=420))["SIM01"]
    restated = bars.copy()
    restated[["open", "high", "low", "close"]] /= 2  # so that the file before is kept in history
    final = bars[DATE].iloc[-1].date()

    def deliver(folder: Path, frame: pd.DataFrame) -> None:
        config = IngestConfig(folder=str(folder / "in"), data_dir=str(folder / "bars"), restated="accept")
        frame.to_csv(folder / "in" / "AAA.csv", index=False)
        os.utime(folder / "in" / "AAA.csv", (0, 0))  # a file that is still being written is not read
        with store.alone(folder / "bars"):
            change = store.update(config, make_source(config), "AAA", final)
            assert change.failed is None, change.failed
            store.record(folder / "bars", "test", [change], datetime.now(UTC), str(folder / "forecasts"))

    def prepare(folder: Path) -> None:
        (folder / "in").mkdir()
        deliver(folder, bars.head(400))

    def act(folder: Path) -> None:
        deliver(folder, restated)

    def look(folder: Path) -> None:
        assert len(read_bars(folder / "bars" / "AAA.csv", DataConfig()).frame) in (400, len(bars))

    def finish(folder: Path) -> None:
        path = folder / "bars" / "AAA.csv"
        assert len(read_bars(path, DataConfig()).frame) == len(bars)
        assert ingests.read(folder / "bars")[-1].files["AAA"] == file_digest(path)
        assert not leftovers(folder)

    return kill_at_every_instant(prepare, act, look, finish, root)


@pytest.mark.parametrize("writer", LEAST)
def test_writers_killed_at_every_instant_lose_nothing_and_leave_nothing(tmp_path, writer):
    code = (
        "import sys; from pathlib import Path; from tests.unit.files import test_killed_writers as here;"
        f"print(here.kills_of_{writer}(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]  # alone, so that it can fork
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert int(result.stdout.split()[-1]) >= LEAST[writer]


def test_benchmark_of_kills_runs_and_finds_nothing():
    command = [sys.executable, "benchmarks/kills.py", "--kills", "6"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows[2:]] == ["1"] * 6
