"""Trains a model to call directions with GRPO: stage I on a balanced set, stage II on the market as it is."""

import csv
import math
import random
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from preprocessing.reading import spread_rows
from stonk_pipeline.contracts.direction import question as direction
from stonk_pipeline.contracts.direction.cases import Examples, read_examples
from stonk_pipeline.contracts.direction.rewards import COMPONENTS, Answer, Outcome, outcome, running_share, total
from stonk_pipeline.contracts.direction.sections import RewardShape
from stonk_pipeline.contracts.direction.settings import CallPolicyStage
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import CHECKPOINTS, Progress, Stage
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.sampling.prompts import render
from stonk_pipeline.schema import Call
from stonk_pipeline.text.form import Messages
from stonk_pipeline.training.checkpoints import STATE, last_whole_checkpoint
from stonk_pipeline.training.policy import Lesson, train
from stonk_pipeline.training.telemetry import means_and_spreads
from stonk_pipeline.training.unread import Unread
from stonk_pipeline.training.validation import TOP_P, validator

KNOWN = ("change", "volatility", "question", "flat")
"""Columns of a row: fields of the `Outcome` that its rewards take."""


class CallBook:
    """A reward function of weight 0 that collects figures for the training log and the share of rises called."""

    __name__ = "book"
    columns = (
        *(f"{kind}_{name}" for kind in ("reward", "spread") for name in COMPONENTS),
        *("up_share", "market_up", "called_up", "readable_share"),
    )

    def __init__(self, group_size: int, shape: RewardShape, market_up: float, called_up: float) -> None:
        """`market_up`: share of rises in the set. `called_up`: running share of rises called so far."""
        self.group_size, self.shape, self.market_up, self.called_up = group_size, shape, market_up, called_up
        self.last: dict[str, float] = {}
        self.unread = Unread(direction.REASONS)

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """Computes means, spreads and shares for the log; the reward itself is 0."""
        answers = _answers(completions)
        self.unread.note(completions, answers)
        truths = self.outcomes(columns, len(answers))
        scores = {
            name: [component(answer, truth, self.shape) for answer, truth in zip(answers, truths, strict=True)]
            for name, component in COMPONENTS.items()
        }
        calls = [answer for answer in answers if isinstance(answer, Call)]
        moved = [truth.change > 0 for truth in truths if not truth.flat]
        # As the log shortens it: a training that is continued begins with the number that it reads there.
        self.called_up = float(f"{running_share(self.called_up, answers):.6g}")
        self.last = means_and_spreads(scores, self.group_size) | {
            "up_share": fmean(call.side == "up" for call in calls) if calls else 0.5,
            "market_up": fmean(moved) if moved else 0.5,
            "called_up": self.called_up,
            "readable_share": len(calls) / len(answers),
        }
        return [0.0] * len(answers)

    def outcomes(self, columns: Mapping[str, Any], count: int) -> list[Outcome]:
        """Reads the outcome of each answer from the columns of its row."""
        return [
            Outcome(**{name: columns[name][row] for name in KNOWN}, called_up=self.called_up, market_up=self.market_up)
            for row in range(count)
        ]


class CallReward:
    """Wraps one reward component as a TRL reward function."""

    def __init__(self, name: str, book: CallBook) -> None:
        self.name, self.book = name, book
        self.__name__ = name

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """Scores each completion against the outcome of its row's decision."""
        answers = _answers(completions)
        truths = self.book.outcomes(columns, len(answers))
        component = COMPONENTS[self.name]
        return [component(answer, truth, self.book.shape) for answer, truth in zip(answers, truths, strict=True)]


def _answers(completions: list[list[dict[str, str]]]) -> list[Answer]:
    return [direction.parse(completion[0]["content"]) for completion in completions]


def outcomes(examples: Examples, asked: list[Messages], days_ahead: int) -> list[Outcome]:
    """Builds the outcome of each decision, beside the question that was asked."""
    questions = [messages[-1]["content"] for messages in asked]
    return [
        outcome(decision, movement, question, days_ahead)
        for decision, movement, question in zip(*examples, questions, strict=True)
    ]


