"""What a run would do, before it does it: settings, data, prompt lengths, and an estimate. No model is loaded."""

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from stonk_pipeline import dataset
from stonk_pipeline.base_model import settled
from stonk_pipeline.config import AnyConfig, DirectionConfig, PipelineConfig, of_forecasts
from stonk_pipeline.pipeline import Run

CPU_FLOPS, GPU_FLOPS = 1e11, 1e14
"""Useful arithmetic a second that the estimate assumes: two cores of a server CPU, one recent GPU."""
START_SECONDS = {"preprocess": 5, "grpo-first": 15, "sample": 30, "sft": 15, "grpo-second": 15, "compare": 15}
"""Imports and engine starts."""


@dataclass(frozen=True)
class Sizes:
    """What the estimate follows from."""

    parameters: int
    prompt_tokens: int
    """Of the longest prompt."""
    on_gpu: bool


def describe(config: AnyConfig, console: Console) -> None:
    """Prints what a run with these settings would do.

    Raises:
        PipelineError: whatever a run would refuse before it loads a model: data, settings, prompts too long.
    """
    config = settled(config)
    console.print_json(config.model_dump_json())
    if isinstance(config, DirectionConfig):
        _describe_calls(config, console)
        return
    with TemporaryDirectory() as scratch:
        whole = Run(Path(scratch), config)
        for run in whole.folds or [whole]:
            numbers = run.execute("preprocess", lambda *_: None).numbers
            console.print(_data_table(numbers, run.title("preprocess")))
        windows, targets = dataset.read_split(run.stage_dir("preprocess"), "train")
        sizes = measure(config, windows, len(targets[0].values))
        config = of_forecasts(run.config, "--dry-run")
    console.print(
        f"\nlongest prompt: {sizes.prompt_tokens} tokens (limit {config.model.max_seq_length} with the answer)"
    )
    console.print(f"model: {config.model.name}, {sizes.parameters / 1e6:,.1f} million parameters")
    console.print(_work_table(config, sizes, numbers["windows"]))
    if whole.folds:
        console.print(f"This is the last of {len(whole.folds)} folds; each takes about as long.")
    memory = memory_gb(config, sizes)
    console.print(f"estimate: about {memory:.1f} GB of {'GPU' if sizes.on_gpu else 'main'} memory at the peak")
    console.print("Estimates are rough: within a factor of three.", style="dim")


def _describe_calls(config: DirectionConfig, console: Console) -> None:
    from stonk_pipeline import direction
    from stonk_pipeline.examples import read_decisions
    from stonk_pipeline.sampling.prompts import check_lengths, render
    from stonk_pipeline.training.locations import outline_location
    from stonk_pipeline.training.models import load_tokenizer

    parameters = tried(config)
    with TemporaryDirectory() as scratch:
        run = Run(Path(scratch), config)
        for step in (name for name in run.graph if name in ("preprocess", "examples")):
            console.print(_data_table(run.execute(step, lambda *_: None).numbers, run.title(step)))
        decisions = read_decisions(run.stage_dir("examples"), "natural")
    asked = [direction.messages(decision, config.prompt, config.examples.days_ahead) for decision in decisions[:500]]
    tokenizer = load_tokenizer(str(outline_location(config.model)))
    stages = (config.stage_one, config.stage_two)
    room = max(config.comparison.max_tokens, *(stage.max_completion_length for stage in stages))
    limit = config.model.max_seq_length
    prompts = render(tokenizer, asked, room=room, limit=limit, shorter=direction.SHORTER)
    longest = check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=direction.SHORTER)
    console.print(f"\nlongest prompt: {longest} tokens (limit {limit} with the answer)")
    console.print(f"model: {config.model.name}, {parameters / 1e6:,.1f} million parameters")


