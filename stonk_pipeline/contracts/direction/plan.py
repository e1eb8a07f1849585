"""Describes the work of a direction run from its settings and examples, with the length of prompts and answers."""

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
from stonk_pipeline.sampling.prompts import render, token_ids
from stonk_pipeline.training import effort

PROMPTS = 500
"""Of the training examples, whose tokens are counted."""
TRIED = 64
"""Questions that a trial of the real model is given."""
MODELS = 3
"""That are compared: the base model, and those of both stages."""
THOUGHT = (
    "After a move of -1.25% the close is below its EMA of 99.40 but should come back to it with a rise. "
    "The headline on higher earnings, 12 h old, points the same way, so I expect a rise."
)
"""A short reasoning, as the rewards ask for: a figure and a headline, what each means, and what follows."""


def plan(run: Run, tokenizer: Any) -> Plan:
    """Describes what a run would do, once its examples are made.

    Raises:
        PromptError: a prompt does not fit.
    """
    config: DirectionConfig = run.config
    decisions = read_decisions(run.stage_dir(EXAMPLES), "natural")[:PROMPTS]
    asked = [question.messages(decision, config.prompt, config.examples.days_ahead) for decision in decisions]
    room, limit = max(limits(config).values()), config.model.max_seq_length
    prompts = render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)
    said = answers(run).texts
    lengths = effort.measured(token_ids(tokenizer, prompts), token_ids(tokenizer, said))
    sides = read_manifest(run.stage_dir(EXAMPLES)).numbers["examples"]
    examples = {name: sum(counts.values()) for name, counts in sides.items()}
    return Plan(lengths, work(config, lengths, examples), asked[:TRIED], said)


def work(config: DirectionConfig, lengths: effort.Lengths, examples: Mapping[str, int]) -> dict[str, effort.Work]:
    """Describes what each step does.

    Args:
        config: settings.
        lengths: tokens of prompts and answers.
        examples: set -> its examples.
    """

    def stage(setting: str, grpo: CallPolicyConfig, name: str) -> effort.Work:
        steps = grpo.steps
        if grpo.epochs is not None:
            steps = math.ceil(grpo.epochs * examples[name] / grpo.prompts_per_step)
        grpo = grpo.model_copy(update={"steps": steps})
        return effort.of_policy(setting, grpo, grpo.lora, lengths, "decisions")

    def asked(name: str, models: int) -> effort.Work:
        comparison = config.comparison
        count, engine = min(comparison.windows, examples[name]), comparison.engine
        drawn = effort.Drawing(
            "comparison",
            engine,
            count,
            comparison.samples,
            comparison.max_tokens,
            lengths,
            times=models,
            starts=models,
        )
        said = f"{models * drawn.answers:,} answers of {'three models' if models > 1 else 'the model'}"
        return effort.Work(said, (drawn,))

    return {
        **({} if config.records is not None else {"preprocess": effort.Work("indicators and windows")}),
        EXAMPLES: effort.Work("labels and headlines"),
        **effort.of_warmup(
            WARM_UP, config.warmup, config.model, config.stage_one.lora, lengths, config.stage_one.max_completion_length
        ),
        "stage-one": stage("stage_one", config.stage_one, "balanced"),
        "gate": asked("val", 1),
        "stage-two": stage("stage_two", config.stage_two, "natural"),
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
