"""Writes `training_log.csv`: one row a training step, with rewards, entropy and the shape of answers."""

import csv
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from stonk_pipeline.runs.manifest import Progress
from stonk_pipeline.training.unread import Unread

TRAINER_COLUMNS = (*("zero_spread_share", "entropy", "completion_length", "learning_rate", "kl", "loss", "seconds"),)
"""What the trainer itself says of a step."""


class CsvLog:
    """A CSV file with one row a step; rows after the step that a run continues from are dropped."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns
        self.rows: list[dict[str, Any]] = []

    def start(self, after_step: int) -> None:
        """Begins the file, keeping rows up to and including a step."""
        if self.path.is_file() and after_step > 0:
            with self.path.open(newline="", encoding="utf-8") as stream:
                complete = [row for row in csv.DictReader(stream) if None not in row.values()]
            self.rows = [row for row in complete if int(row["step"]) <= after_step]
        with self.path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row; numbers are shortened to six digits."""
        short = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        self.rows.append(short)
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, self.columns).writerow(short)


def means_and_spreads(scores: Mapping[str, list[float]], group_size: int) -> dict[str, float]:
    """Computes `reward_{name}` and `spread_{name}`: a reward's mean, and its mean deviation within a group.

    Args:
        scores: component -> score of each answer, the answers of a group one after the other.
        group_size: answers to one question.
    """
    last = {}
    for name, values in scores.items():
        groups = [values[start : start + group_size] for start in range(0, len(values), group_size)]
        last[f"reward_{name}"] = statistics.fmean(values)
        last[f"spread_{name}"] = statistics.fmean(statistics.pstdev(group) for group in groups)
    return last


class Book(Protocol):
    """A reward function of weight 0 that collects figures for the training log."""

    columns: tuple[str, ...]
    last: dict[str, float]
    """Column -> value, of the last step; `readable_share` is one of them."""
    unread: Unread
    """Answers that could not be read."""

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """A reward of 0 for each answer."""


def policy_log(path: Path, book: Book, progress: Progress, steps: int) -> Any:
    """Makes a trainer callback that writes `training_log.csv` and reports progress."""
    columns = ("step", "reward", "reward_std", *book.columns, *TRAINER_COLUMNS)

    def row(step: int, logs: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": step,
            "reward": logs["reward"],
            "reward_std": logs["reward_std"],
            **book.last,
            "zero_spread_share": logs["frac_reward_zero_std"],
            "entropy": logs.get("entropy", ""),  # Unsloth does not say it on CUDA
            "completion_length": logs["completions/mean_length"],
            "learning_rate": logs["learning_rate"],
            "kl": logs.get("kl", ""),
            "loss": logs["loss"],
            "seconds": logs["step_time"],
        }

    def note(logs: dict[str, Any]) -> str:
        return f"reward {logs['reward']:.3f}"

    return log_callback(CsvLog(path, columns), row, "reward", note, progress, steps)


def log_callback(
    log: CsvLog,
    row: Callable[[int, dict[str, Any]], dict[str, Any]],
    needs: str,
    note: Callable[[dict[str, Any]], str],
    progress: Progress,
    steps: int,
) -> Any:
    """Makes a trainer callback that adds a row for each log entry that has the key `needs`."""
    from transformers import TrainerCallback

    class Writer(TrainerCallback):
        def __init__(self) -> None:
            self.log = log

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.start(state.global_step)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            if logs and needs in logs:
                log.add(row(state.global_step, logs))
                progress(state.global_step, steps, note(logs))

    return Writer()
