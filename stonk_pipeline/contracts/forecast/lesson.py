"""Trains a model to forecast with GRPO, once from the base model and once from the fine-tuned one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from preprocessing import reading
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.rewards import ALL, COMPONENTS, RANDOM, Outcome, outcome
from stonk_pipeline.contracts.forecast.sections import GRPOStage
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from stonk_pipeline.training.lesson import HeldOut, Lesson, Pairs
from stonk_pipeline.training.policy import train

Part = tuple[list[Window], list[Target]]


def run(config: GRPOStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Trains an adapter with GRPO and keeps the one that does best on validation windows.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; optional `start`: a training stage whose adapter to continue.
        out: receives `adapter/`, `training_log.csv`, `validation.csv`; `checkpoints/` while it runs.
        progress: receives each optimizer step.

    Returns:
        Numbers of the run: steps, best step, skill on validation windows before and after.

    Raises:
        PromptError: a prompt does not fit.
        StageError: training was interrupted before its last step.
    """
    grpo = config.grpo
    read = partial(reading.read_split, inputs["dataset"])
    windows, targets = reading.spread(*read("train"), grpo.steps * grpo.prompts_per_step, config.seed)
    held_out = reading.spread(*read("val"), grpo.validation_windows, config.seed)
    start = inputs["start"] / load.ADAPTER if "start" in inputs else None
    loaded = load.load_for_training(
        config.model, config.lora, config.seed, start=start, fast_inference=load.colocates()
    )
    taught = lesson(config, loaded.tokenizer, (windows, targets), held_out)
    numbers = train(config.model, grpo, loaded, taught, config.seed, out, progress)
    return {"windows": len(windows), **numbers}


def lesson(config: GRPOStage, tokenizer: Any, taught: Part, held_out: Part) -> Lesson[Forecast, Outcome]:
    """Makes the lesson of forecasting, from windows and their targets.

    Raises:
        PromptError: a prompt does not fit.
    """
    grpo = config.grpo
    horizon = len(taught[1][0].values)
    weights = grpo.rewards.model_dump() | ({RANDOM: grpo.random_reward} if grpo.random_reward else {})

    def fit(windows: list[Window]) -> list[str]:
        room, limit = grpo.max_completion_length, config.model.max_seq_length
        return questions(tokenizer, windows, config.prompt, horizon, room=room, limit=limit)

    def came(part: Part) -> list[Outcome]:
        return [outcome(window, target, grpo.cost_bps) for window, target in zip(*part, strict=True)]

    fit(taught[0])  # for its errors: the trainer applies the template itself
    return Lesson(
        asked=[question.messages(window, config.prompt, horizon) for window in taught[0]],
        truths=came(taught),
        read=_read,
        reasons=question.REASONS,
        rewards={name: ALL[name] for name in weights},
        weights=weights,
        logged=tuple(COMPONENTS),
        describe={"straight_share": partial(_straight_share, decimals=config.prompt.decimals), "up_share": _up_share},
        held_out=HeldOut(
            prompts=fit(held_out[0]),
            truths=came(held_out),
            columns=("skill_median", "skill_single", "readable_share"),
            figures=partial(skills, *held_out),
            merit=_merit,
        ),
    )


def _read(text: str, truth: Outcome) -> Forecast | Unreadable:
    return question.parse(text, len(truth.values), lowest=truth.lowest, highest=truth.highest)


def _straight_share(pairs: Pairs[Forecast, Outcome], decimals: int) -> float:
    read = [answer.values for answer, _ in pairs if isinstance(answer, Forecast)]
    return fmean(metrics.straight_lines(np.array(read), decimals).tolist() if read else [0.0])


def _up_share(pairs: Pairs[Forecast, Outcome]) -> float:
    return fmean([answer.values[-1] > truth.last for answer, truth in pairs if isinstance(answer, Forecast)] or [0.0])


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
    """Ranks checkpoints: the median is what is reported, and one answer should be good too."""
    return row["skill_median"] + row["skill_single"]


FIRST = Stage("stage1_grpo_training", GRPOStage, run)
SECOND = Stage("stage3_grpo_from_sft", GRPOStage, run)
