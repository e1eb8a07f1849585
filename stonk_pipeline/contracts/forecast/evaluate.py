"""Runs the `evaluate` command: scores forecast files or a saved model by a published protocol."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from preprocessing import reading
from preprocessing.dataset import load_bars
from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.contract import Resolve
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.external import medians, read_rows
from stonk_pipeline.contracts.forecast.protocol import (
    CONTEXT,
    HORIZON,
    Closes,
    ProtocolRow,
    test_part,
    test_parts,
    vta,
)
from stonk_pipeline.contracts.forecast.scores.matching import MIN_SHARE, Key, require_match
from stonk_pipeline.contracts.forecast.settings import PipelineConfig, of_forecasts
from stonk_pipeline.errors import ConfigError, DataError
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.evaluation.metrics import Floats, fill_unreadable, median_forecast
from stonk_pipeline.files.brief import first_lines
from stonk_pipeline.models.adapters import require_adapter
from stonk_pipeline.pipeline.base_model import asked
from stonk_pipeline.pipeline.graph import PREPROCESS, bar_files
from stonk_pipeline.runs.child import report_progress
from stonk_pipeline.runs.manifest import Progress, execute

ANY_JUMP = 1e9
"""The protocol takes bars as they are, real jumps and all."""


def command(args: argparse.Namespace, resolve: Resolve) -> int:
    """Runs `evaluate`, and prints the scores."""
    config = of_forecasts(resolve(args), "evaluate --protocol vta")
    if args.adapter is not None:
        require_adapter(args.adapter)
    files = {path.stem: path for path in args.forecasts}
    ask_model = args.base or args.adapter is not None
    rows = evaluate(
        asked(config, args.adapter) if ask_model else config,
        files,
        args.adapter,
        ask_model,
        report_progress,
        least=args.min_share,
        say=lambda note: sys.stderr.write(f"{note}\n"),
    )
    sys.stdout.write(f"{'forecasts':<24} {'MSE':>8} {'MAE':>8} {'windows':>8} {'share':>7}\n")
    for row in rows:
        sys.stdout.write(f"{row.name:<24} {row.mse:>8.4f} {row.mae:>8.4f} {row.windows:>8} {row.share:>7.1%}\n")
    return 0


def evaluate(
    config: PipelineConfig,
    files: Mapping[str, Path],
    adapter: Path | None,
    ask_model: bool,
    progress: Progress,
    *,
    least: float = MIN_SHARE,
    say: Callable[[str], object] = lambda note: None,
) -> list[ProtocolRow]:
    """Scores forecast files, and a model if one is named, beside persistence and drift.

    Args:
        config: `data.data_dir` and `data.stocks` say which bars; `model`, `prompt` and `comparison` how to ask.
        files: name -> file of forecasts (`external.read_rows`).
        adapter: adapter to load onto `config.model`, or None for the base model.
        ask_model: whether to ask the model at all.
        progress: receives the windows answered so far.
        least: share of the test windows that a file has to have forecasts for.
        say: receives a note for each file with rows that are of no bar, and what is left out of the bars.

    Raises:
        ConfigError: there are no files of bars.
        PipelineError: bars, forecasts or model cannot be used.
    """
    paths = bar_files(config)
    if not paths:
        raise ConfigError("evaluate needs files of bars: give --data-dir a folder with one CSV or Parquet file a stock")
    data = config.data.model_copy(update={"split_ratio": ANY_JUMP, "window": CONTEXT, "horizon": HORIZON})
    rows = {name: read_rows(path) for name, path in files.items()}
    closes, left_out = usable_closes(paths, data)
    if left_out:
        say(f"{len(left_out)} of {len(paths.keys() | left_out.keys())} stocks and files are left out:")
        say(first_lines([f"  {name}: {reason}" for name, reason in left_out.items()]))
    paths = {stock: paths[stock] for stock in closes}
    for name, path in files.items():
        note = _match(path, rows[name], closes, least)
        if note is not None:
            say(note)
    given = {name: medians(found) for name, found in rows.items()}
    if ask_model:
        name = adapter.name if adapter else config.model_name
        given[name] = _answers(config.model_copy(update={"data": data}), paths, closes, adapter, progress)
    return vta(closes, given)


def _match(path: Path, rows: Mapping[Key, list[Floats]], closes: Closes, least: float) -> str | None:
    wanted = [(stock, date) for stock, part in test_parts(closes).items() for date in part.dates]
    bars = {(stock, str(date)) for stock, series in closes.items() for date in series.index}
    return require_match(str(path), {key: len(values) for key, values in rows.items()}, wanted, bars, least)


def read_closes(paths: Mapping[str, Path], data: DataConfig) -> dict[str, pd.Series]:
    """Reads the adjusted closes of each stock, by ISO date."""
    return {stock: _by_date(read_bars(path, data, stock).frame) for stock, path in paths.items()}


def _by_date(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(frame["close"].to_numpy(), index=frame["date"].dt.strftime("%Y-%m-%d"))


def usable_closes(paths: Mapping[str, Path], data: DataConfig) -> tuple[dict[str, pd.Series], dict[str, str]]:
    """Reads the adjusted closes of each stock that the protocol can score.

    Of `all` stocks of a folder, one whose file cannot be used or is too short is left out, as by preprocessing.

    Args:
        paths: stock -> file of bars.
        data: how to read them.

    Returns:
        (stock -> closes by ISO date, stock or file -> why it is left out)

    Raises:
        DataError: no file can be used, or not every one of those that were asked for by name.
    """
    market, left_out = load_bars(data, paths)
    closes = {}
    for bars in market:
        series = _by_date(bars.frame)
        try:
            test_part(series)
        except DataError as error:
            left_out[bars.stock] = f"{paths[bars.stock]}: {error}"
        else:
            closes[bars.stock] = series
    if not closes or (left_out and data.stocks != ["all"]):
        raise DataError(first_lines(list(left_out.values())))
    return closes, left_out


def _answers(
    config: PipelineConfig, paths: Mapping[str, Path], closes: Closes, adapter: Path | None, progress: Progress
) -> dict[tuple[str, str], Floats]:
    """The model's median forecast for every test window of the protocol, in prices."""
    from stonk_pipeline.contracts.forecast.scores.stage import ask_alone

    wanted = {(stock, date) for stock, series in closes.items() for date in test_part(series).dates}
    with TemporaryDirectory() as scratch:
        out = Path(scratch)
        execute(PREPROCESS.load(), config.preprocess_stage(), paths, out / "data")
        windows = [window for window in reading.read_split(out / "data", "full")[0] if window.key in wanted]
    stage, wait = config.comparison_stage(), config.wait_minutes
    texts = ask_alone(stage, windows, HORIZON, adapter, progress, purpose="evaluate", wait_minutes=wait)
    read = question.read_all(texts, windows, HORIZON)
    values, _ = fill_unreadable(read, persistence(windows, HORIZON))
    medians = median_forecast(values)
    return {
        window.key: np.asarray(window.price_offset + window.price_unit * median)
        for window, median in zip(windows, medians, strict=True)
    }
