"""Teaches a base model the form of an answer before the first GRPO, where it does not know it.

GRPO learns from answers that differ in what they earn; where none can be read, all earn the same. So the base model is
asked about some validation windows, and where fewer than half of its answers can be read, it is fine-tuned on answers
that have the form and say nothing about what came. The readable share and the skill, before and after, are reported:
what a model can do beyond the form it has to learn later.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Generic

from stonk_pipeline.config.training import LoraConfig, ModelConfig, SFTStage, WarmupConfig
from stonk_pipeline.errors import PromptError, StageError
from stonk_pipeline.files.untrusted import read_table, shown
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import CHECKPOINTS, Progress, write_atomic
from stonk_pipeline.sampling.apart import draw_apart
from stonk_pipeline.sampling.ask import Prompts
from stonk_pipeline.sampling.engines import Answers, Draws, TransformersEngine
from stonk_pipeline.schema import Unreadable
from stonk_pipeline.training.kept_answers import Examples, split_examples
from stonk_pipeline.training.lesson import A
from stonk_pipeline.training.sft import fine_tune
from stonk_pipeline.training.unread import Unread
from stonk_pipeline.training.validation import TOP_P

ENOUGH = 0.5
"""Share of readable answers from which on no warm-up is needed."""
BEFORE = "before.json"
"""What the base model's answers were like, beside the checkpoints of a training that goes on."""
MORE = "give more bars, or lower data.stride"
SMALLER = "lower model.max_seq_length, or use a smaller model"
"""What to do where memory runs out while the base model is asked."""


@dataclass(frozen=True)
class Form(Generic[A]):
    """The form of a contract's answers: examples of it, and questions by whose answers it is seen who knows it."""

    examples: Examples
    """Questions of training windows with answers that say nothing about what came, by date."""
    prompts: Prompts
    """Makes the prompts of the questions that are asked before and after; can be pickled."""
    read: Callable[[Answers], list[list[A | Unreadable]]]
    """Reads the answers to these questions."""
    figures: Callable[[list[list[A | Unreadable]]], dict[str, float]]
    """Skill of these answers, and `readable_share`."""
    reasons: dict[str, str]
    """Why an answer cannot be read: `Unreadable.reason` -> what it means."""
    temperature: float
    """Of the answers to these questions, as in the first GRPO."""
    room: tuple[str, int]
    """The setting that cuts the answers of the first GRPO off, and its tokens."""


@dataclass(frozen=True)
class Seen:
    """What a model's answers are like."""

    figures: dict[str, float]
    answers: int
    why_not: str
    """Why most of those that cannot be read cannot be; empty if all can."""
    last: str
    """The last one of those."""


def warm_up(
    model: ModelConfig,
    lora: LoraConfig,
    warmup: WarmupConfig,
    seed: int,
    form: Form[A],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Fine-tunes the base model on the form of an answer, if its answers cannot be read or it is always asked for.

    Args:
        model: settings of the model.
        lora: shape of the adapter, which the first GRPO goes on with.
        warmup: settings of the warm-up.
        seed: of the adapter, the order of the examples and the answers.
        form: what is taught, and what is asked.
        out: receives `adapter/` and `training_log.csv` where there is a training; `checkpoints/` while it runs.
        progress: receives each logged step.

    Returns:
        Numbers: whether it trained and why, the answers that were `asked` for, their `val_{figure}_start`, and of a
        training `val_{figure}` after it.

    Raises:
        PromptError: a prompt does not fit beside its answer, or answers are cut off before they end.
        StageError: too few examples, training was interrupted, or no answer can be read after it.
    """
    draws = Draws(warmup.samples, form.temperature, TOP_P, form.room[1], seed)
    progress(0, 1, "asking the base model")
    before = _before(out) or _seen(form, draw_apart(model, form.prompts, draws, SMALLER))
    share = before.figures["readable_share"]
    numbers: dict[str, Any] = {f"val_{name}_start": value for name, value in before.figures.items()}
    numbers["asked"] = before.answers
    if warmup.when == "auto" and share >= ENOUGH:
        return {"trained": False, "why": f"{share:.0%} of the answers can be read", **numbers}
    parts = split_examples(form.examples, warmup.val_share, MORE)
    loaded = load.load_for_training(model, lora, seed)
    _require_room(loaded, form)
    (out / CHECKPOINTS).mkdir(exist_ok=True)
    write_atomic(out / CHECKPOINTS / BEFORE, json.dumps(vars(before)))
    stage = SFTStage(model=model, lora=lora, sft=warmup, seed=seed)
    trained = fine_tune(stage, loaded, parts, out, progress)
    load.load_adapter_weights(loaded.model, out / load.ADAPTER, lora)
    engine = TransformersEngine(loaded.model, loaded.tokenizer)
    prompts = form.prompts(engine.tokenizer, draws.max_tokens, model.max_seq_length)
    after = _seen(form, engine.sample(prompts, draws))
    if not after.figures["readable_share"]:
        raise StageError(_in_vain(after, warmup))
    why = "always asked for" if warmup.when == "always" else f"{share:.0%} of the answers could be read"
    why += f" (most often: {before.why_not})" if before.why_not else ""
    later = {f"val_{name}": value for name, value in after.figures.items()}
    return {"trained": True, "why": why, **numbers, **later, **trained}


def _before(out: Path) -> Seen | None:
    """What the base model's answers were like when a training began that goes on now."""
    try:
        return Seen(**read_table(out / CHECKPOINTS / BEFORE, StageError, ""))
    except (OSError, TypeError, StageError):
        return None


def _seen(form: Form[A], texts: Answers) -> Seen:
    answers, unread = form.read(texts), Unread(form.reasons)
    for of_one, read in zip(texts, answers, strict=True):
        unread.note(of_one, read)
    most = unread.reasons.most_common(1)
    why_not = form.reasons[most[0][0]] if most else ""
    return Seen(form.figures(answers), unread.answers, why_not, unread.last)


def _require_room(loaded: load.Loaded, form: Form[Any]) -> None:
    name, room = form.room
    lengths = [len(loaded.chat.taught(row["completion"])) for row in form.examples]
    if fmean(length > room for length in lengths) > 1 - ENOUGH:
        raise PromptError(
            f"{name} is {room}, and the answers that the warm-up teaches have up to {max(lengths)} tokens: they would "
            f"be cut off in every GRPO; raise it and the other limits of answers to {max(lengths)} or more"
        )


def _in_vain(after: Seen, warmup: WarmupConfig) -> str:
    return (
        f"none of the base model's answers could be read after the warm-up (most often: {after.why_not}). The last "
        f"one: {shown(after.last)!r}. Remedy: teach it longer (warmup.epochs is {warmup.epochs:g}, warmup.examples "
        f"{warmup.examples}) or faster (warmup.learning_rate is {warmup.learning_rate:g}), with more to learn by "
        "(lora.rank); or choose a larger or an instruction-tuned model"
    )
