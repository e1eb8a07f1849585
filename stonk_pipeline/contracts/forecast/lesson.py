"""Trains a model to forecast with GRPO, once from the base model and once from the fine-tuned one."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing import reading
from stonk_pipeline.config.training import GRPOStage
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.book import RewardBook
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.rewards import ALL, COMPONENTS, RANDOM, Outcome
from stonk_pipeline.contracts.forecast.validation import skill_validator
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.schema import Target, Window
from stonk_pipeline.training.policy import Lesson, train


class ComponentReward:
    """Wraps one reward component as a TRL reward function; a class and not a closure, so that it can be pickled."""

    def __init__(self, name: str, horizon: int) -> None:
        self.name = name
        self.horizon = horizon
        self.__name__ = name

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """Scores each completion against the outcome in its row."""
        scores = []
        for row, completion in enumerate(completions):
            answer = question.parse(
                completion[0]["content"], self.horizon, lowest=columns["lowest"][row], highest=columns["highest"][row]
            )
            truth = Outcome(
                columns["last"][row], tuple(columns["target"][row]), columns["volatility"][row], columns["cost"][row]
            )
            scores.append(ALL[self.name](answer, truth))
        return scores


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
    windows, targets = reading.read_split(inputs["dataset"], "train")
    windows, targets = reading.spread(windows, targets, grpo.steps * grpo.prompts_per_step, config.seed)
    start = inputs["start"] / load.ADAPTER if "start" in inputs else None
    loaded = load.load_for_training(
        config.model, config.lora, config.seed, start=start, fast_inference=load.colocates()
    )
    horizon = len(targets[0].values)
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    questions(loaded.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    weights = _weights(config)
    lesson = Lesson(
        rows=_rows(windows, targets, config, loaded.tokenizer),
        rewards=[ComponentReward(name, horizon) for name in weights],
        weights=list(weights.values()),
        book=RewardBook(grpo.group_size, horizon, config.prompt.decimals),
        validator=lambda loaded, state: skill_validator(config, inputs["dataset"], loaded, state),
    )
    numbers = train(config.model, grpo, loaded, lesson, config.seed, out, progress)
    return {"windows": len(windows), **numbers}


def _weights(config: GRPOStage) -> dict[str, float]:
    every = config.grpo.rewards.model_dump()
    weights = {name: float(every[name]) for name in COMPONENTS}
    return weights | ({RANDOM: config.grpo.random_reward} if config.grpo.random_reward else {})


def _rows(windows: list[Window], targets: list[Target], config: GRPOStage, tokenizer: Any) -> list[dict[str, Any]]:
    """Dataset rows in random order; the prompt column is all that the model sees."""
    horizon = len(targets[0].values)
    asked = [question.messages(window, config.prompt, horizon) for window in windows]  # TRL applies the template
    rows = []
    for messages, window, target in zip(guarded(tokenizer, asked), windows, targets, strict=True):
        price = window.last + window.price_offset / window.price_unit
        rows.append(
            {
                "prompt": messages,
                "target": list(target.values),
                "last": window.last,
                "volatility": window.volatility,
                "lowest": question.lowest_value(window),
                "highest": question.highest_value(window),
                "cost": config.grpo.cost_bps / 1e4 * price,
            }
        )
    random.Random(config.seed).shuffle(rows)
    return rows


FIRST = Stage("stage1_grpo_training", GRPOStage, run)
SECOND = Stage("stage3_grpo_from_sft", GRPOStage, run)
