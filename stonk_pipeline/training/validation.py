"""Validates an adapter during training, at every checkpoint, and keeps the best one."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stonk_pipeline.models import load
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.training.lesson import A, Lesson, T
from stonk_pipeline.training.telemetry import CsvLog

TOP_P = 0.97
"""Without the last tail of the distribution, whose rare slips would drown what checkpoints differ by."""


def validator(lesson: Lesson[A, T], loaded: load.Loaded, draws: Draws, out: Path, save: Callable[[Path], None]) -> Any:
    """Makes a trainer callback that validates at the start and at each checkpoint, and keeps the best adapter.

    The same questions and the same seed each time, so that two checkpoints differ by their weights alone; the random
    state of the training is left as it was.

    Args:
        lesson: what is held out, and how an answer is read.
        loaded: the policy.
        draws: how its answers are drawn.
        out: receives `validation.csv` and `adapter/`.
        save: writes the policy's adapter to a directory.
    """
    from transformers import TrainerCallback

    columns, merit = lesson.held_out.columns, lesson.held_out.merit
    log = CsvLog(out / "validation.csv", ("step", *columns, "kept"))
    best = out / load.ADAPTER
    engine = TransformersEngine(loaded.model, loaded.tokenizer)

    def measure() -> dict[str, float]:
        drawn = zip(engine.sample(lesson.held_out.prompts, draws), lesson.held_out.truths, strict=True)
        return lesson.held_out.figures([[lesson.read(text, truth) for text in texts] for texts, truth in drawn])

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
