"""Estimates the arithmetic of a GRPO training from its settings, for dry runs and for the time that a run has left."""

from stonk_pipeline.config.training import PolicyConfig

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
