"""Teaches a base model the form of a called direction, where it does not know it, with calls at random."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from preprocessing.reading import spread_rows
from stonk_pipeline.contracts.direction import question
from stonk_pipeline.contracts.direction.cases import read_decisions, read_examples
from stonk_pipeline.contracts.direction.lesson import accuracy
from stonk_pipeline.contracts.direction.rewards import Answer, Outcome, outcome
from stonk_pipeline.contracts.direction.sections import DirectionPrompt
from stonk_pipeline.contracts.direction.settings import CallWarmupStage
from stonk_pipeline.contracts.direction.unskilled import unskilled_answer
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.sampling.prompts import render
from stonk_pipeline.schema import Call, Decision
from stonk_pipeline.text.form import Messages
from stonk_pipeline.training.kept_answers import Examples
from stonk_pipeline.training.warmup import Form, warm_up


def run(config: CallWarmupStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Fine-tunes the base model on calls at random, if it needs that to be readable.

    Args:
        config: settings.
        inputs: `examples`: the examples stage.
        out: receives `adapter/` and `training_log.csv` where there is a training; `checkpoints/` while it runs.
        progress: receives each logged step.

    Returns:
        Numbers of `warmup.warm_up`; the figures are accuracy (an unreadable answer counts half) and readable share.

    Raises:
        PromptError, StageError: see `warmup.warm_up`.
    """
    warmup = config.warmup
    decisions, held_out = read_decisions(inputs["examples"], "natural"), read_examples(inputs["examples"], "val")
    taught = [decisions[row] for row in _spread(decisions, warmup.examples, config.seed)]
    held_out = held_out.take(_spread(held_out.decisions, warmup.windows, config.seed))
    ask = partial(question.messages, prompt=config.prompt, days_ahead=config.days_ahead)
    asked = [ask(decision) for decision in held_out.decisions]
    truths = [outcome(*pair, "", config.days_ahead) for pair in zip(*held_out, strict=True)]
    form = Form(
        examples=examples(taught, config.prompt, config.days_ahead, warmup.examples, config.seed),
        prompts=partial(_prompts, asked),
        read=question.read_all,
        figures=partial(_figures, truths=truths),
        reasons=question.REASONS,
        temperature=config.temperature,
        room=("stage_one.max_completion_length", config.max_tokens),
    )
    return warm_up(config.model, config.lora, warmup, config.seed, form, out, progress)


def examples(decisions: Sequence[Decision], prompt: DirectionPrompt, days: int, count: int, seed: int) -> Examples:
    """Writes calls at random to training decisions, several to each where there are fewer decisions."""
    rng = np.random.default_rng(seed)
    rows = []
    for decision in (decisions[place % len(decisions)] for place in range(count)):
        asked = question.messages(decision, prompt, days)
        answer = unskilled_answer(asked[-1]["content"], rng, any_headline=True)
        rows.append({"date": decision.window.date, "prompt": asked, "completion": answer})
    return sorted(rows, key=lambda row: str(row["date"]))


def _spread(decisions: Sequence[Decision], count: int, seed: int) -> list[int]:
    return spread_rows([decision.window.stock for decision in decisions], count, seed)


def _prompts(asked: list[Messages], tokenizer: Any, room: int, limit: int) -> list[str]:
    return render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)


def _figures(answers: list[list[Answer]], truths: list[Outcome]) -> dict[str, float]:
    pairs = [(answer, truth) for several, truth in zip(answers, truths, strict=True) for answer in several]
    read = fmean(isinstance(answer, Call) for answer, _ in pairs)
    return {"accuracy": accuracy(pairs), "readable_share": read}


STAGE = Stage("warm_up", CallWarmupStage, run)
