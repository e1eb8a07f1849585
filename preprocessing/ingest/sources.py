"""Fetches new bars from a watched folder, an HTTP address or Yahoo, and checks them all in the same way.

A source is a function `fetch(symbol, after) -> Bars`. `after` is a hint: the source may leave out bars up to that day,
or give all it has.
"""

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from preprocessing.ingest.fetching import download, public
from preprocessing.ohlcv import Bars, clean_symbol, every_name, find_files, read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError, EngineError

Fetch = Callable[[str, date | None], Bars]
"""(symbol, day after which bars are wanted or None for all) -> clean bars. Raises DataError."""

SETTLED = 1.0
"""Seconds a file must not have changed before it is read: a shorter time may find it half written."""


def make_source(config: IngestConfig) -> Fetch:
    """Makes the source that the settings name.

    Raises:
        EngineError: yfinance is asked for and not installed.
    """
    reading = checks_of(config).model_copy(update={"decimal": config.decimal, "dates": config.dates})
    if config.source == "http":
        return http_source(config, reading)
    if config.source == "yahoo":
        return yahoo_source(config, reading)
    return folder_source(Path(config.folder), reading)


def checks_of(config: IngestConfig) -> DataConfig:
    """Returns the checks that an ingest applies, both to what a source gives and to the bars that are there."""
    return DataConfig(
        adjust=config.adjust,
        market_days=config.market_days,
        split_ratio=config.split_ratio,
        outlier_factor=config.outlier_factor,
        repair_outliers=config.repair_outliers,
        repair_units=config.repair_units,
    )


def source_name(config: IngestConfig) -> str:
    """Names the source for the record, without a password, a query or what else an address may hide."""
    if config.source == "http":
        return public(config.address)
    return f"folder {Path(config.folder).name}" if config.source == "folder" else "yahoo"


def source_symbols(config: IngestConfig) -> list[str] | None:
    """Lists the symbols that the source itself can list; None if it cannot.

    Raises:
        DataError: there is no such folder.
    """
    if config.source != "folder":
        return None
    folder = Path(config.folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; make it, or give folder the one that receives files of bars")
    # What is no symbol is listed too, so that the ingest says so.
    return every_name(folder)


def folder_source(folder: Path, reading: DataConfig) -> Fetch:
    """Reads files that something else writes, `AAPL.csv` or `AAPL.parquet`, and leaves them as they are."""

    def fetch(symbol: str, after: date | None) -> Bars:
        del after
        path = find_files(reading.model_copy(update={"data_dir": str(folder), "stocks": [symbol]}))[
            clean_symbol(symbol)
        ]
        age = time.time() - path.stat().st_mtime
        before = path.stat()
        if 0 <= age < SETTLED:
            time.sleep(SETTLED - age)
        bars = read_bars(path, reading, clean_symbol(symbol))
        now = path.stat()
        if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
            raise DataError(f"{path}: it is being written just now; the next ingest will read it")
        return bars

    return fetch


def http_source(config: IngestConfig, reading: DataConfig) -> Fetch:
    """Downloads CSV files from an address template; retries a transient fault and nothing else."""

    def fetch(symbol: str, after: date | None) -> Bars:
        symbol = clean_symbol(symbol)
        address = config.address.replace("{symbol}", quote(symbol, safe=""))
        address = address.replace("{after}", after.isoformat() if after else config.start)
        return _read_text(download(address, config), symbol, public(address), reading)

    return fetch


def yahoo_source(config: IngestConfig, reading: DataConfig) -> Fetch:
    """Downloads Yahoo's bars with yfinance, adjusted for splits and dividends.

    Raises:
        EngineError: yfinance is not installed.
    """
    try:
        import yfinance
    except ImportError as error:
        raise EngineError("source yahoo needs yfinance: pip install 'stonk_pipeline[yahoo]'") from error

    def fetch(symbol: str, after: date | None) -> Bars:
        symbol = clean_symbol(symbol)
        first = (after + timedelta(days=1)).isoformat() if after else config.start
        frame = yfinance.download(
            symbol,
            start=first,
            auto_adjust=reading.adjust,
            progress=False,
            threads=False,
            timeout=config.timeout_seconds,
            multi_level_index=False,
        )
        if frame is None or frame.empty:
            raise DataError(f"yahoo: no bars of {symbol} after {first}; check the symbol and the connection")
        return _read_text(frame.to_csv(index_label="Date").encode(), symbol, f"yahoo {symbol}", reading)

    return fetch


def _read_text(content: bytes, symbol: str, place: str, reading: DataConfig) -> Bars:
    """Reads CSV text by way of a file, so that the checks are the same; messages name the place it came from."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{symbol}.csv"
        path.write_bytes(content)
        try:
            return read_bars(path, reading)
        except DataError as error:
            raise DataError(str(error).replace(str(path), place)) from None