def run(config: CallPolicyStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Trains an adapter that calls directions, and keeps the one with the best validation reward.

    Args:
        config: settings.
        inputs: `examples`: the examples stage; `start`: the training stage whose model to go on from, in stage II.
        out: receives `adapter/` (for the base model, whatever it was trained on), `training_log.csv`, `validation.csv`.
        progress: receives each optimizer step.

    Returns:
        Numbers of the run: steps, examples, and the best checkpoint's reward and accuracy in validation.

    Raises:
        PromptError: a prompt does not fit.
        StageError: training was interrupted before its last step.
    """
    examples = read_examples(inputs["examples"], config.set)
    grpo = config.grpo
    if grpo.epochs is not None:
        steps = math.ceil(grpo.epochs * len(examples.decisions) / grpo.prompts_per_step)
        grpo = grpo.model_copy(update={"steps": steps})
    stocks = [decision.window.stock for decision in examples.decisions]
    examples = examples.take(spread_rows(stocks, grpo.steps * grpo.prompts_per_step, config.seed))
    start = inputs["start"] / load.ADAPTER if "start" in inputs else None
    with TemporaryDirectory() as scratch:
        model = config.model
        if start is not None:
            load.save_merged(config.model, start, Path(scratch))
            model = config.model.model_copy(update={"name": scratch})
        loaded = load.load_for_training(model, grpo.lora, config.seed, fast_inference=load.colocates())
        book = CallBook(grpo.group_size, config.shape, examples.up_share, _called_up(out))
        weights = {name: weight for name, weight in grpo.rewards.model_dump().items() if weight}
        lesson = Lesson(
            rows=_rows(examples, config, loaded.tokenizer),
            rewards=[CallReward(name, book) for name in weights],
            weights=list(weights.values()),
            book=book,
            validator=lambda loaded, state: _validator(config, inputs["examples"], start, loaded, state),
        )
        numbers = train(config.model, grpo, loaded, lesson, config.seed, out, progress)
    return {"examples": len(examples.decisions), "up_share": round(examples.up_share, 4), **numbers}


def _called_up(out: Path) -> float:
    """The running share of rises called, as it was at the checkpoint that is continued from; at first one half."""
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    log = checkpoint / STATE / "training_log.csv" if checkpoint else None
    if log is None or not log.is_file():
        return 0.5
    with log.open(newline="", encoding="utf-8") as stream:
        return float(list(csv.DictReader(stream))[-1]["called_up"])


def _rows(examples: Examples, config: CallPolicyStage, tokenizer: Any) -> list[dict[str, Any]]:
    """Dataset rows in random order; the prompt column is all that the model sees."""
    asked = [direction.messages(decision, config.prompt, config.days_ahead) for decision in examples.decisions]
    asked = guarded(tokenizer, asked)  # the trainer applies the template itself
    render(
        tokenizer,
        asked,
        room=config.grpo.max_completion_length,
        limit=config.model.max_seq_length,
        shorter=direction.SHORTER,
    )
    rows = []
    for messages, truth in zip(asked, outcomes(examples, asked, config.days_ahead), strict=True):
        rows.append({"prompt": messages} | {name: getattr(truth, name) for name in KNOWN})
    random.Random(config.seed).shuffle(rows)
    return rows


def _validator(config: CallPolicyStage, directory: Path, start: Path | None, loaded: load.Loaded, state: Path) -> Any:
    grpo = config.grpo
    every = read_examples(directory, "val")
    stocks = [decision.window.stock for decision in every.decisions]
    examples = every.take(spread_rows(stocks, grpo.validation_windows, config.seed))
    asked = [direction.messages(decision, config.prompt, config.days_ahead) for decision in examples.decisions]
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    prompts = render(loaded.tokenizer, asked, room=room, limit=limit, shorter=direction.SHORTER)
    truths = outcomes(examples, asked, config.days_ahead)
    engine = TransformersEngine(loaded.model, loaded.tokenizer)
    draws = Draws(grpo.validation_samples, grpo.temperature, TOP_P, room, config.seed)

    def measure() -> dict[str, float]:
        return validation_figures(direction.read_all(engine.sample(prompts, draws)), truths, config)

    def save(best: Path) -> None:
        load.save_adapter(loaded, config.model, best)
        if start is not None:
            load.join_adapters(start, best)

    columns = ("reward", "accuracy", "up_share", "readable_share")
    return validator(state, columns, measure, save, lambda row: row["reward"])


def validation_figures(answers: list[list[Answer]], truths: list[Outcome], config: CallPolicyStage) -> dict[str, float]:
    """Computes mean reward, accuracy (an unreadable answer counts half) and shares of all validation answers.

    Args:
        answers: S answers to each of the N questions.
        truths: what came after each.
        config: weights and bands of the rewards.
    """
    pairs = [(answer, truth) for several, truth in zip(answers, truths, strict=True) for answer in several]
    calls = [answer for answer, _ in pairs if isinstance(answer, Call)]
    right = [
        COMPONENTS["direction"](answer, truth) if isinstance(answer, Call) else 0.5
        for answer, truth in pairs
        if not truth.flat
    ]
    return {
        "reward": fmean(total(answer, truth, config.grpo.rewards, config.shape) for answer, truth in pairs),
        "accuracy": fmean(right) if right else 0.5,
        "up_share": fmean(call.side == "up" for call in calls) if calls else 0.5,
        "readable_share": len(calls) / len(pairs),
    }


ONE = Stage("stage1_training", CallPolicyStage, run)
TWO = Stage("stage2_training", CallPolicyStage, run)
