"""Estimates the arithmetic of trainings from their settings, for dry runs and for the time that a run has left."""

import math
from pathlib import Path

from stonk_pipeline.config.training import ModelConfig, PolicyConfig, WarmupConfig
from stonk_pipeline.models.locations import EMBEDDED_MODELS

FORWARD, BACKWARD = 2, 4
"""Operations a parameter and token."""


def of_policy(grpo: PolicyConfig, prompt: int, questions: str) -> tuple[str, float]:
    """Estimates what a GRPO training does.

    Args:
        grpo: its settings; every answer counts as the longest that they allow.
        prompt: tokens of the longest prompt.
        questions: what a person calls them.

    Returns:
        What it does in words, and its arithmetic in operations a parameter.
    """
    answers = grpo.steps * grpo.prompts_per_step * grpo.group_size
    passes = 3 if grpo.beta else 2  # to draw it, to train on it, and to compare it with where the training began
    each = passes * FORWARD + BACKWARD + FORWARD  # and once more for its validation
    tokens = answers * (prompt + grpo.max_completion_length)
    return f"{grpo.steps} steps of {grpo.prompts_per_step} {questions} x {grpo.group_size} answers", each * tokens


def of_warmup(warmup: WarmupConfig, model: ModelConfig, prompt: int, answer: int) -> tuple[str, float]:
    """Estimates what a warm-up does, as `of_policy` does for a GRPO training.

    With `auto` its training counts as needed, but for the models of the package, which know the form.

    Args:
        warmup: its settings.
        model: that is warmed up.
        prompt: tokens of the longest prompt.
        answer: tokens of the longest answer.
    """
    answers, taught = 2 * warmup.windows * warmup.samples, warmup.epochs * warmup.examples * (1 - warmup.val_share)
    steps = math.ceil(taught / warmup.batch_size)
    known = warmup.when == "auto" and Path(model.name).name in EMBEDDED_MODELS
    tokens = FORWARD * answers / 2 if known else FORWARD * answers + (FORWARD + BACKWARD) * taught
    needed = "" if warmup.when == "always" else f"{answers // 2} answers; if needed, "
    return f"{needed}{steps} steps of {warmup.batch_size}", tokens * (prompt + answer)
