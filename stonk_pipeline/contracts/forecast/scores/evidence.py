"""Reads and writes what forecasters said about the test windows, to be scored again or joined over folds.

    windows.parquet              what each window showed and what came after it
    forecasts/{model}.parquet    every answer of a model, readable or not
    baselines.parquet            the forecasts of baselines and the best possible ones
    intervals.parquet            calibrated intervals, unless `comparison.conformal` is off

Numbers lie on each window's prompt scale. All rows are in the order of the windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stonk_pipeline.contracts.forecast.scores.compare import compare, without_read
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.forecast.scores.scores import BEST
from stonk_pipeline.contracts.forecast.sections import ComparisonStage
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.periods import TRADING_DAY
from stonk_pipeline.sampling import answers as store
from stonk_pipeline.sampling.answers import read_rows, write_rows
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

MODELS = ("base", "grpo_1st", "sft", "grpo_2nd")
"""Models in the order they are made; the verdict is about the last one."""
WINDOWS, BASELINES, INTERVALS, FORECASTS = "windows.parquet", "baselines.parquet", "intervals.parquet", "forecasts"
KEY = [("stock", pa.string()), ("date", pa.string())]
NUMBERS = pa.list_(pa.float64())
SCHEMAS = {
    WINDOWS: pa.schema(
        [
            *KEY,
            ("context", NUMBERS),
            ("target", NUMBERS),
            ("target_dates", pa.list_(pa.string())),
            ("volatility", pa.float64()),
            ("price_offset", pa.float64()),
            ("price_unit", pa.float64()),
            ("period", pa.string()),
        ]
    ),
    FORECASTS: pa.schema(
        [*KEY, ("sample", pa.int64()), ("completion", pa.string()), ("reason", pa.string()), ("values", NUMBERS)]
    ),
    BASELINES: pa.schema([*KEY, ("name", pa.string()), ("values", NUMBERS)]),
    INTERVALS: pa.schema([*KEY, ("model", pa.string()), ("level", pa.float64()), ("low", NUMBERS), ("high", NUMBERS)]),
}

Answers = list[list[Forecast | Unreadable]]


@dataclass(frozen=True)
class Evidence:
    """The test windows of a comparison, their outcomes, and the answers of every forecaster."""

    windows: list[Window]
    """Without indicators and statistics: no score needs them."""
    targets: list[Target]
    ahead: list[list[str]]
    """Dates of each target (ISO)."""
    answers: dict[str, Answers]
    others: dict[str, Floats]
    """Baseline -> (N, H)."""
    best_possible: Mapping[tuple[str, str], Sequence[float]] | None
    intervals: dict[str, dict[float, Floats]] = field(default_factory=dict)
    """Model, and the random walk -> level -> (N, 2, H), calibrated."""

    def compare(self, config: ComparisonStage) -> Comparison:
        """Scores all answers, also on windows later than the base model's knowledge cutoff where it has one."""
        comparison = self._compare(list(range(len(self.windows))), config)
        cutoff = config.model.knowledge_cutoff
        if cutoff is None:
            return comparison
        return without_read(comparison, cutoff, self.windows, lambda places: self._compare(places, config))

    def _compare(self, places: list[int], config: ComparisonStage) -> Comparison:
        return compare(
            [self.windows[place] for place in places],
            [self.targets[place] for place in places],
            {model: [given[place] for place in places] for model, given in self.answers.items()},
            {name: values[places] for name, values in self.others.items()},
            self.best_possible,
            config.comparison,
            config.seed,
            config.prompt.decimals,
            ahead=[self.ahead[place] for place in places],
            intervals={
                model: {level: ends[places] for level, ends in levels.items()}
                for model, levels in self.intervals.items()
            },
        )


def write_windows(
    out: Path, windows: Sequence[Window], targets: Sequence[Target], ahead: Sequence[Sequence[str]]
) -> None:
    """Writes `windows.parquet`.

    Args:
        out: directory of the comparison.
        windows, targets: in step.
        ahead: dates of each target (ISO).
    """
    rows = [
        {
            **_key(window),
            "context": window.context,
            "target": target.values,
            "target_dates": list(dates),
            "volatility": window.volatility,
            "price_offset": window.price_offset,
            "price_unit": window.price_unit,
            "period": window.period,
        }
        for window, target, dates in zip(windows, targets, ahead, strict=True)
    ]
    write_rows(out / WINDOWS, SCHEMAS[WINDOWS], rows)


