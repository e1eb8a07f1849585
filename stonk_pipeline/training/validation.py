"""Validation of a policy while it is trained: the adapter that does best on the validation part is kept."""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stonk_pipeline import dataset, forecast
from stonk_pipeline.config import GRPOStage
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.sampling.prompts import questions
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from stonk_pipeline.training import models
from stonk_pipeline.training.telemetry import CsvLog

TOP_P = 0.97
"""Without the last tail of the distribution, whose rare slips would drown what checkpoints differ by."""
Measure = Callable[[], dict[str, float]]
Merit = Callable[[Mapping[str, float]], float]


def validator(out: Path, columns: tuple[str, ...], measure: Measure, save: Callable[[Path], None], merit: Merit) -> Any:
    """A trainer callback that validates before the first step and at each checkpoint, and keeps the best adapter.

    Args:
        out: receives `validation.csv` and `adapter/`.
        columns: of the log, besides `step` and `kept`.
        measure: their values, for the policy as it is now.
        save: writes the policy's adapter to a directory.
        merit: of a row; the largest is the best.
    """
    from transformers import TrainerCallback

    log = CsvLog(out / "validation.csv", ("step", *columns, "kept"))
    best = out / models.ADAPTER

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


def skill_validator(config: GRPOStage, data: Path, loaded: models.Loaded, out: Path) -> Any:
    """Validates forecasts by their skill.

    The same windows and the same seed each time, so that two checkpoints differ by their weights alone; the random
    state of the training is left as it was.
    """
    grpo = config.grpo
    windows, targets = dataset.spread(*dataset.read_split(data, "val"), grpo.validation_windows, config.seed)
    horizon = len(targets[0].values)
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    prompts = questions(loaded.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    engine = TransformersEngine(loaded.model, loaded.tokenizer)
    draws = Draws(grpo.validation_samples, grpo.temperature, TOP_P, room, config.seed)

    def measure() -> dict[str, float]:
        return skills(windows, targets, forecast.read_all(engine.sample(prompts, draws), windows, horizon))

    def save(best: Path) -> None:
        models.save_adapter(loaded, config.model, best)

    return validator(out, ("skill_median", "skill_single", "readable_share"), measure, save, _merit)


def skills(
    windows: list[Window], targets: list[Target], answers: list[list[Forecast | Unreadable]]
) -> dict[str, float]:
    """Skill over persistence of the answers' median and of single answers, and the share that could be read."""
    offset, unit = metrics.percent_scale(windows)
    flat = persistence(windows, len(targets[0].values))
    values, readable = metrics.fill_unreadable(answers, flat)
    truth = offset + unit * np.array([target.values for target in targets])
    samples, flat = offset[:, None] + unit[:, None] * values, offset + unit * flat
    reference = metrics.mae(flat, truth)
    return {
        "skill_median": float(metrics.skill(metrics.mae(metrics.median_forecast(samples), truth), reference)),
        "skill_single": float(metrics.skill(metrics.single_mae(samples, truth), reference)),
        "readable_share": float(readable.mean()),
    }


def _merit(row: Mapping[str, float]) -> float:
    """What the best checkpoint is chosen by: the median is what is reported, and one answer should be good too."""
    return row["skill_median"] + row["skill_single"]


def _floats(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "kept"}


def _kept(row: dict[str, Any]) -> bool:
    return str(row["kept"]) == "True"
