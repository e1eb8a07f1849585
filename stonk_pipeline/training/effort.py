"""Describes the work of a step (answers to sample, texts to train on) as an estimate of time and memory needs it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, SFTConfig, WarmupConfig
from stonk_pipeline.models.locations import EMBEDDED_MODELS

TRAINER = "trainer"
"""Engine of the answers that a GRPO training draws itself: all answers of a step in one batch."""


class Lengths(NamedTuple):
    """Tokens of prompts and of whole answers."""

    longest: int
    """Of the longest prompt."""
    usual: float
    """Mean of the prompts."""
    answer: float
    """Mean of whole answers with a short reasoning; 0 where nobody knows."""


@dataclass(frozen=True)
class Drawing:
    """Answers that a model samples."""

    setting: str
    """Section of the settings that says how many."""
    engine: str
    """The setting (`auto`, `vllm`, `transformers`), or `trainer`."""
    prompts: int
    """That are asked each time."""
    samples: int
    """Answers to each prompt."""
    limit: int
    """Tokens at which an answer is cut off."""
    lengths: Lengths
    times: int = 1
    """How often they are asked: once a step of a training, once for each model that is compared."""
    starts: int = 0
    """Engines that are started for it; 0 for a model that is loaded already."""
    prefers_vllm: bool = False
    """What `auto` takes on a CPU."""

    @property
    def answers(self) -> int:
        """Counts the answers in one go."""
        return self.prompts * self.samples


@dataclass(frozen=True)
class Teaching:
    """Texts that an adapter is trained on."""

    setting: str
    """Section of the settings."""
    settings: PolicyConfig | SFTConfig
    lora: LoraConfig
    texts: float
    """Prompts with their answers, over the whole step."""
    lengths: Lengths
    unlearned: float = 0.0
    """Texts that are read without a backward pass: by the model a training started from, or held out."""

    @property
    def answer(self) -> float:
        """Tokens of an answer: GRPO fills up to the longest of a step, fine-tuning has whole answers."""
        return self.lengths.answer if self.limit is None else self.limit

    @property
    def limit(self) -> int | None:
        """Tokens at which an answer is cut off; None for given answers."""
        return self.settings.max_completion_length if isinstance(self.settings, PolicyConfig) else None

    @property
    def refers(self) -> bool:
        """Tells whether the adapter that it begins with is kept beside the trained one."""
        return isinstance(self.settings, PolicyConfig) and self.settings.beta > 0

    @property
    def micro_batch(self) -> int:
        """Counts the texts of one forward and backward pass."""
        if isinstance(self.settings, SFTConfig):
            return min(self.settings.micro_batch, self.settings.batch_size)
        return self.settings.micro_batch

    @property
    def per_step(self) -> int:
        """Counts the texts of an optimizer step."""
        if isinstance(self.settings, SFTConfig):
            return self.settings.batch_size
        return self.settings.prompts_per_step * self.settings.group_size


Part = Drawing | Teaching


@dataclass(frozen=True)
class Work:
    """What a step does."""

    what: str
    """In words, for a table."""
    parts: tuple[Part, ...] = field(default=())
    """One after the other; none where no model is loaded."""

    @property
    def teaching(self) -> Teaching | None:
        """The part that trains, if one does."""
        return next((part for part in self.parts if isinstance(part, Teaching)), None)


def measured(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Lengths:
    """Takes the lengths of prompts and of whole answers, given as tokens."""
    return Lengths(max(map(len, prompts), default=0), _mean(prompts), _mean(answers))


def _mean(texts: Iterable[Sequence[int]]) -> float:
    lengths = [len(text) for text in texts]
    return sum(lengths) / max(len(lengths), 1)


def of_policy(setting: str, grpo: PolicyConfig, lora: LoraConfig, lengths: Lengths, questions: str) -> Work:
    """Describes a GRPO training: it draws answers, trains on them, and validates at each checkpoint.

    Args:
        setting: its section of the settings.
        grpo: the settings in it.
        lora: its adapter.
        lengths: of prompts and answers.
        questions: what a person calls the prompts.
    """
    answers = grpo.steps * grpo.prompts_per_step * grpo.group_size
    validations = 1 + math.ceil(grpo.steps / grpo.save_steps)
    parts = (
        Drawing(
            setting, TRAINER, grpo.prompts_per_step, grpo.group_size, grpo.max_completion_length, lengths, grpo.steps
        ),
        Teaching(setting, grpo, lora, answers, lengths, unlearned=answers if grpo.beta else 0),
        Drawing(
            setting,
            "transformers",
            grpo.validation_windows,
            grpo.validation_samples,
            grpo.max_completion_length,
            lengths,
            validations,
        ),
    )
    return Work(f"{grpo.steps} steps of {grpo.prompts_per_step} {questions} x {grpo.group_size} answers", parts)


def of_fine_tuning(setting: str, sft: SFTConfig, lora: LoraConfig, lengths: Lengths, examples: int) -> Work:
    """Describes a supervised fine-tuning on at most as many examples, with the losses of those that are held out.

    Args:
        setting: its section of the settings.
        sft: the settings in it.
        lora: its adapter.
        lengths: of prompts and answers.
        examples: with those that are held out.
    """
    held_out = round(sft.val_share * examples)
    taught = max(examples - held_out, 1)
    steps = math.ceil(sft.epochs * taught / sft.batch_size)
    said = f"at most {steps} steps of {sft.batch_size}"
    texts = steps * sft.batch_size
    return Work(said, (Teaching(setting, sft, lora, texts, lengths, unlearned=sft.evaluations * held_out),))


def of_warmup(
    step: str, warmup: WarmupConfig, model: ModelConfig, lora: LoraConfig, lengths: Lengths, limit: int
) -> dict[str, Work]:
    """Describes a warm-up: it asks the model before and after a fine-tuning; empty where it is no part of the run.

    With `auto` its training counts as needed, but for the models of the package, which know the form.

    Args:
        step: name of the step.
        warmup: its settings.
        model: that is warmed up.
        lora: its adapter.
        lengths: of prompts and answers.
        limit: tokens at which an answer is cut off.
    """
    if warmup.when == "never":
        return {}
    known = warmup.when == "auto" and Path(model.name).name in EMBEDDED_MODELS
    times = 1 if known else 2
    asked = Drawing("warmup", "transformers", warmup.windows, warmup.samples, limit, lengths, times)
    taught = of_fine_tuning("warmup", warmup, lora, lengths, warmup.examples)
    needed = "" if warmup.when == "always" else f"{asked.answers // times:,} answers; if needed, "
    return {step: Work(f"{needed}{taught.what}", (asked,) if known else (asked, *taught.parts))}