def write_answers(out: Path, model: str, windows: Sequence[Window], texts: list[list[str]], answers: Answers) -> None:
    """Writes `forecasts/{model}.parquet`."""
    keys = [window.key for window in windows]
    path = out / FORECASTS / f"{model}.parquet"
    store.write_answers(path, SCHEMAS[FORECASTS], keys, texts, answers, lambda answer: {"values": answer.values})


def write_baselines(
    out: Path,
    windows: Sequence[Window],
    others: Mapping[str, Floats],
    best_possible: Mapping[tuple[str, str], Sequence[float]] | None,
) -> None:
    """Writes `baselines.parquet`: one row for each baseline and window, in the order of the baselines."""
    rows = [
        {**_key(window), "name": name, "values": values}
        for name, forecasts in others.items()
        for window, values in zip(windows, forecasts.tolist(), strict=True)
    ]
    if best_possible is not None:
        rows += [{**_key(window), "name": BEST, "values": list(best_possible[window.key])} for window in windows]
    write_rows(out / BASELINES, SCHEMAS[BASELINES], rows)


def write_intervals(out: Path, windows: Sequence[Window], intervals: Mapping[str, Mapping[float, Floats]]) -> None:
    """Writes `intervals.parquet`: model -> level -> (N, 2, H)."""
    rows = [
        {**_key(window), "model": model, "level": level, "low": low, "high": high}
        for model, levels in intervals.items()
        for level, ends in levels.items()
        for window, (low, high) in zip(windows, ends.tolist(), strict=True)
    ]
    write_rows(out / INTERVALS, SCHEMAS[INTERVALS], rows)


def join(parts: Sequence[Path], out: Path) -> None:
    """Joins the files of several comparisons, whose windows are distinct, in their order.

    Raises:
        StageError: a part lacks a file that another one has, so that the rows would not fit together.
    """
    names = [{path.relative_to(part).as_posix() for path in part.rglob("*.parquet")} for part in parts]
    for part, own in zip(parts, names, strict=True):
        for name in sorted(set().union(*names) - own):
            raise StageError(f"{part / name}: missing, though another fold has one; compare all folds alike")
    for name in names[0]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        tables = [pq.read_table(part / name) for part in parts]
        pq.write_table(pa.concat_tables(tables, promote_options="default"), out / name)


def read_evidence(out: Path) -> Evidence:
    """Reads what `write_*` or `join` wrote.

    Raises:
        StageError: a file is missing or damaged.
    """
    rows = read_rows(out / WINDOWS)
    others: dict[str, list[list[float]]] = {}
    for row in read_rows(out / BASELINES):
        others.setdefault(row["name"], []).append(row["values"])
    windows = [_window(row) for row in rows]
    best = others.pop(BEST, None)
    return Evidence(
        windows=windows,
        targets=[Target(row["target_dates"][0], row["target_dates"][-1], tuple(row["target"])) for row in rows],
        ahead=[row["target_dates"] for row in rows],
        answers={
            model: list(read_answers(out, model).values())
            for model in MODELS
            if (out / FORECASTS / f"{model}.parquet").is_file()
        },
        others={name: np.array(values, dtype=np.float64) for name, values in others.items()},
        best_possible=dict(zip((window.key for window in windows), best, strict=True)) if best else None,
        intervals=_intervals(read_rows(out / INTERVALS)) if (out / INTERVALS).is_file() else {},
    )


def _window(row: Mapping[str, Any]) -> Window:
    return Window(
        stock=row["stock"],
        date=row["date"],
        context=tuple(row["context"]),
        indicators={},
        statistics={},
        volatility=row["volatility"],
        price_offset=row["price_offset"],
        price_unit=row["price_unit"],
        period=row.get("period") or TRADING_DAY,  # runs of earlier versions have no such column
    )


def read_answers(out: Path, model: str) -> dict[store.Key, list[Forecast | Unreadable]]:
    """Reads `forecasts/{model}.parquet`: a model's answers to each window, in the order of the windows.

    Raises:
        StageError: the file is missing or damaged.
    """
    return {
        key: [Unreadable(row["reason"]) if row["values"] is None else Forecast(tuple(row["values"])) for row in rows]
        for key, rows in store.read_answers(out / FORECASTS / f"{model}.parquet").items()
    }


def _intervals(rows: list[dict[str, Any]]) -> dict[str, dict[float, Floats]]:
    found: dict[str, dict[float, list[Any]]] = {}
    for row in rows:
        found.setdefault(row["model"], {}).setdefault(row["level"], []).append([row["low"], row["high"]])
    return {model: {level: np.array(ends) for level, ends in levels.items()} for model, levels in found.items()}


def _key(window: Window) -> dict[str, Any]:
    return {"stock": window.stock, "date": window.date}
