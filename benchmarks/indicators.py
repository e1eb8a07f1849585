"""Whether TA-Lib gives the same indicators as the pipeline, and how much faster it is, in one run on the same bars.

    python benchmarks/indicators.py ../shared/data/stocknet/prices

The pipeline's indicators are those of the `ta` library. For each of them the script prints the largest relative
difference to TA-Lib's on the rows after `data.warm_up`, and from which row on all later ones agree to 1e-9. A smoothing
that begins in another way is forgotten slowly; what does not fall below 1e-9 in the warm-up is another definition and
not rounding. Both sides are then timed on the same bars. TA-Lib is no dependency of the project:
`pip install TA-Lib==0.8.2`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import talib

# Python looks into this script's own folder first, and there finds the script in place of the package it measures.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from preprocessing.indicators import add_indicators
from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig, IndicatorPeriods, MarketConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import CLOSE, HIGH, INDICATORS, LOW

EQUAL = 1e-9
Columns = dict[str, np.ndarray]


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bars", nargs="*", type=Path, help="folders of real bars, one file a stock")
    parser.add_argument("--tickers", type=int, default=25, help="generated stocks (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the fastest counts (default: 5)")
    options = parser.parse_args()
    sets = {"generated": list(generate(MarketConfig(tickers=options.tickers)).values())}
    for folder in options.bars:
        sets[str(folder)] = read_folder(folder)
    for name, frames in sets.items():
        print(f"\n{name}: {len(frames)} stocks, {sum(map(len, frames)):,} bars")
        differences(frames)
        speed(frames, options.repeats)


def read_folder(folder: Path) -> list[pd.DataFrame]:
    """Reads the bars of a folder, without files that the pipeline refuses."""
    frames = []
    for path in sorted(folder.glob("*.csv")):
        try:
            frames.append(read_bars(path, DataConfig()).frame)
        except DataError as error:
            print(f"left out: {error}")
    return frames


def theirs(frame: pd.DataFrame, periods: IndicatorPeriods) -> Columns:
    """Computes TA-Lib's indicators, each as near to the pipeline's definition as TA-Lib has it; (T,) each."""
    high, low, close = (np.ascontiguousarray(frame[name], dtype=np.float64) for name in (HIGH, LOW, CLOSE))
    width = periods.bbands_width
    upper, middle, lower = talib.BBANDS(close, periods.bbands, width, width, 0)
    fast_k, smooth = talib.STOCHF(high, low, close, periods.stoch, periods.stoch_smooth, 0)
    return {
        "sma": talib.SMA(close, periods.sma),
        "ema": talib.EMA(close, periods.ema),
        "mom": talib.MOM(close, periods.mom),
        "stoch_k": fast_k,
        "stoch_d": smooth,
        "rsi": talib.RSI(close, periods.rsi),
        "macd": talib.EMA(close, periods.macd_fast) - talib.EMA(close, periods.macd_slow),
        "willr": talib.WILLR(high, low, close, periods.willr),
        "cci": talib.CCI(high, low, close, periods.cci),
        "adx": talib.ADX(high, low, close, periods.adx),
        "bbands_upper": upper,
        "bbands_middle": middle,
        "bbands_lower": lower,
    }


def differences(frames: list[pd.DataFrame]) -> None:
    """Prints the largest difference of each indicator, as a share of its own size or of 1, whichever is larger."""
    periods, warm_up = IndicatorPeriods(), DataConfig().warm_up
    worst, equal_from = dict.fromkeys(INDICATORS, 0.0), dict.fromkeys(INDICATORS, 0)
    for frame in frames:
        ours = add_indicators(frame, periods)
        for name, values in theirs(frame, periods).items():
            own = ours[name].to_numpy()
            off = np.abs(own - values) / np.maximum(np.abs(own), 1.0)
            off[np.isnan(own)] = 0.0  # not defined here, and so not shown
            off[np.isnan(off)] = np.inf
            worst[name] = max(worst[name], float(off[warm_up:].max(initial=0.0)))
            unequal = np.flatnonzero(off > EQUAL)
            equal_from[name] = max(equal_from[name], int(unequal[-1]) + 1 if len(unequal) else 0)
    print(f"| indicator | largest difference after {warm_up} rows | equal to {EQUAL:g} from row |\n| --- | --- | --- |")
    for name in INDICATORS:
        print(f"| {name} | {worst[name]:.1e} | {equal_from[name]} |")


def speed(frames: list[pd.DataFrame], repeats: int) -> None:
    """Prints the processor time that each side takes for all stocks."""
    periods = IndicatorPeriods()
    own = fastest(lambda: [add_indicators(frame, periods) for frame in frames], repeats)
    other = fastest(lambda: [theirs(frame, periods) for frame in frames], repeats)
    each = 1000 / len(frames)
    print(f"pipeline {own * each:.2f} ms a stock, TA-Lib {other * each:.3f} ms: {own / other:.0f} times as fast")


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Returns the processor seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
