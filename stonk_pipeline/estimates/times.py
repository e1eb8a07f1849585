"""Estimates the seconds of each step: its answers and texts, at the speed that was measured or tried here."""

import math
from collections.abc import Mapping
from typing import Protocol

from stonk_pipeline.config.training import ModelConfig, SFTConfig
from stonk_pipeline.estimates.memory import Place, batch_rows, one_pass
from stonk_pipeline.estimates.shape import Shape
from stonk_pipeline.models.activations import recomputes
from stonk_pipeline.training.effort import TRAINER, Drawing, Teaching, Work

CHUNKED = 1.25
"""Times a pass of fine-tuning takes as one of GRPO: it computes the logits of each piece twice."""


class Speed(Protocol):
    """What `speed.Probe` measures."""

    def learn(self, rows: int, length: float, answer: float, *, recomputes: bool = False) -> float:
        """Seconds of a forward and backward pass."""
        ...

    def read(self, rows: int, length: float, answer: float = 1) -> float:
        """Seconds of a forward pass."""
        ...

    def write(self, rows: int, length: float) -> float:
        """Seconds of one token of each answer."""
        ...


def seconds(work: Mapping[str, Work], shape: Shape, place: Place, speed: Speed, model: ModelConfig) -> dict[str, float]:
    """Estimates the seconds of each step, starts left out.

    Equal parts of several steps are measured once.
    """
    known: dict[tuple[object, ...], float] = {}

    def of(part: Drawing | Teaching) -> float:
        if isinstance(part, Teaching):
            key: tuple[object, ...] = (type(part.settings), part.micro_batch, part.answer, part.lengths)
            if key not in known:
                known[key] = _taught(part, shape, place, speed, model)
            read = 0.0
            if part.unlearned:
                read = part.unlearned * _read(part, shape, place, speed)
            return part.texts / part.micro_batch * known[key] + read
        engine = place.engine(part)
        key = (engine, batch_rows(part, shape, place), part.samples, part.limit, part.lengths)
        if key not in known:
            known[key] = _answer(part, shape, place, speed)
        return part.times * part.answers * known[key]

    return {step: sum(map(of, does.parts)) for step, does in work.items()}


def _taught(part: Teaching, shape: Shape, place: Place, speed: Speed, model: ModelConfig) -> float:
    """Seconds of one pass of a training."""
    tokens = part.micro_batch * model.max_seq_length
    again = recomputes(tokens, shape.layers, shape.width, shape.inner, on_gpu=place.on_gpu)
    one = speed.learn(*one_pass(part, shape, place, part.lengths.usual), recomputes=again)
    return one * (CHUNKED if isinstance(part.settings, SFTConfig) else 1)


def _read(part: Teaching, shape: Shape, place: Place, speed: Speed) -> float:
    """Seconds of one text without a backward pass."""
    return speed.read(*one_pass(part, shape, place, part.lengths.usual)) / part.micro_batch


def _answer(part: Drawing, shape: Shape, place: Place, speed: Speed) -> float:
    """Seconds of one answer, of many that are drawn side by side."""
    engine, rows, lengths = place.engine(part), batch_rows(part, shape, place), part.lengths
    prompts = rows if engine == TRAINER and not place.shares else rows / part.samples
    # A batch is done with its longest answer; vLLM begins the next one where one has ended.
    tokens = min(lengths.answer, part.limit) if engine == "vllm" and lengths.answer else part.limit
    read = speed.read(max(1, math.ceil(prompts)), lengths.usual)
    return (read + tokens * speed.write(rows, lengths.usual + tokens / 2)) / rows
