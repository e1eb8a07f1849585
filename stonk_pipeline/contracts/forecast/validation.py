"""Validates a policy during training by its skill over repeating the last price."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing import reading
from stonk_pipeline.config.training import GRPOStage
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.models import load
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from stonk_pipeline.training.validation import TOP_P, validator


def skill_validator(config: GRPOStage, data: Path, loaded: load.Loaded, out: Path) -> Any:
    """Makes a validator that scores forecasts by their skill.

    The same windows and the same seed each time, so that two checkpoints differ by their weights alone; the random
    state of the training is left as it was.
    """
    grpo = config.grpo
    windows, targets = reading.spread(*reading.read_split(data, "val"), grpo.validation_windows, config.seed)
    horizon = len(targets[0].values)
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    prompts = questions(loaded.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    engine = TransformersEngine(loaded.model, loaded.tokenizer)
    draws = Draws(grpo.validation_samples, grpo.temperature, TOP_P, room, config.seed)

    def measure() -> dict[str, float]:
        return skills(windows, targets, question.read_all(engine.sample(prompts, draws), windows, horizon))

    def save(best: Path) -> None:
        load.save_adapter(loaded, config.model, best)

    return validator(out, ("skill_median", "skill_single", "readable_share"), measure, save, _merit)


def skills(
    windows: list[Window], targets: list[Target], answers: list[list[Forecast | Unreadable]]
) -> dict[str, float]:
    """Computes skill over persistence of the answers' median and of single answers, and the readable share."""
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
