"""Looks at a model and at this machine: sizes, memory, and the speed of a measured second."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.contract import Plan
from stonk_pipeline.estimates import fit, memory, times
from stonk_pipeline.estimates.memory import SINGLE, Place
from stonk_pipeline.estimates.shape import Shape, weights_of, without_numbers
from stonk_pipeline.estimates.speed import LAYERS, Probe
from stonk_pipeline.models.activations import usual_activations
from stonk_pipeline.models.locations import base_directory, outline_location
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.machine import Memory, memory_of
from stonk_pipeline.training.effort import Work

UNTOLD = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, LookupError, ImportError)
"""What the code of a rare architecture may raise where a few of its layers are built alone: it is then not measured."""
SMALL_SHARE = 0.01
"""A model whose weights are less than this share of the memory fits in any case."""


class Survey(NamedTuple):
    """What is known of a model on this machine."""

    shape: Shape
    place: Place
    memory: Memory | None
    activations: float
    """Bytes that a layer keeps of a token in training."""
    probe: Probe | None
    """A few of its layers, to be timed; None where they do not fit or cannot be built alone."""

    def needs(self, work: Work, config: RunConfig) -> dict[str, float]:
        """Estimates the memory of a step: what for -> bytes."""
        return memory.need(work, self.shape, config.model, self.place, self.activations)

    def seconds(self, work: Mapping[str, Work], config: RunConfig) -> dict[str, float]:
        """Estimates the seconds of each step without its start; empty where nothing could be measured."""
        if self.probe is None:
            return {}
        try:
            return times.seconds(work, self.shape, self.place, self.probe, config.model)
        except UNTOLD as error:
            logging.getLogger(__name__).info("not measured: %s", error)
            return {}

    def warnings(self, work: Mapping[str, Work], config: RunConfig) -> list[str]:
        """Says which steps will probably not fit, and what would."""
        return fit.warnings(work, lambda does: sum(self.needs(does, config).values()), self.memory)


def survey(config: RunConfig, lora: LoraConfig, length: float) -> Survey:
    """Looks at a run's model and at this machine.

    Args:
        config: settings of the run.
        lora: its first adapter.
        length: tokens of a text that is trained on.
    """
    found = memory_of(config.cuda_devices)
    directory = outline_location(config.model)
    shape, place = without_numbers(directory), fit.place_of(config, found)
    probe = _probe(directory, lora, config.model, shape, found)
    kept = usual_activations(shape.width, shape.inner)
    if probe is not None:
        try:
            kept = probe.activations(max(16, round(min(length, 1024))))
        except UNTOLD as error:
            logging.getLogger(__name__).info("not counted: %s", error)
    return Survey(shape, place, found, kept, probe)


def _probe(directory: Path, lora: LoraConfig, model: ModelConfig, shape: Shape, found: Memory | None) -> Probe | None:
    layer = shape.weights.parameters / shape.layers
    size = (2 * shape.vocabulary * shape.width + LAYERS * layer) * SINGLE
    if found is not None and size > found.free / 2:
        return None
    try:
        return Probe(directory, lora, model)
    except UNTOLD as error:
        logging.getLogger(__name__).info("no layers of %s can be built alone: %s", model.name, error)
        return None


def warnings_of(run: Run) -> list[str]:
    """Says before anything is trained which steps of a run will probably not fit; its data are made.

    Nothing is looked at, and torch is not imported, for a model that fits in any case or whose weights are not here.
    """
    config = run.config
    found, directory = memory_of(config.cuda_devices), base_directory(config.model)
    weights = weights_of(directory)
    if found is None or weights is None or weights.parameters * SINGLE < SMALL_SHARE * found.total:
        return []
    from transformers.utils import logging as progress

    from stonk_pipeline.models.load import load_tokenizer

    progress.disable_progress_bar()  # of weights that are not loaded
    plan = run.contract.plan(run, load_tokenizer(str(directory)))
    return survey(config, run.contract.lora(config), text_length(plan)).warnings(plan.work, config)


def text_length(plan: Plan) -> float:
    """Tokens of a text that is trained on: the longest prompt, with the longest answer of a training."""
    limits = [does.teaching.limit or 0 for does in plan.work.values() if does.teaching is not None]
    return plan.lengths.longest + max(limits, default=0)
