"""Finds out what a run would do (data, prompt lengths, time and memory) without loading a model's weights."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Plan
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.pipeline import room
from stonk_pipeline.pipeline.base_model import remarks, settled
from stonk_pipeline.pipeline.run import Run

CPU_FLOPS, GPU_FLOPS = 1e11, 1e14
"""Useful arithmetic a second that the estimate assumes: two cores of a server CPU, one recent GPU."""


@dataclass(frozen=True)
class Outlook:
    """What a run would do, and what it would take."""

    run: Run
    """Its settings hold the commit of a model of the hub."""
    parameters: int
    """Of the model."""
    data: dict[str, dict[str, Any]]
    """Title of each step that makes data -> its numbers; of a walk-forward, those of each fold."""
    plan: Plan
    """Of a walk-forward, the last fold's."""
    seconds: dict[str, float]
    """Step -> seconds that it takes, within a factor of three; empty where nobody estimates it."""
    memory_gb: float
    """At the peak."""
    on_gpu: bool
    warnings: list[str]


def look(config: RunConfig) -> Outlook:
    """Makes the data of a run in a scratch folder, measures its prompts and answers, and estimates its work.

    Raises:
        PipelineError: whatever a run would refuse before it loads a model: data, settings, prompts too long.
    """
    import torch
    from transformers.utils import logging

    from stonk_pipeline.models.load import load_tokenizer
    from stonk_pipeline.models.locations import outline_location

    logging.disable_progress_bar()  # of weights that are not loaded
    config = settled(config)
    numbers: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as scratch:
        whole = run_at(Path(scratch), config)
        parameters = tried(whole)
        for run in whole.folds or [whole]:
            for step in (name for name, spec in run.graph.items() if not spec.loads_model):
                numbers[run.title(step)] = run.execute(step, lambda *_: None).numbers
        plan = run.contract.plan(run, load_tokenizer(str(outline_location(config.model))))
        warnings = room.warnings(run) + remarks(config)
    on_gpu = torch.cuda.is_available()
    one = parameters / (GPU_FLOPS if on_gpu else CPU_FLOPS)
    seconds = {step: work * one + run.graph[step].start_seconds for step, (_, work) in plan.work.items()}
    memory = memory_gb(config, parameters, plan.at_once, on_gpu=on_gpu)
    return Outlook(whole, parameters, numbers, plan, seconds, memory, on_gpu, warnings)


def tried(run: Run) -> int:
    """Puts adapters on the model without its weights.

    Returns:
        Parameters of the model.

    Raises:
        ConfigError: it cannot be trained; see `trial.try_adapters`.
    """
    from stonk_pipeline.models.locations import outline_location
    from stonk_pipeline.models.trial import try_adapters

    config = run.config
    directory = outline_location(config.model)
    return try_adapters(directory, run.contract.lora(config), config.model.name)


def memory_gb(config: RunConfig, parameters: int, at_once: int, *, on_gpu: bool) -> float:
    """Estimates memory in GB: weights, adapter and optimizer state, logits of a micro-batch; on a CPU libraries too."""
    weight_bytes = 0.7 if config.model.load_in_4bit else 2 if on_gpu else 4
    logits = (4 + 4 + 2) * at_once * 150_000 / 1e9 if on_gpu else 0.1  # float32, their gradient, and bfloat16
    return parameters * weight_bytes * (2 if on_gpu else 1) / 1e9 + logits + (2 if on_gpu else 1.5)
