"""How fast preprocessing is, against two plain ways that give the same numbers, in one run on the same bars.

    python benchmarks/preprocessing_speed.py

- `pipeline`: `preprocessing.dataset.preprocess`, from files of bars to files of windows.
- `plain, per window`: for each window, `ta` on the window's whole history up to its last bar, then its statistics and
  scale, in plain pandas: causal by construction, with nothing shared between windows.
- `plain, per stock`: `ta` once on the stock's whole history, then a loop over the windows.

The plain ways are timed on windows spread evenly over a few stocks, because all of them would take hours; ratios are of
processor time a window, which other programs on the machine disturb less than they do the time on the clock. All read
the same CSV files and write x and y of their windows; the pipeline also writes the parts of the split, so it writes
twice as much a window. Bars are generated; writing them as files is not timed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import ta

# Python looks into this script's own folder first, and there finds the script in place of the package it measures.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from preprocessing.dataset import preprocess
from preprocessing.ohlcv import find_files
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import DIFFERENCE_INDICATORS, LEVEL_INDICATORS, X_COLUMNS, Y_COLUMNS

Row = dict[str, object]


def main() -> None:
    """Runs the benchmark and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=1258, help="bars a stock (default: %(default)s)")
    parser.add_argument("--tickers", type=int, nargs="+", default=[1, 10, 88, 100], help="sizes of the growth curve")
    parser.add_argument("--plain-stocks", type=int, default=2, help="stocks for the plain ways (default: %(default)s)")
    parser.add_argument(
        "--plain-windows", type=int, default=1000, help="windows for them in all (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of which the fastest counts (default: %(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bars(folder, max(*options.tickers, options.plain_stocks), options.days)
        pipeline = grow(folder, options.tickers, options.repeats)
        compare(folder, options.plain_stocks, options.plain_windows, pipeline)


def write_bars(folder: Path, tickers: int, days: int) -> None:
    """Generates bars and writes them as Yahoo does."""
    (folder / "bars").mkdir()
    for stock, frame in generate(MarketConfig(tickers=tickers, days=days)).items():
        columns = frame.rename(columns=str.title)
        columns.insert(5, "Adj Close", columns["Close"] * 0.9)
        columns.to_csv(folder / "bars" / f"{stock}.csv", index=False)


def settings(folder: Path, stocks: list[str]) -> PreprocessStage:
    """The default settings for some of the files."""
    return PreprocessStage(data=DataConfig(data_dir=str(folder / "bars"), stocks=stocks), seed=0)


def names(folder: Path, count: int) -> list[str]:
    """The first stocks."""
    return sorted(path.stem for path in (folder / "bars").iterdir())[:count]


def run_pipeline(folder: Path, stocks: list[str]) -> tuple[float, float, int, Path]:
    """Seconds on the clock, seconds of processor, windows and output directory of one run of the pipeline."""
    config, out = settings(folder, stocks), Path(tempfile.mkdtemp(dir=folder))
    clock, processor = time.perf_counter(), time.process_time()
    numbers = preprocess(config, find_files(config.data), out, lambda *_: None)
    return time.perf_counter() - clock, time.process_time() - processor, numbers["windows"]["full"], out


def grow(folder: Path, sizes: list[int], repeats: int) -> float:
    """Prints how the pipeline's time grows with the number of tickers; processor seconds a window for the last size."""
    run_pipeline(folder, names(folder, 1))
    print(f"{'tickers':>8} {'windows':>9} {'seconds':>9} {'processor':>10} {'ms a ticker':>12}")
    for size in sizes:
        runs = [run_pipeline(folder, names(folder, size)) for _ in range(repeats)]
        seconds, processor, windows = min(run[0] for run in runs), min(run[1] for run in runs), runs[0][2]
        print(f"{size:>8} {windows:>9} {seconds:>9.2f} {processor:>10.2f} {1000 * seconds / size:>12.1f}")
        for run in runs:
            shutil.rmtree(run[3])
    return processor / windows


def compare(folder: Path, stocks: int, windows: int, pipeline: float) -> None:
    """Times the plain ways, checks their numbers against the pipeline's files, prints the ratios."""
    chosen = names(folder, stocks)
    out = run_pipeline(folder, chosen)[3]
    print(f"\n{'way':<20} {'windows':>9} {'processor':>10} {'us a window':>12} {'pipeline is':>12}")
    print(f"{'pipeline':<20} {'':>9} {'':>10} {1e6 * pipeline:>12.1f}")
    for way, compute in (("plain, per window", per_window), ("plain, per stock", per_stock)):
        seconds, count = 0.0, 0
        for stock in chosen:
            start = time.process_time()
            x, y = plain(folder, stock, windows // stocks, compute)
            seconds, count = seconds + time.process_time() - start, count + len(x)
            check(x, pd.read_csv(out / f"{stock}_full_x.csv"), X_COLUMNS)
            check(y, pd.read_csv(out / f"{stock}_full_y.csv"), Y_COLUMNS)
        each = seconds / count
        print(f"{way:<20} {count:>9} {seconds:>10.2f} {1e6 * each:>12.1f} {each / pipeline:>10.0f} x faster")
    print("the numbers of all three agree to 1e-6")


def plain(
    folder: Path, stock: str, count: int, compute: Callable[[pd.DataFrame, np.ndarray, DataConfig], list[Row]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads a stock's bars, makes some of its windows in a plain way and writes them: (x, y)."""
    data = DataConfig()
    frame = pd.read_csv(folder / "bars" / f"{stock}.csv").rename(columns=str.lower)
    factor = frame["adj close"] / frame["close"]
    frame = frame.assign(**{name: frame[name] * factor for name in ("open", "high", "low", "close")})
    first, last = data.warm_up + data.window - 1, len(frame) - data.horizon - 1
    ends = np.unique(np.linspace(first, last, count).round().astype(int))
    rows = compute(frame, ends, data)
    x = pd.DataFrame([{"stock": stock, **row} for row in rows], columns=list(X_COLUMNS))
    y = pd.DataFrame([{"stock": stock, **target(frame, end, data)} for end in ends], columns=list(Y_COLUMNS))
    x.to_csv(folder / "plain_x.csv", index=False)
    y.to_csv(folder / "plain_y.csv", index=False)
    return x, y


def per_window(frame: pd.DataFrame, ends: np.ndarray, data: DataConfig) -> list[Row]:
    """Each window from its own history."""
    rows = []
    for end in ends:
        history = frame.iloc[: end + 1]
        rows.append(window_row(history, end, indicators(history, data), data))
    return rows


def per_stock(frame: pd.DataFrame, ends: np.ndarray, data: DataConfig) -> list[Row]:
    """Indicators once, then each window."""
    values = indicators(frame, data)
    return [window_row(frame, end, values, data) for end in ends]


def indicators(history: pd.DataFrame, data: DataConfig) -> dict[str, pd.Series]:
    """All thirteen, from `ta`."""
    p, (high, low, close) = data.periods, (history["high"], history["low"], history["close"])
    stochastic = ta.momentum.StochasticOscillator(high, low, close, p.stoch, p.stoch_smooth)
    bands = ta.volatility.BollingerBands(close, p.bbands, p.bbands_width)
    return {
        "sma": ta.trend.SMAIndicator(close, p.sma).sma_indicator(),
        "ema": ta.trend.EMAIndicator(close, p.ema).ema_indicator(),
        "mom": close.diff(p.mom),
        "stoch_k": stochastic.stoch(),
        "stoch_d": stochastic.stoch_signal(),
        "rsi": ta.momentum.RSIIndicator(close, p.rsi).rsi(),
        "macd": ta.trend.MACD(close, p.macd_slow, p.macd_fast).macd(),
        "willr": ta.momentum.WilliamsRIndicator(high, low, close, p.willr).williams_r(),
        "cci": ta.trend.CCIIndicator(high, low, close, p.cci).cci(),
        "adx": ta.trend.ADXIndicator(high, low, close, p.adx).adx(),
        "bbands_upper": bands.bollinger_hband(),
        "bbands_middle": bands.bollinger_mavg(),
        "bbands_lower": bands.bollinger_lband(),
    }


def window_row(frame: pd.DataFrame, end: int, values: dict[str, pd.Series], data: DataConfig) -> Row:
    """One window's features, in plain pandas."""
    bars = frame.iloc[end - data.window + 1 : end + 1]
    unit = bars["close"].iloc[-1] / 100
    closes = (bars["close"] / unit).reset_index(drop=True)
    row: Row = {name: series.iloc[end] for name, series in values.items()}
    row |= {name: values[name].iloc[end] / unit for name in (*LEVEL_INDICATORS, *DIFFERENCE_INDICATORS)}
    slope = np.polyfit(closes.index, closes, 1)[0]
    returns = np.log(frame["close"].iloc[end - data.volatility_window : end + 1]).diff().dropna()
    return row | {
        "date": bars["date"].iloc[-1],
        "context_start": bars["date"].iloc[0],
        "sequence": str(closes.tolist()),
        "min": closes.min(),
        "min_timestep": closes.idxmin() + 1,
        "max": closes.max(),
        "max_timestep": closes.idxmax() + 1,
        "mean": closes.mean(),
        "median": closes.median(),
        "median_timestep": (closes - closes.median()).abs().idxmin() + 1,
        "trend_slope": slope,
        "trend_strength": np.corrcoef(closes.index, closes)[0, 1] ** 2,
        "trend_direction": np.sign(slope),
        **{f"lag_{k}": closes.autocorr(k) for k in (1, 2, 3)},
        "volatility": returns.std() * 100,
        "price_offset": 0.0,
        "price_unit": unit,
    }


def target(frame: pd.DataFrame, end: int, data: DataConfig) -> Row:
    """What came after one window."""
    coming = frame.iloc[end + 1 : end + 1 + data.horizon]
    values = (coming["close"] / (frame["close"].iloc[end] / 100)).tolist()
    days = {"target_start": coming["date"].iloc[0], "target_end": coming["date"].iloc[-1]}
    return {"date": frame["date"].iloc[end], **days, "sequence": str(values)}


def check(ours: pd.DataFrame, files: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Compares every column of the plain windows with the pipeline's file."""
    theirs = files.set_index("date", drop=False).loc[ours["date"]]
    for name in columns:
        if name == "sequence":
            left, right = (np.array([json.loads(text) for text in frame[name]]) for frame in (ours, theirs))
        else:
            left, right = ours[name].to_numpy(), theirs[name].to_numpy()
        if left.dtype.kind in "OU" or right.dtype.kind in "OU":
            np.testing.assert_array_equal(left.astype(str), right.astype(str), err_msg=name)
        else:
            np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6, err_msg=name)


if __name__ == "__main__":
    main()
