"""Writers of journals: the forward log with its forecasts, and the ingest with its bars."""

import json
import os
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from killed.steps import Facts, Step, Writer
from preprocessing.ingest import store
from preprocessing.ingest.sources import make_source
from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.contracts.forecast.live.files import files_of, keep, table_text
from stonk_pipeline.contracts.forecast.live.make import Made
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.market.bars import generate
from stonk_pipeline.records import ingests
from stonk_pipeline.records.forward_log import LOG, Forecasted, read
from stonk_pipeline.runs.manifest import file_digest


class ForwardLog(Writer):
    """One more forecast, with its three files."""

    name = "forward log: entry and files"
    files = r"\.lock|log\.jsonl|[A-Z]+_[\d-]+_model\.(json|csv|png)"

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.step().act()  # the first picture takes long

    def step(self) -> Step:
        """Writes down a forecast from the next day."""
        self.number += 1
        last = date(2020, 1, 1) + timedelta(days=self.number)
        closes = pd.Series([100.0, 101.0, 100.5], index=[str(last - timedelta(days=back)) for back in (2, 1, 0)])
        price = self.rng.uniform(90, 110)
        content = Forecasted(
            stock=self.rng.choice(["AAPL", "MSFT"]),
            model="model",
            adapter_digest=None,
            base_model="stonk-tiny",
            data_digest="e",
            last_bar=str(last),
            last_close=100.5,
            calendar="XNYS",
            targets=(str(last + timedelta(days=1)), str(last + timedelta(days=2))),
            first_close="2100-01-01T21:00:00+00:00",
            answers=8,
            readable=1.0,
            levels=LEVELS,
            quantiles=tuple((price + level, price + level + 1) for level in LEVELS),
        )
        made = Made(content, closes, np.full((8, 2), price), ["x"] * 8)
        name = f"{content.stock} {last}"

        def after(facts: Facts) -> str | None:
            entries = [entry for entry in read(self.folder) if f"{entry.stock} {entry.last_bar}" == name]
            if len(entries) != 1 or entries[0].quantiles != content.quantiles:
                return f"{name}: {len(entries)} entries"
            table, picture = (path.read_bytes() for path in files_of(entries[0], self.folder)[1:])
            whole = table.decode() == table_text(entries[0]) and picture.endswith(b"IEND\xaeB`\x82")
            return None if whole and facts.get(f"files of {name}") else f"{name}: its files are not whole"

        return Step(lambda: keep(made, self.folder), after, frozenset({name, f"files of {name}"}))

    def facts(self) -> Facts:
        """The lines of the log, whose chain holds, and the files of those that have all of them."""
        lines = (self.folder / LOG).read_bytes().splitlines() if (self.folder / LOG).is_file() else []
        found: Facts = {}
        for entry, line in zip(read(self.folder), lines, strict=False):
            paths = files_of(entry, self.folder)
            found[f"{entry.stock} {entry.last_bar}"] = line
            found[f"files of {entry.stock} {entry.last_bar}"] = (
                [path.read_bytes() for path in paths] if all(path.is_file() for path in paths) else None
            )
            if paths[0].is_file():
                assert json.loads(paths[0].read_text())["entry"]["digest"] == entry.digest
        return found


class Bars(Writer):
    """Two stocks get new days, one at a time; every third time the whole history comes on another scale."""

    name = "ingest: bars and record"
    files = r"in/SIM0[12]\.csv|bars/(\.ingest\.lock|ingest\.jsonl|SIM0[12]\.csv|history/SIM0[12]\.[0-9a-f]{64}\.csv)"

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.market = generate(MarketConfig(tickers=2, days=900))
        self.days = dict.fromkeys(self.market, 300)
        self.scale = dict.fromkeys(self.market, 1.0)
        self.config = IngestConfig(folder=str(folder / "in"), data_dir=str(folder / "bars"))
        (folder / "in").mkdir()
        self.written: set[tuple[str, str]] = set()
        for symbol in self.market:
            self.deliver(symbol)
            self.ingest(symbol)

    def deliver(self, symbol: str) -> None:
        """Puts what a source has of a stock into the watched folder."""
        frame = self.market[symbol].head(self.days[symbol]).copy()
        frame[["open", "high", "low", "close"]] *= self.scale[symbol]
        path = self.folder / "in" / f"{symbol}.csv"
        frame.to_csv(path, index=False)
        os.utime(path, (0, 0))  # a file that is still being written is not read

    def ingest(self, symbol: str) -> None:
        """Takes the new bars of a stock, and records it."""
        bars = self.folder / "bars"
        with store.alone(bars):
            change = store.update(self.config, make_source(self.config), symbol, date(2100, 1, 1))
            assert change.failed is None, change.failed
            store.record(bars, "test", [change], datetime.now(UTC), str(self.folder / "forecasts"))

    def step(self) -> Step:
        """Takes another day of a stock."""
        self.number += 1
        symbol = self.rng.choice(sorted(self.market))
        self.days[symbol] += 1
        if self.number % 3 == 0:
            self.scale[symbol] = 0.5 if self.scale[symbol] == 1 else 1.0
        self.deliver(symbol)
        known = len(ingests.read(self.folder / "bars"))
        changes = {symbol, f"record {known}", f"record {known + 1}"}  # two, if it is killed after the record
        rows, path = self.days[symbol], self.folder / "bars" / f"{symbol}.csv"

        def after(facts: Facts) -> str | None:
            last = ingests.read(path.parent)[-1]
            whole = path.read_bytes().count(b"\n") == rows + 1 and last.files[symbol] == file_digest(path)
            return None if whole else f"{symbol}: not {rows} rows, or not as the record says"

        return Step(lambda: self.ingest(symbol), after, frozenset(changes))

    def facts(self) -> Facts:
        """The files, which are whole; every version of them that was recorded can be had again."""
        bars = self.folder / "bars"
        records = ingests.read(bars)
        found: Facts = {f"record {number}": record for number, record in enumerate(records)}
        for symbol in self.market:
            found[symbol] = ingests.restore(bars, symbol, file_digest(bars / f"{symbol}.csv"))
        for record in records:
            for symbol, digest in record.files.items():
                assert ingests.restore(bars, symbol, digest), f"{symbol} {digest[:8]} is lost"
        return found
