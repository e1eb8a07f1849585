"""Malformed files of bars, CSV and Parquet."""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig, MarketConfig
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

from .cases import NUMBERS, WHOLE, Case, Reader, damaged
from .texts import of_parquet

FILE = "AAPL"
ROWS = 60
CELLS = (
    *NUMBERS, "", " ", "x", "-1", "0", "1e-300", "5e-324", "1e300", "1e308", "1,000", "1.000.000,5", "$5", "5%",
    "1 000", "null", "None", "n/a", "-", "=1+1", "'5", '"', "\x00", "\u0661\u0662", "1_000", "0b1", "1e5",
    "+5", "--5", "5-", "\u00a05", "true", "2020-02-30", "2020-13-01", "99999-01-01", "0000-00-00", "1e9", "44197",
    "1609459200", "1609459200000", "20200102", "2020-01-02T25:00", "2020-01-02 00:00:00+99:99", "02/30/2020",
    "31/31/2020", "tomorrow", "2999-01-01", "1500-01-01",
)  # fmt: skip
"""What may stand in a cell of a file of bars."""


@cache
def good() -> pd.DataFrame:
    """Generated bars, with an adjusted close."""
    bars = generate(MarketConfig(tickers=1, days=300))["SIM01"].head(ROWS)
    return bars.assign(**{"Adj Close": bars[CLOSE] * 0.9})


def csv_cases(rng: random.Random) -> Iterator[Case]:
    """Whole contents that are none, wide and long lines, bad cells, lines gone or twice, accidents."""
    lines = good().to_csv(index=False, float_format="%.4f").splitlines()
    text = "\n".join(lines).encode() + b"\n"
    for content in (*WHOLE, b"," * 5_000_000 + b"\n" + text, text.replace(b"\n", b"," * 2_000_000 + b"\n", 1)):
        yield Case("whole", {f"{FILE}.csv": content}, refused=True)
    for way in ("utf-16", "utf-32", "cp037"):
        yield Case(way, {f"{FILE}.csv": text.decode().encode(way)})
    for value in ("1e-300", "5e-324", "1e300", "0"):
        for column in ("Adj Close", CLOSE):
            frame = good().astype({column: str})
            frame.loc[30, column] = value
            yield Case(f"{column} {value}", {f"{FILE}.csv": frame.to_csv(index=False).encode()})
    while True:
        way = rng.randrange(5)
        if way < 3:
            changed = list(lines)
            for _ in range(rng.choice((1, 1, 3, 30))):
                row = rng.randrange(len(lines))
                cells = changed[row].split(",")
                cells[rng.randrange(len(cells))] = rng.choice(CELLS)
                changed[row] = ",".join(cells)
            content = "\n".join(changed).encode(errors="replace")
        elif way == 3:
            rows = [rng.randrange(len(lines)) for _ in range(rng.randrange(90))]
            content = "\n".join([lines[0], *(lines[row] for row in rows)]).encode()
        else:
            content = damaged(rng, text)
        yield Case(f"way {way}", {f"{FILE}.csv": content})


def parquet_cases(rng: random.Random) -> Iterator[Case]:
    """Columns of every other type, gone or twice, and accidents."""
    table = pa.Table.from_pandas(good(), preserve_index=False)
    yield from of_parquet(rng, f"{FILE}.parquet", table, tuple(table.column_names))


def _read(directory: Path, case: Case) -> Any:
    return read_bars(directory / next(iter(case.files)), DataConfig())


def _sound(bars: Any) -> bool:
    """Rows in order, prices that can be; and, without a repair that says so, no close five times another one."""
    frame = bars.frame
    if list(frame.columns) != list(BAR_COLUMNS) or not len(frame):
        return False
    prices = frame[[OPEN, HIGH, LOW, CLOSE]].to_numpy(dtype=float)
    dates = pd.to_datetime(frame[DATE])
    if not (np.isfinite(prices).all() and prices.min() > 1e-12 and prices.max() < 1e15 and (frame[VOLUME] >= 0).all()):
        return False
    ordered = dates.is_monotonic_increasing and dates.is_unique and dates.min().year > 1600
    within = (prices[:, 1] >= prices.max(axis=1) * (1 - 1e-6)).all() and (
        prices[:, 2] <= prices.min(axis=1) * (1 + 1e-6)
    ).all()
    steps = np.abs(np.diff(np.log(prices[:, 3])))
    jumps = bool(len(steps) and steps.max() > np.log(5)) and not bars.repairs
    return bool(ordered and within and not jumps)


READERS = [
    Reader("bars, CSV", csv_cases, _read, _sound, prepare=good),
    Reader("bars, Parquet", parquet_cases, _read, _sound, prepare=good),
]
