"""Trains a model to call directions with GRPO: stage I on a balanced set, stage II on the market as it is."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from preprocessing.reading import spread_rows
from stonk_pipeline.contracts.direction import question
from stonk_pipeline.contracts.direction.cases import Examples, read_examples
from stonk_pipeline.contracts.direction.rewards import COMPONENTS, Answer, Outcome, outcome, running_share, total
from stonk_pipeline.contracts.direction.settings import CallPolicyStage
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.sampling.prompts import render
from stonk_pipeline.schema import Call
from stonk_pipeline.text.form import Messages
from stonk_pipeline.training.lesson import HeldOut, Lesson, Pairs, Row
from stonk_pipeline.training.policy import train


def run(config: CallPolicyStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Trains an adapter that calls directions, and keeps the one with the best validation reward.

    Args:
        config: settings.
        inputs: `examples`: the examples stage; optional `warm_up`: the stage whose adapter to continue, in stage I;
            `start`: the training stage whose model to go on from with an adapter of its own, in stage II.
        out: receives `adapter/` (for the base model, whatever it was trained on), `training_log.csv`, `validation.csv`.
        progress: receives each optimizer step.

    Returns:
        Numbers of the run: steps, examples, and the best checkpoint's reward and accuracy in validation.

    Raises:
        PromptError: a prompt does not fit.
        StageError: training was interrupted before its last step.
    """
    examples, held_out = (read_examples(inputs["examples"], name) for name in (config.set, "val"))
    grpo = config.grpo
    if grpo.epochs is not None:
        steps = math.ceil(grpo.epochs * len(examples.decisions) / grpo.prompts_per_step)
        grpo = grpo.model_copy(update={"steps": steps})
    examples = _spread(examples, grpo.steps * grpo.prompts_per_step, config.seed)
    held_out = _spread(held_out, grpo.validation_windows, config.seed)
    start, warmed_up = (inputs[name] / load.ADAPTER if name in inputs else None for name in ("start", "warm_up"))
    with TemporaryDirectory() as scratch:
        model = config.model
        if start is not None:
            load.save_merged(config.model, start, Path(scratch))
            model = config.model.model_copy(update={"name": scratch})
        loaded = load.load_for_training(model, grpo.lora, config.seed, start=warmed_up, fast_inference=load.colocates())
        taught = lesson(config, loaded.tokenizer, examples, held_out)
        numbers = train(config.model, grpo, loaded, taught, config.seed, out, progress, below=start)
    return {"examples": len(examples.decisions), "up_share": round(examples.up_share, 4), **numbers}


def _spread(examples: Examples, count: int, seed: int) -> Examples:
    return examples.take(spread_rows([decision.window.stock for decision in examples.decisions], count, seed))


def lesson(config: CallPolicyStage, tokenizer: Any, examples: Examples, held_out: Examples) -> Lesson[Call, Outcome]:
    """Makes the lesson of calling directions, from decisions and what came.

    Raises:
        PromptError: a prompt does not fit.
    """

    def ask(part: Examples) -> tuple[list[Messages], list[str], list[Outcome]]:
        asked = [question.messages(decision, config.prompt, config.days_ahead) for decision in part.decisions]
        asked = guarded(tokenizer, asked)  # figures are cited from the question as the model sees it
        room, limit = config.grpo.max_completion_length, config.model.max_seq_length
        prompts = render(tokenizer, asked, room=room, limit=limit, shorter=question.SHORTER)
        came = [
            outcome(decision, movement, talk[-1]["content"], config.days_ahead)
            for decision, movement, talk in zip(*part, asked, strict=True)
        ]
        return asked, prompts, came

    asked, _, truths = ask(examples)
    _, prompts, later = ask(held_out)
    return Lesson(
        asked=asked,
        truths=[replace(truth, market_up=examples.up_share) for truth in truths],
        read=_read,
        reasons=question.REASONS,
        rewards={name: partial(component, shape=config.shape) for name, component in COMPONENTS.items()},
        weights={name: weight for name, weight in config.grpo.rewards.model_dump().items() if weight},
        logged=tuple(COMPONENTS),
        describe={"up_share": _up_share, "market_up": _market_up, "called_up": _called_up},
        held_out=HeldOut(
            prompts=prompts,
            truths=later,
            columns=("reward", "accuracy", "up_share", "readable_share"),
            figures=partial(validation_figures, truths=later, config=config),
            merit=itemgetter("reward"),
        ),
        follow=_follow,
    )


def _read(text: str, truth: Outcome) -> Answer:
    del truth
    return question.parse(text)


def _follow(truth: Outcome, row: Row) -> Outcome:
    """Adds the share of rises called up to the last step, which a training that is continued reads in its log too."""
    return replace(truth, called_up=float(row["called_up"])) if row else truth


def _up_share(pairs: Pairs[Call, Outcome]) -> float:
    return fmean([answer.side == "up" for answer, _ in pairs if isinstance(answer, Call)] or [0.5])


def _market_up(pairs: Pairs[Call, Outcome]) -> float:
    return fmean([truth.change > 0 for _, truth in pairs if not truth.flat] or [0.5])


def _called_up(pairs: Pairs[Call, Outcome]) -> float:
    return running_share(pairs[0][1].called_up, [answer for answer, _ in pairs])


def validation_figures(answers: list[list[Answer]], truths: list[Outcome], config: CallPolicyStage) -> dict[str, float]:
    """Computes mean reward, accuracy (an unreadable answer counts half) and shares of all validation answers.

    Args:
        answers: S answers to each of the N questions.
        truths: what came after each.
        config: weights and bands of the rewards.
    """
    pairs = [(answer, truth) for several, truth in zip(answers, truths, strict=True) for answer in several]
    return {
        "reward": fmean(total(answer, truth, config.grpo.rewards, config.shape) for answer, truth in pairs),
        "accuracy": accuracy(pairs),
        "up_share": _up_share(pairs),
        "readable_share": fmean(isinstance(answer, Call) for answer, _ in pairs),
    }


def accuracy(pairs: Pairs[Call, Outcome]) -> float:
    """Computes the share of answers whose side is right on days that moved; an unreadable one counts half."""
    right = [
        COMPONENTS["direction"](answer, truth) if isinstance(answer, Call) else 0.5
        for answer, truth in pairs
        if not truth.flat
    ]
    return fmean(right) if right else 0.5


ONE = Stage("stage1_training", CallPolicyStage, run)
TWO = Stage("stage2_training", CallPolicyStage, run)
