"""Validates an adapter during training, at every checkpoint, and keeps the best one."""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.models import load
from stonk_pipeline.training.telemetry import CsvLog

TOP_P = 0.97
"""Without the last tail of the distribution, whose rare slips would drown what checkpoints differ by."""
Measure = Callable[[], dict[str, float]]
Merit = Callable[[Mapping[str, float]], float]


def validator(out: Path, columns: tuple[str, ...], measure: Measure, save: Callable[[Path], None], merit: Merit) -> Any:
    """Makes a trainer callback that validates at the start and at each checkpoint, and keeps the best adapter.

    Args:
        out: receives `validation.csv` and `adapter/`.
        columns: of the log, besides `step` and `kept`.
        measure: their values, for the policy as it is now.
        save: writes the policy's adapter to a directory.
        merit: of a row; the largest is the best.
    """
    from transformers import TrainerCallback

    log = CsvLog(out / "validation.csv", ("step", *columns, "kept"))
    best = out / load.ADAPTER

    class Validator(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.start(state.global_step)
            if state.global_step == 0:
                shutil.rmtree(best, ignore_errors=True)
                log.add({"step": 0, **measure(), "kept": False})

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            row = measure()
            kept = merit(row) > max(
                (merit(_floats(earlier)) for earlier in log.rows if _kept(earlier)), default=-math.inf
            )
            if kept:
                save(best)
            log.add({"step": state.global_step, **row, "kept": kept})

        def numbers(self) -> dict[str, Any]:
            """What validation said before training and of the adapter kept."""
            first, last = log.rows[0], [row for row in log.rows if _kept(row)][-1]
            return {
                "best_step": int(last["step"]),
                f"val_{columns[0]}_start": float(first[columns[0]]),
                **{f"val_{name}": float(last[name]) for name in columns[:2]},
            }

    return Validator()


def _floats(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "kept"}


def _kept(row: dict[str, Any]) -> bool:
    return str(row["kept"]) == "True"
