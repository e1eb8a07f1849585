"""Prints what a run would do (settings, data, prompt lengths, time and memory) without loading a model."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Plan
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.pipeline.base_model import settled
from stonk_pipeline.pipeline.run import Run

CPU_FLOPS, GPU_FLOPS = 1e11, 1e14
"""Useful arithmetic a second that the estimate assumes: two cores of a server CPU, one recent GPU."""


def describe(config: RunConfig, console: Console) -> None:
    """Prints what a run with these settings would do.

    Raises:
        PipelineError: whatever a run would refuse before it loads a model: data, settings, prompts too long.
    """
    import torch

    from stonk_pipeline.models.load import load_tokenizer
    from stonk_pipeline.models.locations import outline_location

    config = settled(config)
    console.print_json(config.model_dump_json())
    with TemporaryDirectory() as scratch:
        whole = run_at(Path(scratch), config)
        parameters = tried(whole)
        for run in whole.folds or [whole]:
            for step in (name for name, spec in run.graph.items() if not spec.loads_model):
                console.print(_data_table(run.execute(step, lambda *_: None).numbers, run.title(step)))
        plan = run.contract.plan(run, load_tokenizer(str(outline_location(config.model))))
    console.print(
        f"\nlongest prompt: {plan.prompt_tokens} tokens (limit {config.model.max_seq_length} with the answer)"
    )
    console.print(f"model: {config.model.name}, {parameters / 1e6:,.1f} million parameters")
    if not plan.work:
        return
    on_gpu = torch.cuda.is_available()
    console.print(_work_table(run, plan, parameters / (GPU_FLOPS if on_gpu else CPU_FLOPS)))
    if whole.folds:
        console.print(f"This is the last of {len(whole.folds)} folds; each takes about as long.")
    memory = memory_gb(config, parameters, plan.at_once, on_gpu=on_gpu)
    console.print(f"estimate: about {memory:.1f} GB of {'GPU' if on_gpu else 'main'} memory at the peak")
    console.print("Estimates are rough: within a factor of three.", style="dim")


def tried(run: Run) -> int:
    """Puts adapters on the model without its weights, and asks whether the engine that is asked for knows it.

    Returns:
        Parameters of the model.

    Raises:
        ConfigError: it cannot be trained; see `trial.try_adapters`.
        EngineError: vLLM is asked for, and cannot run it.
    """
    from stonk_pipeline.models.locations import outline_location
    from stonk_pipeline.models.trial import try_adapters
    from stonk_pipeline.sampling.known import require_known

    config = run.config
    directory = outline_location(config.model)
    if "vllm" in (part.engine for part in (getattr(config, "sampling", None), config.comparison) if part is not None):
        require_known(directory, config.model.name)
    return try_adapters(directory, run.contract.lora(config), config.model.name)


def memory_gb(config: RunConfig, parameters: int, at_once: int, *, on_gpu: bool) -> float:
    """Estimates memory in GB: weights, adapter and optimizer state, logits of a micro-batch; on a CPU libraries too."""
    weight_bytes = 0.7 if config.model.load_in_4bit else 2 if on_gpu else 4
    logits = (4 + 4 + 2) * at_once * 150_000 / 1e9 if on_gpu else 0.1  # float32, their gradient, and bfloat16
    return parameters * weight_bytes * (2 if on_gpu else 1) / 1e9 + logits + (2 if on_gpu else 1.5)


def _data_table(numbers: dict[str, Any], title: str) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    table.add_column()
    table.add_column()
    for name, value in numbers.items():
        table.add_row(name, str(value))
    return table


def _work_table(run: Run, plan: Plan, one: float) -> Table:
    """What each step does and how long it takes.

    Args:
        run: the run.
        plan: its work.
        one: seconds that an operation on each parameter takes.
    """
    table = Table(box=None, title="work", title_justify="left")
    for heading in ("stage", "what", "about"):
        table.add_column(heading)
    total = 0.0
    for step, (what, operations) in plan.work.items():
        seconds = operations * one + run.graph[step].start_seconds
        total += seconds
        table.add_row(step, what, _duration(seconds))
    table.add_row("all", "", _duration(total))
    return table


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
