"""Adds up the memory of each step by its parts: weights, adapter and optimizer, activations, logits, caches, libraries.

What is held all the time is added; of what comes and goes (answers are drawn, then trained on, then checkpoints are
validated) the largest counts.
"""

import math
from typing import NamedTuple

from stonk_pipeline.config.training import ModelConfig, PolicyConfig
from stonk_pipeline.estimates.shape import Shape, Weights
from stonk_pipeline.models.activations import recomputes
from stonk_pipeline.training.effort import TRAINER, Drawing, Teaching, Work
from stonk_pipeline.training.packing import Cost, answers_in_a_row

GB = 1e9
SINGLE, HALF, PACKED = 4, 2, 0.6
"""Bytes of a number: float32 on a CPU; 16 bits on a card; packed to 4 bits, with the scales and what stays at 16."""
OF_ADAPTER = 16
"""Bytes of each number of an adapter in training, float32: itself, its gradient, two averages of AdamW."""
OF_REFERENCE = 4
"""Bytes more where the adapter that a training began with is kept beside it."""
LOGIT_COPIES = 4
"""Of the logits of a micro-batch in a GRPO step, float32: themselves, and their gradient on its way back."""
CHUNK = 256
"""Tokens whose logits fine-tuning has at once (TRL's chunked loss)."""
DRAWN_COPIES = 6
"""Of the logits of the next token while it is drawn: scores, probabilities, their sum."""
PASS = 3
"""Widest parts of a layer that exist at once while prompts are read, or gradients go back."""
FREED = 1.7
"""Times the weights of the layers: what the C library (glibc) keeps of what a backward pass on a CPU frees."""
GIVEN_BACK = 1 << 25
"""Pieces of memory of more bytes than this glibc gives back at once."""
CPU_CACHE = 1 << 30
"""Keys and values of vLLM on a CPU, as `sampling.engines` sets it."""
LIBRARIES = {"training": 0.84e9, "asking": 0.7e9, "vllm": 0.92e9, "card": 0.6e9}
"""Main memory of torch, transformers and TRL; of torch and transformers; of vLLM; memory of a card that CUDA takes."""


class Place(NamedTuple):
    """Where a run computes."""

    on_gpu: bool
    vllm: bool
    """Whether vLLM is installed."""
    card: int | None = None
    """Bytes of its memory, of which vLLM takes a share; None if unknown."""
    shares: bool = True
    """Whether the answers of a group share their prompt in GRPO; Unsloth's do not."""

    def engine(self, drawing: Drawing) -> str:
        """Names who draws: `vllm`, `transformers` or `trainer`."""
        if drawing.engine == TRAINER:
            return "vllm" if self.on_gpu and self.vllm else TRAINER
        if drawing.engine != "auto":
            return drawing.engine
        return "vllm" if self.vllm and (self.on_gpu or drawing.prefers_vllm) else "transformers"


def held(
    weights: Weights, model: ModelConfig, place: Place, *, rank: int | None, referred: bool = False
) -> dict[str, float]:
    """What a step holds from its beginning to its end, libraries left out: the least that it needs.

    Args:
        weights: of the base model.
        model: settings of the model.
        place: where it runs.
        rank: of the adapter that it trains; None where it only asks.
        referred: whether the adapter that it began with is kept beside it.

    Returns:
        What for -> bytes.
    """
    each = HALF if place.on_gpu else SINGLE
    if rank is None:
        return {"weights": weights.parameters * each}
    of_adapter = OF_ADAPTER + (OF_REFERENCE if referred else 0)
    return {
        "weights": weights.parameters * (PACKED if model.load_in_4bit else each),
        "adapter and optimizer": rank * weights.adapted * of_adapter,
    }


def least(weights: Weights, model: ModelConfig, place: Place, *, rank: int | None) -> float:
    """Bytes without which a step cannot begin: see `held`; on a card, room for vLLM to load the weights once more."""
    mine = sum(held(weights, model, place, rank=rank).values())
    if not (place.on_gpu and place.vllm):
        return mine
    share = weights.parameters * HALF
    return share / model.gpu_memory_utilization if rank is None else mine + share


