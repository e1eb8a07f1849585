"""Runs the preprocessing stage: files of bars in, the dataset of windows out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocessing.formatting import bar_columns, csv_lines, sequences, write_lines, x_columns, y_columns
from preprocessing.history import first_row, require_windows, standing_still
from preprocessing.indicators import add_indicators
from preprocessing.ohlcv import Bars, clean_symbol, read_bars, unknown_symbol, unnamed_files
from preprocessing.spacing import common_period
from preprocessing.splits import SplitDates, members, split_dates
from preprocessing.suspicions import suspect_splits
from preprocessing.windows import Scale, Windows, age_features, cut_windows, fit_scale, shuffle_targets
from stonk_pipeline.config.data import EMBEDDED, DataConfig, PreprocessStage
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.brief import first_lines
from stonk_pipeline.runs.manifest import Progress, Stage, file_digest, write_atomic
from stonk_pipeline.schema import DATE, SPLITS

DATASET = "dataset.json"
BEST_POSSIBLE = "best_possible.csv"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One stock's windows and bars, ready to be written."""

    bars: Bars
    scale: Scale | None
    windows: Windows
    parts: dict[str, slice]

    @property
    def counts(self) -> dict[str, int]:
        """Counts the windows in each part."""
        return {name: len(range(*piece.indices(len(self.windows)))) for name, piece in self.parts.items()}


