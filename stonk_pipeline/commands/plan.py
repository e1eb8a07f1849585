"""Finds out what a run would do (data, tokens, memory and time of each step) without training anything."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Plan
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.estimates import fit
from stonk_pipeline.estimates.shape import Shape
from stonk_pipeline.estimates.survey import Survey, survey, text_length
from stonk_pipeline.files import locks
from stonk_pipeline.pipeline import room
from stonk_pipeline.pipeline.base_model import remarks, settled
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.machine import Memory


@dataclass(frozen=True)
class Outlook:
    """What a run would do, and what it would take."""

    run: Run
    """Its settings hold the commit of a model of the hub."""
    shape: Shape
    """Of the model."""
    data: dict[str, dict[str, Any]]
    """Title of each step that makes data -> its numbers; of a walk-forward, those of each fold."""
    plan: Plan
    """Of a walk-forward, the last fold's."""
    seconds: dict[str, float]
    """Step -> seconds that it takes; empty where nobody estimates it."""
    needs: dict[str, dict[str, float]]
    """Step -> what it needs memory for -> bytes, at the time when it needs most."""
    memory: Memory | None
    """Of this machine or its card; None where it cannot be known."""
    on_gpu: bool
    warnings: list[str]
    measured: bool = False
    """Whether whole steps were timed with the real model."""


def look(config: RunConfig, *, measure: bool = False, say: Callable[[str], None] = lambda text: None) -> Outlook:
    """Makes the data of a run in a scratch folder, measures its prompts and answers, and estimates its work.

    Args:
        config: settings of the run.
        measure: load the model, and time one step of each kind.
        say: receives what is tried meanwhile.

    Raises:
        PipelineError: whatever a run would refuse before it trains: data, settings, prompts too long, too little
            memory.
    """
    if config.cuda_devices is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = config.cuda_devices
    from transformers.utils import logging

    from stonk_pipeline.models.load import load_tokenizer
    from stonk_pipeline.models.locations import outline_location

    logging.disable_progress_bar()  # of weights that are not loaded
    config = settled(config)
    numbers: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as scratch:
        whole = run_at(Path(scratch), config)
        warnings = fit.require_room(config, whole.contract, tried(whole))
        for run in whole.folds or [whole]:
            for step in (name for name, spec in run.graph.items() if not spec.loads_model):
                numbers[run.title(step)] = run.execute(step, lambda *_: None).numbers
        plan = run.contract.plan(run, load_tokenizer(str(outline_location(config.model))))
        warnings += room.warnings(run) + remarks(config)
        found = survey(config, run.contract.lora(config), text_length(plan))
        warnings += found.warnings(plan.work, config)
        seconds, needs = estimated(run, plan, found)
        found = found._replace(probe=None)  # its memory is free for what is tried
        if measure:
            seconds, needs = measured(run, plan, found, needs, Path(scratch) / "trials", say)
    return Outlook(
        whole, found.shape, numbers, plan, seconds, needs, found.memory, found.place.on_gpu, warnings, measure
    )


def estimated(run: Run, plan: Plan, found: Survey) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Estimates seconds and memory of each step from a measured second."""
    works = found.seconds(plan.work, run.config)
    seconds = {step: time + run.graph[step].start_seconds for step, time in works.items()}
    return seconds, {step: found.needs(does, run.config) for step, does in plan.work.items()}


def measured(
    run: Run,
    plan: Plan,
    found: Survey,
    needs: dict[str, dict[str, float]],
    out: Path,
    say: Callable[[str], None],
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Measures seconds and memory of each step with the real model, alone on its accelerator."""
    from stonk_pipeline.estimates import trial
    from stonk_pipeline.models.locations import base_location

    base_location(run.config.model)  # fetched before anything is timed
    devices, wait = locks.accelerators(run.config.cuda_devices), 60 * run.config.wait_minutes
    with locks.accelerator(devices, "dry run", wait=wait, say=say):
        trials = trial.tried(
            plan, run.config, found.shape, found.place, out, lambda done, total, note: say(f"{done + 1}/{total} {note}")
        )
    seconds = {
        step: tried.start + tried.seconds if tried.memory else run.graph[step].start_seconds
        for step, tried in trials.items()
    }
    return seconds, {
        step: {"measured": tried.memory} if tried.memory else needs[step] for step, tried in trials.items()
    }


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
