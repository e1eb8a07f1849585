"""Asks a base model in a process of its own, whose memory is free again when it has answered.

A training begins afterwards as if no model had been asked: Unsloth wants to be imported before transformers.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import CapacityError
from stonk_pipeline.runs import capacity, child, interrupt
from stonk_pipeline.sampling.ask import Prompts
from stonk_pipeline.sampling.engines import Answers, Draws


def draw_apart(model: ModelConfig, prompts: Prompts, draws: Draws, smaller: str) -> Answers:
    """Samples a base model's answers to prompts with transformers, in a process that ends with this one.

    Args:
        model: the base model.
        prompts: makes the prompts for the model's tokenizer; a function that can be pickled.
        draws: how the answers are drawn.
        smaller: what makes it need less memory, for the message.

    Raises:
        CapacityError: the process was killed.
        PipelineError: the model cannot be loaded, or a prompt does not fit.
    """
    pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (os.getpid(),))
    with pool:
        try:
            return pool.submit(_draw, model, prompts, draws).result()
        except BrokenProcessPool as error:
            said = "the process that asked the base model was killed"
            raise CapacityError(f"{said}; {capacity.killed_hint(smaller)}") from error


def _begin(parent: int) -> None:
    child.die_with(parent)
    child.hand_on_warnings()
    interrupt.end_at_once()


def _draw(model: ModelConfig, prompts: Prompts, draws: Draws) -> Answers:
    from stonk_pipeline.models.load import load_merged
    from stonk_pipeline.sampling.engines import TransformersEngine

    engine = TransformersEngine(*load_merged(model, None))
    return engine.sample(prompts(engine.tokenizer, draws.max_tokens, model.max_seq_length), draws)
