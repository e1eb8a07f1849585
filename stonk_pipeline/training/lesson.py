"""Describes what a policy is trained on, and makes the reward functions of it that TRL's trainer takes."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stonk_pipeline.models.chat import Chat
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.schema import Unreadable
from stonk_pipeline.text.form import Messages
from stonk_pipeline.training.telemetry import OF_TRAINER, CsvLog, means_and_spreads
from stonk_pipeline.training.unread import Unread

A = TypeVar("A")
"""An answer that could be read."""
T = TypeVar("T")
"""What came after a question, and what rewards need beside it."""
Pairs = Sequence[tuple[A | Unreadable, T]]
"""The answers of a step, each beside what came."""
Row = Mapping[str, Any]
"""A row of a log: column -> value."""


def _unchanged(truth: T, row: Row) -> T:
    del row
    return truth


@dataclass(frozen=True)
class HeldOut(Generic[A, T]):
    """The questions that a policy is validated on during training, and what makes its best checkpoint."""

    prompts: list[str]
    """The questions as the model sees them."""
    truths: Sequence[T]
    """What came after each."""
    columns: tuple[str, ...]
    """Names of the figures; the stage reports the first two."""
    figures: Callable[[list[list[A | Unreadable]]], dict[str, float]]
    """Of the answers to each question."""
    merit: Callable[[Mapping[str, float]], float]
    """Of a row of figures; the largest is the best."""


@dataclass(frozen=True)
class Lesson(Generic[A, T]):
    """The questions that GRPO trains with, how answers are read, and what rewards they earn."""

    asked: list[Messages]
    truths: Sequence[T]
    """What came after each question. The trainer's rows hold a place in this list alone."""
    read: Callable[[str, T], A | Unreadable]
    reasons: Mapping[str, str]
    """Why an answer cannot be read: `Unreadable.reason` -> what it means."""
    rewards: Mapping[str, Callable[[A | Unreadable, T], float]]
    weights: Mapping[str, float]
    """Of each of these rewards."""
    logged: Sequence[str]
    """The rewards that `training_log.csv` tells of."""
    describe: Mapping[str, Callable[[Pairs[A, T]], float]]
    """Further columns of `training_log.csv`."""
    held_out: HeldOut[A, T]
    follow: Callable[[T, Row], T] = _unchanged
    """Adds to what came what the rewards need of the last step: its row in the log, which is empty at first."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names the columns of `training_log.csv`."""
        of_rewards = (f"{kind}_{name}" for kind in ("reward", "spread") for name in self.logged)
        return ("step", "reward", "reward_std", *of_rewards, *self.describe, "readable_share", *OF_TRAINER)

    def rows(self, tokenizer: Any, seed: int) -> list[dict[str, Any]]:
        """Makes the trainer's dataset, in random order: the prompt is all that the model sees."""
        rows = [{"prompt": talk, "case": case} for case, talk in enumerate(guarded(tokenizer, self.asked))]
        random.Random(seed).shuffle(rows)
        return rows


class Marks(Generic[A, T]):
    """Reads and scores each answer of a step once, for all rewards and for the log."""

    def __init__(self, lesson: Lesson[A, T], chat: Chat, group_size: int, log: CsvLog) -> None:
        self.lesson, self.chat, self.group_size, self.log = lesson, chat, group_size, log
        self.unread = Unread(lesson.reasons)
        self.last: dict[str, float] = {}
        """Column -> value, of the last step."""
        self._ids: list[list[int]] = []
        self._scores: dict[str, list[float]] = {}

    def of(self, ids: list[list[int]], cases: list[int]) -> dict[str, list[float]]:
        """Returns the rewards of a step's answers by name; the trainer hands the same list of tokens to all of them.

        The tokens are read as the contracts read answers, and not as the trainer decodes them: it leaves special
        tokens out (`<think>` is one in some vocabularies) and does not know what the chat template begins of an answer.
        """
        if ids is not self._ids:
            self._ids, self._scores = ids, self._mark([self.chat.read(each) for each in ids], cases)
        return self._scores

    def _mark(self, texts: list[str], cases: list[int]) -> dict[str, list[float]]:
        lesson, before = self.lesson, self.log.rows[-1] if self.log.rows else {}
        truths = [lesson.follow(lesson.truths[case], before) for case in cases]
        pairs = [(lesson.read(text, truth), truth) for text, truth in zip(texts, truths, strict=True)]
        self.unread.note(texts, [answer for answer, _ in pairs])
        scores = {name: [reward(*pair) for pair in pairs] for name, reward in lesson.rewards.items()}
        self.last = {
            **means_and_spreads({name: scores[name] for name in lesson.logged}, self.group_size),
            **{name: describe(pairs) for name, describe in lesson.describe.items()},
            "readable_share": sum(not isinstance(answer, Unreadable) for answer, _ in pairs) / len(pairs),
        }
        return scores


class Reward:
    """Wraps one reward as a TRL reward function; a class and not a closure, so that it can be pickled."""

    def __init__(self, name: str, marks: Marks[Any, Any]) -> None:
        self.__name__, self.marks = name, marks

    def __call__(self, completion_ids: list[list[int]], case: list[int], **columns: Any) -> list[float]:
        """Returns the reward of each answer, by its tokens and the place of its question."""
        return self.marks.of(completion_ids, case)[self.__name__]