def measure(config: PipelineConfig, windows: list[Any], horizon: int) -> Sizes:
    """Counts parameters and prompt tokens from configuration and tokenizer alone.

    Raises:
        PromptError: a prompt does not fit.
    """
    import torch

    from stonk_pipeline.forecast import SHORTER
    from stonk_pipeline.forecast_prompts import questions
    from stonk_pipeline.sampling.prompts import check_lengths
    from stonk_pipeline.training.locations import outline_location
    from stonk_pipeline.training.models import load_tokenizer

    parameters = tried(config)
    tokenizer = load_tokenizer(str(outline_location(config.model)))
    some = windows[:: max(1, len(windows) // 500)]
    rooms = [grpo.max_completion_length for grpo in (config.grpo_first, config.grpo_second)]
    rooms += [asking.max_tokens for asking in (config.sampling, config.comparison)]
    least, room, limit = min(rooms), max(rooms), config.model.max_seq_length
    prompts = questions(tokenizer, some, config.prompt, horizon, room=least, limit=limit)
    longest = check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=SHORTER)
    return Sizes(parameters, longest, torch.cuda.is_available())


def tried(config: AnyConfig) -> int:
    """Puts adapters on the model without its weights, and asks whether the engine that is asked for knows it.

    Returns:
        Parameters of the model.

    Raises:
        ConfigError: it cannot be trained; see `trial.try_adapters`.
        EngineError: vLLM is asked for, and cannot run it.
    """
    from stonk_pipeline.sampling.known import require_known
    from stonk_pipeline.training.locations import outline_location
    from stonk_pipeline.training.trial import try_adapters

    directory = outline_location(config.model)
    lora = config.stage_one.lora if isinstance(config, DirectionConfig) else config.lora
    if "vllm" in (part.engine for part in (getattr(config, "sampling", None), config.comparison) if part is not None):
        require_known(directory, config.model.name)
    return try_adapters(directory, lora, config.model.name)


def work(config: PipelineConfig, sizes: Sizes, windows: dict[str, int]) -> dict[str, tuple[str, float]]:
    """Step -> (what it does, seconds), from 2 operations a parameter and token forward, 4 backward."""
    speed = GPU_FLOPS if sizes.on_gpu else CPU_FLOPS
    one = sizes.parameters / speed

    def grpo(which: str) -> tuple[str, float]:
        part = getattr(config, which)
        answers = part.steps * part.prompts_per_step * part.group_size
        tokens = answers * (sizes.prompt_tokens + part.max_completion_length)
        return f"{part.steps} steps of {part.prompts_per_step} windows x {part.group_size} answers", 10 * tokens * one

    sampled = min(config.sampling.windows, windows["train"])
    answers = sampled * config.sampling.samples
    kept = min(config.sampling.max_examples, sampled * config.sampling.keep_per_window)
    compared = 4 * min(config.comparison.windows, windows["test"]) * config.comparison.samples
    steps = math.ceil(config.sft.epochs * kept / config.sft.batch_size)
    length = sizes.prompt_tokens + config.sampling.max_tokens
    return {
        "preprocess": ("indicators and windows", 0.0),
        "grpo-first": grpo("grpo_first"),
        "sample": (f"{answers} answers", 6 * answers * length * one),
        "sft": (f"at most {steps} steps of {config.sft.batch_size}", 6 * config.sft.epochs * kept * length * one),
        "grpo-second": grpo("grpo_second"),
        "compare": (f"{compared} answers of four models", 6 * compared * length * one),
    }


def memory_gb(config: PipelineConfig, sizes: Sizes) -> float:
    """Weights, adapter with its optimizer state, and the logits of a micro-batch, in GB; libraries on top on a CPU."""
    weight_bytes = 0.7 if config.model.load_in_4bit else 2 if sizes.on_gpu else 4
    tokens = config.grpo_first.micro_batch * config.grpo_first.max_completion_length  # prompts need no logits
    logits = (4 + 4 + 2) * tokens * 150_000 / 1e9 if sizes.on_gpu else 0.1  # float32, their gradient, and bfloat16
    return (
        (sizes.parameters * weight_bytes * (2 if sizes.on_gpu else 1)) / 1e9 + logits + (1.5 if not sizes.on_gpu else 2)
    )


def _data_table(numbers: dict[str, Any], title: str) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    table.add_column()
    table.add_column()
    for name, value in numbers.items():
        table.add_row(name, str(value))
    return table


def _work_table(config: PipelineConfig, sizes: Sizes, windows: dict[str, int]) -> Table:
    table = Table(box=None, title="work", title_justify="left")
    for heading in ("stage", "what", "about"):
        table.add_column(heading)
    total = 0.0
    for step, (what, seconds) in work(config, sizes, windows).items():
        total += seconds + START_SECONDS[step]
        table.add_row(step, what, _duration(seconds + START_SECONDS[step]))
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