def preprocess(config: PreprocessStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Reads all bars, cuts windows and writes the dataset.

    Args:
        config: settings; `config.data.data_dir` says whether bars are read or generated.
        inputs: symbol -> file of bars (`ohlcv.find_files`); empty for the embedded market.
        out: directory for `{STOCK}_{train,val,test,full}_{x,y}.csv`, `{STOCK}_bars.csv`, `dataset.json` and, on the
            predictable embedded market, `best_possible.csv`.
        progress: told after each stock.

    Returns:
        Stocks, windows in each part, repaired rows, what was left out, and the dates of the split.

    Raises:
        DataError: files cannot be used (all such files are named), or there is too little history.
    """
    data = config.data
    market, refused = load_bars(data, inputs)
    period = common_period({bars.stock: bars.frame[DATE].to_numpy() for bars in market}, data)
    dates = split_dates((bars.frame[DATE].to_numpy() for bars in market), data)
    prepared, without_windows = _write_all(market, dates, data, out, progress)
    left_out = refused | without_windows
    totals = {name: sum(stock.counts[name] for stock in prepared) for name in SPLITS}
    require_windows(totals, left_out, market, dates, data)
    if data.data_dir == EMBEDDED and data.market.kind == "predictable":
        write_best_possible(prepared, data, out / BEST_POSSIBLE)
    write_atomic(out / DATASET, json.dumps(describe(prepared, left_out, dates, data, period, out), indent=2) + "\n")
    return {
        "stocks": len(prepared),
        "windows": totals,
        "repaired_rows": sum(repair.rows for stock in prepared for repair in stock.bars.repairs if repair.changed),
        "repairs": [f"{stock.bars.stock}: {repair.detail}" for stock in prepared for repair in stock.bars.repairs],
        "left_out": left_out,
    } | _starts(dates)


STAGE = Stage("preprocessing", PreprocessStage, preprocess)


def _write_all(
    market: list[Bars], dates: SplitDates, data: DataConfig, out: Path, progress: Progress
) -> tuple[list[Prepared], dict[str, str]]:
    """Writes each stock's files: (the stocks written, why each other one gives no windows)."""
    prepared: list[Prepared] = []
    left_out: dict[str, str] = {}
    for done, bars in enumerate(market, start=1):
        try:
            stock = prepare(bars, dates, data)
        except DataError as reason:
            left_out[bars.stock] = str(reason)
        else:
            write_stock(stock, out)
            prepared.append(stock)
        progress(done, len(market), bars.stock)
    return prepared, left_out


def load_bars(data: DataConfig, inputs: Mapping[str, Path]) -> tuple[list[Bars], dict[str, str]]:
    """Loads all bars, by symbol: read from files, or generated.

    Of `all` stocks of a folder, one whose file cannot be used is left out; one that was asked for by name ends the run.

    Returns:
        (bars, symbol -> why it is left out)

    Raises:
        DataError: names the files that cannot be used, not the first alone.
    """
    if data.data_dir == EMBEDDED:
        return _generated(data), {}
    if not inputs:
        raise DataError(f"{data.data_dir}: no files of bars were given to preprocessing; name them as its inputs")
    bars, refused = [], {}
    for stock in sorted(inputs):
        try:
            bars.append(read_bars(inputs[stock], data, stock))
        except DataError as error:
            refused[stock] = str(error)
    if refused and (data.stocks != ["all"] or not bars):
        raise DataError(first_lines(list(refused.values())))
    return suspect_splits(bars), refused | unnamed_files(data)


def _generated(data: DataConfig) -> list[Bars]:
    from stonk_pipeline.market.bars import generate

    frames = generate(data.market)
    wanted = sorted(frames) if data.stocks == ["all"] else [clean_symbol(stock) for stock in data.stocks]
    for stock in wanted:
        if stock not in frames:
            raise unknown_symbol(stock, frames, "the embedded market")
    return [Bars(stock, frames[stock], adjusted=False, repairs=()) for stock in sorted(set(wanted))]


def prepare(bars: Bars, dates: SplitDates, data: DataConfig) -> Prepared:
    """Cuts the windows of one stock and assigns them to the parts of the split.

    Raises:
        DataError: the stock gives no window; says why.
    """
    if len(bars.frame) < first_row(data) + data.window + data.horizon:
        raise DataError(_too_short(bars, data))
    scale = fit_scale(bars.frame, dates.val_start, data)
    windows = cut_windows(add_indicators(bars.frame, data.periods), data, scale)
    if data.stale_windows:
        windows = age_features(windows, data.stale_windows)
    parts = members(windows, dates)
    if data.shuffle_targets:
        windows = shuffle_targets(windows, parts["train"], bars.stock)
    stock = Prepared(bars, scale, windows, parts)
    if not any(stock.counts[name] for name in ("train", "val", "test")):
        still = standing_still(bars, data)
        raise DataError(f"{len(bars.frame)} bars give no window: {still}" if still else _too_short(bars, data))
    return stock


def _too_short(bars: Bars, data: DataConfig) -> str:
    return (
        f"{len(bars.frame)} bars give no window within one part of the split: {first_row(data)} bars come before "
        f"the first window, and {data.window + data.horizon} bars of window and horizon must lie within one part"
    )


def write_stock(stock: Prepared, out: Path) -> None:
    """Writes one stock's files: x and y of each part, and its clean bars."""
    name = stock.bars.stock
    for letter, columns in (("x", x_columns(name, stock.windows)), ("y", y_columns(name, stock.windows))):
        header, lines = csv_lines(columns)
        for part, piece in stock.parts.items():
            write_lines(out / f"{name}_{part}_{letter}.csv", header, lines[piece])
    header, lines = csv_lines(bar_columns(stock.bars.frame))
    write_lines(out / f"{name}_bars.csv", header, lines)


def write_best_possible(prepared: list[Prepared], data: DataConfig, path: Path) -> None:
    """Writes the generator's own forecast for every window, on the window's prompt scale."""
    from stonk_pipeline.market.bars import best_possible

    header, lines = b"", []
    for stock in prepared:
        windows = stock.windows
        prices = best_possible(stock.bars.frame, data.market, data.horizon)[windows.last]
        offset, unit = (windows.features[name][:, None] for name in ("price_offset", "price_unit"))
        columns = x_columns(stock.bars.stock, windows)
        header, rows = csv_lines(
            {"stock": columns["stock"], "date": columns["date"], "sequence": sequences((prices - offset) / unit)}
        )
        lines += rows
    write_lines(path, header, lines)


def describe(
    prepared: list[Prepared], left_out: dict[str, str], dates: SplitDates, data: DataConfig, period: str, out: Path
) -> dict[str, Any]:
    """Builds the content of `dataset.json`."""
    stocks = {}
    for stock in prepared:
        bars = stock.bars
        days = bars.frame[DATE].to_numpy().astype("datetime64[D]")
        stocks[bars.stock] = {
            "bars": len(days),
            "first": str(days[0]),
            "last": str(days[-1]),
            "adjusted": bars.adjusted,
            "windows": stock.counts,
            "undefined_windows": stock.windows.undefined,
            "scale": asdict(stock.scale) if stock.scale else None,
            "bars_sha256": file_digest(out / f"{bars.stock}_bars.csv"),
            "repairs": [asdict(repair) for repair in bars.repairs],
        }
    return _starts(dates) | {
        "window": data.window,
        "horizon": data.horizon,
        "normalisation": data.normalisation,
        "period": period,
        "stocks": stocks,
        "left_out": left_out,
    }


def _starts(dates: SplitDates) -> dict[str, Any]:
    end = {} if dates.test_end is None else {"test_end": str(dates.test_end)}
    return {"val_start": str(dates.val_start), "test_start": str(dates.test_start)} | end