def need(work: Work, shape: Shape, model: ModelConfig, place: Place, activations: float) -> dict[str, float]:
    """Estimates the memory of a step.

    Args:
        work: what the step does.
        shape: sizes of the model.
        model: settings of the model.
        place: where it runs.
        activations: bytes that one layer keeps of a token for the backward pass; see `speed.Probe`.

    Returns:
        What it is needed for -> bytes, at the time when it is most; empty where no model is loaded.
    """
    if not work.parts:
        return {}
    teaching = work.teaching
    rank = teaching.lora.rank if teaching else None
    parts = held(shape.weights, model, place, rank=rank, referred=teaching is not None and teaching.refers)
    engines = {place.engine(part) for part in work.parts if isinstance(part, Drawing)}
    parts["libraries"] = LIBRARIES[
        "card" if place.on_gpu else "training" if teaching else "vllm" if "vllm" in engines else "asking"
    ]
    if teaching is not None and not place.on_gpu and shape.width * shape.inner * SINGLE < GIVEN_BACK:
        parts["freed, not given back"] = shape.of_layers * SINGLE * FREED
    if "vllm" in engines and place.on_gpu:
        share = max(model.gpu_memory_utilization * (place.card or 0), shape.weights.parameters * HALF)
        if teaching is None:
            return {"vLLM's share": share, "libraries": parts["libraries"]}
        parts["vLLM's share"] = share
    elif "vllm" in engines:
        parts["vLLM's cache"] = CPU_CACHE
    phases = [_phase(part, shape, model, place, activations) for part in work.parts]
    largest = max(phases, key=lambda phase: sum(phase.values()), default={})
    return parts | {name: size for name, size in largest.items() if size}


class Pass(NamedTuple):
    """A forward and backward pass of a training."""

    rows: int
    length: float
    """Tokens of a row."""
    answers: float
    """Tokens of the answers in it."""


def one_pass(part: Teaching, shape: Shape, place: Place, prompt: float) -> Pass:
    """Describes a pass of a training, with prompts of so many tokens."""
    policy, most = part.settings, 1
    if isinstance(policy, PolicyConfig) and place.shares and prompt + part.answer <= shape.reach:
        group = min(policy.group_size, part.micro_batch)
        cost = Cost(shape.of_layers, 2 * shape.layers * shape.width)
        most = answers_in_a_row(cost, round(prompt), round(part.answer), group)
    return Pass(math.ceil(part.micro_batch / most), prompt + most * part.answer, most * part.answer)


def _phase(
    part: Drawing | Teaching, shape: Shape, model: ModelConfig, place: Place, activations: float
) -> dict[str, float]:
    """What comes and goes with a part of a step."""
    itemsize = HALF if place.on_gpu else SINGLE
    if isinstance(part, Teaching):
        rows, length, _ = one_pass(part, shape, place, part.lengths.longest)
        tokens = rows * length
        wide = PASS * tokens * shape.inner * itemsize
        kept = tokens * activations * shape.layers
        if recomputes(
            part.micro_batch * model.max_seq_length, shape.layers, shape.width, shape.inner, on_gpu=place.on_gpu
        ):
            kept = tokens * (shape.width * itemsize * shape.layers + activations)
        of_answers = part.micro_batch * (part.answer + 1) if isinstance(part.settings, PolicyConfig) else CHUNK
        return {"activations": kept + wide, "logits": of_answers * shape.vocabulary * SINGLE * LOGIT_COPIES}
    engine = place.engine(part)
    if engine == "vllm":
        return {}
    rows = batch_rows(part, shape, place)
    length = part.lengths.longest + part.limit
    read = (rows if engine == TRAINER and not place.shares else rows / part.samples) * part.lengths.longest
    return {
        "keys and values": rows * length * shape.kept * itemsize * (1 + 1 / max(shape.layers, 1)),
        "activations": PASS * read * shape.inner * itemsize,
        "logits": rows * shape.vocabulary * SINGLE * DRAWN_COPIES,
    }


def batch_rows(drawing: Drawing, shape: Shape, place: Place) -> int:
    """Counts the answers that are drawn side by side."""
    from stonk_pipeline.sampling.engines import TOKENS_AT_ONCE, batch_tokens

    engine = place.engine(drawing)
    if engine == TRAINER:
        return drawing.answers
    if engine == "vllm":
        return min(drawing.answers, 256)
    tokens = TOKENS_AT_ONCE
    if place.on_gpu and place.card:
        tokens = batch_tokens(place.card, shape.kept * HALF)
    prompts = max(1, tokens // (drawing.samples * (drawing.lengths.longest + drawing.limit)))
    return min(prompts, drawing.prompts) * drawing.samples
