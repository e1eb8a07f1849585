"""Counts the tokens of a direction run's prompts, for a dry run."""

from typing import Any

from stonk_pipeline.contract import Plan
from stonk_pipeline.contracts.direction import question
from stonk_pipeline.contracts.direction.cases import read_decisions
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.direction.steps import EXAMPLES
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.sampling.prompts import check_lengths, render

PROMPTS = 500
"""Of the training examples, whose tokens are counted."""


def plan(run: Run, tokenizer: Any) -> Plan:
    """Measures the longest prompt of a run, once its examples are made.

    Raises:
        PromptError: a prompt does not fit.
    """
    config: DirectionConfig = run.config
    decisions = read_decisions(run.stage_dir(EXAMPLES), "natural")[:PROMPTS]
    asked = [question.messages(decision, config.prompt, config.examples.days_ahead) for decision in decisions]
    stages = (config.stage_one, config.stage_two)
    room = max(config.comparison.max_tokens, *(stage.max_completion_length for stage in stages))
    limit = config.model.max_seq_length
    prompts = render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)
    return Plan(check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=question.SHORTER), {})
