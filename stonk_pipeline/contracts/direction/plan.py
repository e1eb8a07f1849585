"""Estimates the work of a direction run from its settings and examples, and the length of prompts and answers."""

import math
from collections.abc import Mapping
from typing import Any

from stonk_pipeline.contract import Answers, Plan
from stonk_pipeline.contracts.direction import question
from stonk_pipeline.contracts.direction.cases import read_decisions
from stonk_pipeline.contracts.direction.settings import CallPolicyConfig, DirectionConfig
from stonk_pipeline.contracts.direction.steps import EXAMPLES, WARM_UP
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest
from stonk_pipeline.sampling.prompts import check_lengths, render
from stonk_pipeline.training import effort

PROMPTS = 500
"""Of the training examples, whose tokens are counted."""
MODELS = 3
"""That are compared: the base model, and those of both stages."""
THOUGHT = (
    "After a move of -1.25% the close is below its EMA of 99.40 but should come back to it with a rise. "
    "The headline on higher earnings, 12 h old, points the same way, so I expect a rise."
)
"""A short reasoning, as the rewards ask for: a figure and a headline, what each means, and what follows."""


def plan(run: Run, tokenizer: Any) -> Plan:
    """Estimates what a run would do, once its examples are made.

    Raises:
        PromptError: a prompt does not fit.
    """
    config: DirectionConfig = run.config
    decisions = read_decisions(run.stage_dir(EXAMPLES), "natural")[:PROMPTS]
    asked = [question.messages(decision, config.prompt, config.examples.days_ahead) for decision in decisions]
    room, limit = max(limits(config).values()), config.model.max_seq_length
    prompts = render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)
    longest = check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=question.SHORTER)
    sides = read_manifest(run.stage_dir(EXAMPLES)).numbers["examples"]
    examples = {name: sum(counts.values()) for name, counts in sides.items()}
    at_once = config.stage_one.micro_batch * config.stage_one.max_completion_length
    return Plan(longest, work(config, longest, examples), at_once)


def work(config: DirectionConfig, prompt: int, examples: Mapping[str, int]) -> dict[str, tuple[str, float]]:
    """Estimates the work of each step: (what it does, operations a parameter).

    Args:
        config: settings.
        prompt: tokens of the longest prompt.
        examples: set -> its examples.
    """

    def stage(grpo: CallPolicyConfig, name: str) -> tuple[str, float]:
        steps = grpo.steps
        if grpo.epochs is not None:
            steps = math.ceil(grpo.epochs * examples[name] / grpo.prompts_per_step)
        return effort.of_policy(grpo.model_copy(update={"steps": steps}), prompt, "decisions")

    def asked(name: str, models: int) -> tuple[str, float]:
        comparison = config.comparison
        answers = models * min(comparison.windows, examples[name]) * comparison.samples
        said = f"{answers} answers of {'three models' if models > 1 else 'the model'}"
        return said, 6 * answers * (prompt + comparison.max_tokens)

    room = config.stage_one.max_completion_length
    first = {} if config.records is not None else {"preprocess": ("indicators and windows", 0.0)}
    first[EXAMPLES] = ("labels and headlines", 0.0)
    if config.warmup.when != "never":
        first[WARM_UP] = effort.of_warmup(config.warmup, config.model, prompt, room)
    return first | {
        "stage-one": stage(config.stage_one, "balanced"),
        "gate": asked("val", 1),
        "stage-two": stage(config.stage_two, "natural"),
        "compare": asked("test", MODELS),
    }


def limits(config: DirectionConfig) -> dict[str, int]:
    """Lists the settings that cut an answer off: dotted name -> tokens."""
    return {
        "stage_one.max_completion_length": config.stage_one.max_completion_length,
        "stage_two.max_completion_length": config.stage_two.max_completion_length,
        "comparison.max_tokens": config.comparison.max_tokens,
    }


def answers(run: Run) -> Answers:
    """Writes an answer after a short reasoning; its length depends on no question."""
    return Answers("a direction", [question.answer(THOUGHT, "up", 2.5, 0.75)], limits(run.config))
