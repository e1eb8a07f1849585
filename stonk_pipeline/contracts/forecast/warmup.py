"""Teaches a base model the form of a forecast, where it does not know it, with answers that know nothing."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing import reading
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.lesson import skills
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.sections import PromptConfig, WarmupStage
from stonk_pipeline.contracts.forecast.unskilled import unskilled_answer
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.schema import Window
from stonk_pipeline.training.kept_answers import Examples
from stonk_pipeline.training.warmup import Form, warm_up


def run(config: WarmupStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Fine-tunes the base model on unskilled forecasts, if it needs that to be readable.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output.
        out: receives `adapter/` and `training_log.csv` where there is a training; `checkpoints/` while it runs.
        progress: receives each logged step.

    Returns:
        Numbers of `warmup.warm_up`; the figures are those of a validation in GRPO (`lesson.skills`).

    Raises:
        PromptError, StageError: see `warmup.warm_up`.
    """
    warmup = config.warmup
    windows, targets = reading.spread(*reading.read_split(inputs["dataset"], "train"), warmup.examples, config.seed)
    held_out = reading.spread(*reading.read_split(inputs["dataset"], "val"), warmup.windows, config.seed)
    horizon = len(targets[0].values)
    form = Form(
        examples=examples(windows, config.prompt, horizon, warmup.examples, config.seed),
        prompts=partial(_prompts, held_out[0], config.prompt, horizon),
        read=partial(question.read_all, windows=held_out[0], horizon=horizon),
        figures=partial(skills, *held_out),
        reasons=question.REASONS,
        temperature=config.temperature,
        room=("grpo_first.max_completion_length", config.max_tokens),
    )
    return warm_up(config.model, config.lora, warmup, config.seed, form, out, progress)


def examples(windows: Sequence[Window], prompt: PromptConfig, horizon: int, count: int, seed: int) -> Examples:
    """Writes unskilled answers to the questions of training windows, several to each where there are fewer windows."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "date": window.date,
            "prompt": question.messages(window, prompt, horizon),
            "completion": unskilled_answer(window, horizon, prompt, rng),
        }
        for window in (windows[place % len(windows)] for place in range(count))
    ]
    return sorted(rows, key=lambda row: str(row["date"]))


def _prompts(
    windows: list[Window], prompt: PromptConfig, horizon: int, tokenizer: Any, room: int, limit: int
) -> list[str]:
    return questions(tokenizer, windows, prompt, horizon, room=room, limit=limit)


STAGE = Stage("warm_up", WarmupStage, run)
