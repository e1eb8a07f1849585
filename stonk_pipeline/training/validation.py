"""Validation of a policy while it is trained: the adapter that forecasts best on validation windows is kept."""

import math
import shutil
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
COLUMNS = ("step", "skill_median", "skill_single", "readable_share", "kept")


def validator(config: GRPOStage, data: Path, loaded: models.Loaded, out: Path) -> Any:
    """A trainer callback that validates before the first step and at each checkpoint.

    The same windows and the same seed each time, so that two checkpoints differ by their weights alone; the random
    state of the training is left as it was.
    """
    from transformers import TrainerCallback

    grpo = config.grpo
    windows, targets = dataset.spread(*dataset.read_split(data, "val"), grpo.validation_windows, config.seed)
    horizon = len(targets[0].values)
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    prompts = questions(loaded.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    engine = TransformersEngine(loaded.model, loaded.tokenizer)
    draws = Draws(grpo.validation_samples, grpo.temperature, TOP_P, room, config.seed)
    log = CsvLog(out / "validation.csv", COLUMNS)
    best = out / models.ADAPTER

    def measure(step: int) -> dict[str, Any]:
        answers = forecast.read_all(engine.sample(prompts, draws), windows, horizon)
        return {"step": step, **skills(windows, targets, answers)}

    class Validator(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.start(state.global_step)
            if state.global_step == 0:
                shutil.rmtree(best, ignore_errors=True)
                log.add({**measure(0), "kept": False})

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            row = measure(state.global_step)
            kept = _merit(row) > max((_merit(earlier) for earlier in log.rows if _kept(earlier)), default=-math.inf)
            if kept:
                models.save_adapter(loaded, config.model, best)
            log.add({**row, "kept": kept})

        def numbers(self) -> dict[str, Any]:
            """Skill before training and at the adapter kept."""
            first = log.rows[0]
            last = [row for row in log.rows if _kept(row)][-1]
            return {
                "best_step": int(last["step"]),
                "val_skill_start": float(first["skill_median"]),
                "val_skill_median": float(last["skill_median"]),
                "val_skill_single": float(last["skill_single"]),
                "val_windows": len(windows),
            }

    return Validator()


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


def _merit(row: dict[str, Any]) -> float:
    """What the best checkpoint is chosen by: the median is what is reported, and one answer should be good too."""
    return float(row["skill_median"]) + float(row["skill_single"])


def _kept(row: dict[str, Any]) -> bool:
    return str(row["kept"]) == "True"
