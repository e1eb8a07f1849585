"""Writes `training_log.csv`: one row a training step, with rewards, entropy and the shape of answers."""

import csv
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.runs.manifest import Progress

OF_TRAINER = {
    "zero_spread_share": "frac_reward_zero_std",
    "entropy": "entropy",
    "completion_length": "completions/mean_length",
    "learning_rate": "learning_rate",
    "kl": "kl",
    "loss": "loss",
    "seconds": "step_time",
}
"""Columns of `training_log.csv` that the trainer itself fills, and its own names for them."""
MAY_LACK = ("kl", "entropy")
"""What a trainer may leave out: the divergence where it has no weight, and the entropy with Unsloth on CUDA."""


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
    """Computes `reward_{name}` and `spread_{name}`: a reward's mean, and its mean deviation within a group."""
    last = {}
    for name, values in scores.items():
        groups = [values[at : at + group_size] for at in range(0, len(values), group_size)]  # one after the other
        last[f"reward_{name}"] = statistics.fmean(values)
        last[f"spread_{name}"] = statistics.fmean(statistics.pstdev(group) for group in groups)
    return last


def policy_log(log: CsvLog, last: Callable[[], Mapping[str, float]], progress: Progress, steps: int) -> Any:
    """Makes a trainer callback that writes what it and `last` know of a step to a log, and reports progress."""
    from transformers import TrainerCallback

    class Writer(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.start(state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "reward" in logs:
                of_trainer = {name: logs[key] for name, key in OF_TRAINER.items() if key in logs or key not in MAY_LACK}
                total = {name: logs[name] for name in ("reward", "reward_std")}
                log.add({"step": state.global_step, **total, **last(), **of_trainer})
                progress(state.global_step, steps, f"reward {logs['reward']:.3f}")

    return Writer()
