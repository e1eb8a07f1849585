"""Labels examples (a decision and its outcome), selects the sets of both trainings, and reads and writes them.

Decisions and movements lie in two files, as windows and targets do: whoever reads decisions alone knows no future.
"""

import datetime
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from preprocessing.reading import spread_rows
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import LARGEST_TABLE, is_ticker, parse_json, read_text, reason
from stonk_pipeline.runs.manifest import write_atomic
from stonk_pipeline.schema import Decision, Label, Movement
from stonk_pipeline.text.quoting import is_clean

Read = TypeVar("Read")


class Examples(NamedTuple):
    """Decisions and their outcomes, in step, ordered by (date, stock)."""

    decisions: list[Decision]
    movements: list[Movement]

    def take(self, rows: Iterable[int]) -> "Examples":
        """Returns the examples at these rows, in their order."""
        chosen = sorted(rows)
        return Examples([self.decisions[row] for row in chosen], [self.movements[row] for row in chosen])

    @property
    def counts(self) -> dict[Label, int]:
        """Counts the examples of each label."""
        found: dict[Label, int] = {"up": 0, "down": 0, "flat": 0}
        for movement in self.movements:
            found[movement.label] += 1
        return found

    @property
    def up_share(self) -> float:
        """Computes the share of rises among the days that moved; 0.5 where none did."""
        counts = self.counts
        moved = counts["up"] + counts["down"]
        return counts["up"] / moved if moved else 0.5


def ordered(decisions: Iterable[Decision], movements: Iterable[Movement]) -> Examples:
    """Sorts examples by date and stock."""
    pairs = sorted(zip(decisions, movements, strict=True), key=lambda pair: (pair[0].window.date, pair[0].window.stock))
    return Examples([decision for decision, _ in pairs], [movement for _, movement in pairs])


def label(change: float, flat_percent: float) -> Label:
    """Labels a move up, down, or flat where it is smaller, in percent, than the threshold, or none at all."""
    if change == 0 or abs(change) < flat_percent:
        return "flat"
    return "up" if change > 0 else "down"


def balanced(examples: Examples, config: ExamplesConfig, seed: int) -> Examples:
    """Selects the set of stage I: of each ticker and period as many rises as falls, and no flat day.

    Labels are fixed before: leaving an example out never changes another one's label. `max_train_samples` is kept by
    dropping whole pairs, spread evenly over dates and tickers.
    """
    cells: dict[tuple[str, str], dict[Label, list[int]]] = defaultdict(lambda: {"up": [], "down": [], "flat": []})
    for row, (decision, movement) in enumerate(zip(*examples, strict=True)):
        cell = decision.window.stock, _period(decision.window.date, config.balance_period)
        cells[cell][movement.label].append(row)
    pairs = []
    for (stock, period), cell_rows in sorted(cells.items()):
        count = min(len(cell_rows["up"]), len(cell_rows["down"]))
        draw = random.Random(f"{seed} {stock} {period}")
        sides = [sorted(draw.sample(cell_rows[side], count)) for side in ("up", "down")]
        pairs += list(zip(*sides, strict=True))
    pairs.sort(key=min)
    if config.max_train_samples is not None:
        stocks = [examples.decisions[rise].window.stock for rise, _ in pairs]
        pairs = [pairs[place] for place in spread_rows(stocks, config.max_train_samples // 2, seed)]
    return examples.take(row for pair in pairs for row in pair)


def natural(examples: Examples, config: ExamplesConfig, seed: int) -> Examples:
    """Selects the set of stage II: at most `max_train_samples` unbalanced examples, spread over dates and tickers."""
    if config.max_train_samples is None:
        return examples
    stocks = [decision.window.stock for decision in examples.decisions]
    return examples.take(spread_rows(stocks, config.max_train_samples, seed))


def _period(date: str, length: str) -> str:
    quarter = (int(date[5:7]) + 2) // 3
    return {"month": date[:7], "quarter": f"{date[:4]} q{quarter}", "year": date[:4], "all": ""}[length]


def write_examples(examples: Examples, directory: Path, name: str) -> None:
    """Writes `{name}_decisions.jsonl` and `{name}_movements.jsonl`."""
    for kind, rows in (("decisions", examples.decisions), ("movements", examples.movements)):
        lines = [json.dumps(_plain(asdict(row)), ensure_ascii=False, allow_nan=False) for row in rows]
        write_atomic(directory / f"{name}_{kind}.jsonl", "".join(f"{line}\n" for line in lines))


def read_decisions(directory: Path, name: str) -> list[Decision]:
    """Reads `{name}_decisions.jsonl`, which holds nothing of the outcomes.

    Raises:
        StageError: the file is missing or damaged.
    """
    return _read(directory / f"{name}_decisions.jsonl", _decision)


def read_examples(directory: Path, name: str) -> Examples:
    """Reads decisions and their outcomes.

    Raises:
        StageError: a file is missing or damaged, or they do not match.
    """
    decisions = read_decisions(directory, name)
    movements = _read(directory / f"{name}_movements.jsonl", _movement)
    if len(decisions) != len(movements):
        raise StageError(f"{directory}: {name}_decisions.jsonl and _movements.jsonl do not match; run the stage again")
    return Examples(decisions, movements)


REMEDY = "run the preprocessing stage again"


def _read(path: Path, make: Callable[[dict[str, Any]], Read]) -> list[Read]:
    try:
        text = read_text(path, StageError, REMEDY, largest=LARGEST_TABLE)
        return [make(parse_json(line, path, StageError, REMEDY)) for line in text.split("\n") if line]
    except FileNotFoundError as error:
        raise StageError(f"{path}: missing; run the preprocessing stage again") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StageError(f"{path}: damaged ({reason(error)}); run the preprocessing stage again") from error


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Without NaN, which JSON does not have: some statistics of a window may be undefined."""
    window = fields.get("window")
    if window:
        window["statistics"] = {k: None if math.isnan(v) else v for k, v in window["statistics"].items()}
    return fields


def _decision(fields: dict[str, Any]) -> Decision:
    window = fields["window"]
    statistics = {key: math.nan if value is None else value for key, value in window["statistics"].items()}
    decision = DECISION.validate_python(fields | {"window": window | {"statistics": statistics}})
    close = decision.window
    if not all(map(math.isfinite, (*close.context, close.volatility, close.price_offset, close.price_unit))):
        raise ValueError("a window with an infinite number")
    datetime.date.fromisoformat(close.date)
    about = decision.company
    texts = [about.name, about.description, *chain(*about.facts)] if about else []
    if not is_ticker(close.stock) or not all(map(is_clean, [*texts, *(each.text for each in decision.headlines)])):
        raise ValueError("a stock, a headline or a company in a form that this stage does not write")
    return decision


def _movement(fields: dict[str, Any]) -> Movement:
    movement = MOVEMENT.validate_python(fields)
    datetime.date.fromisoformat(movement.end)
    if not math.isfinite(movement.change):
        raise ValueError("a move that is no number")
    return movement


DECISION, MOVEMENT = TypeAdapter(Decision), TypeAdapter(Movement)
"""What a file of a run that somebody else made is checked against."""
