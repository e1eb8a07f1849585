"""What the evaluation of given forecasts costs: time and peak memory, on files of real or generated bars.

    .venv/bin/python benchmarks/evaluation.py my-bars          # a folder with one CSV or Parquet file a stock
    .venv/bin/python benchmarks/evaluation.py                  # 25 generated stocks

The forecasts of four models, eight answers to each of 1,000 test windows, are made up (the last price and noise) and
not counted; no language model is loaded. Counted is all that a comparison does with them: reading bars, cutting
windows, fitting and asking the baselines, every score with its intervals, the back-test, tables and pictures. Then the
published protocol (`evaluate --protocol vta`) on the same bars, with a file of forecasts for every window of its test
part.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

# Python looks into this script's own folder first, where another script has the name of a package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from preprocessing import reading
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.contracts.forecast.evaluate import ANY_JUMP, evaluate, read_closes
from stonk_pipeline.contracts.forecast.protocol import test_part
from stonk_pipeline.contracts.forecast.scores import evidence
from stonk_pipeline.contracts.forecast.scores.stage import finish, write_references
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.market.bars import generate
from stonk_pipeline.pipeline.graph import bar_files
from stonk_pipeline.runs import manifest
from stonk_pipeline.schema import Forecast

WINDOWS, SAMPLES = 1000, 8


def measure(name: str, work: Callable[[], object]) -> object:
    """Does the work and prints its seconds and the peak memory so far."""
    begun = time.perf_counter()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "linux" else 1e9)
    print(f"| {name} | {time.perf_counter() - begun:.1f} | {peak:.2f} |", flush=True)
    return result


def write_bars(directory: Path) -> Path:
    """Generated bars as files."""
    directory.mkdir()
    for stock, frame in generate(MarketConfig(tickers=25, days=1258)).items():
        frame.to_csv(directory / f"{stock}.csv", index=False)
    return directory


def write_answers(windows: list, out: Path) -> None:
    """Made-up answers of four models."""
    rng = np.random.default_rng(0)
    for model in evidence.MODELS:
        noise = rng.normal(0, 1, (len(windows), SAMPLES, 10)).cumsum(axis=2)
        answers = [
            [Forecast(tuple(window.last + window.volatility * path)) for path in paths]
            for window, paths in zip(windows, noise, strict=True)
        ]
        evidence.write_answers(out, model, windows, [[""] * SAMPLES for _ in windows], answers)


def compare(config: PipelineConfig, scratch: Path) -> None:
    """Measures the parts of a comparison."""
    stage, paths, out = config.comparison_stage(), bar_files(config), scratch / "comparison"
    data = scratch / "data"
    windows = FORECAST["preprocess"].load()
    measure("bars to windows", lambda: manifest.execute(windows, config.preprocess_stage(), paths, data))
    test = reading.spread(*reading.read_split(data, "test"), WINDOWS, 0)
    write_answers(test[0], out)
    measure("baselines", lambda: write_references(stage, data, out, test, None))
    result = measure("scores and intervals", lambda: evidence.read_evidence(out).compare(stage))
    measure("tables and pictures", lambda: finish(result, out))


def protocol(config: PipelineConfig, scratch: Path) -> None:
    """Measures the published protocol with a file of forecasts."""
    closes = read_closes(bar_files(config), config.data)
    rng, path = np.random.default_rng(0), scratch / "mine.csv"
    rows = [
        (stock, date, json.dumps([round(float(series[date]) * (1 + step), 4) for step in rng.normal(0, 0.02, 10)]))
        for stock, series in closes.items()
        for date in test_part(series).dates
    ]
    pd.DataFrame(rows, columns=["stock", "date", "values"]).to_csv(path, index=False)
    table = measure("published protocol", lambda: evaluate(config, {"mine": path}, None, False, lambda *_: None))
    for row in table:
        print(f"  {row.name}: MSE {row.mse:.4f}, MAE {row.mae:.4f} over {row.windows} windows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", nargs="?", type=Path, help="folder of bars; not given: 25 generated stocks")
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        bars = args.bars or write_bars(scratch / "bars")
        data = DataConfig(data_dir=str(bars), split_ratio=ANY_JUMP)
        config = load_config("default", {"comparison": {"windows": WINDOWS}}).model_copy(update={"data": data})
        print(f"{len(bar_files(config))} stocks, {WINDOWS} windows, four models, {SAMPLES} answers each\n")
        print("| part | seconds | peak GB so far |\n| --- | --- | --- |", flush=True)
        begun = time.perf_counter(), time.process_time()
        compare(config, scratch)
        protocol(config, scratch)
        seconds, processor = time.perf_counter() - begun[0], time.process_time() - begun[1]
        print(f"\nall: {seconds:.1f} s, {processor:.1f} s of processor time")


if __name__ == "__main__":
    main()
