"""Defines the forecast contract, which asks a model for the closes of the next days."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonk_pipeline.contract import Contract, Option, Plan, Training
from stonk_pipeline.contracts.forecast.commands import COMMANDS
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import POOLED, STEPS

if TYPE_CHECKING:
    from rich.console import Console

    from stonk_pipeline.pipeline.run import Run
    from stonk_pipeline.registry.entries import Entry
    from stonk_pipeline.registry.losses import Rivals
    from stonk_pipeline.registry.store import Registry
    from stonk_pipeline.report.files import RunFiles
    from stonk_pipeline.runs.manifest import Progress


def _plan(run: "Run", tokenizer: Any) -> Plan:
    from stonk_pipeline.contracts.forecast.plan import plan

    return plan(run, tokenizer)


def _training(run: "Run") -> Training:
    from stonk_pipeline.contracts.forecast.contest import training

    return training(run)


def _losses(
    registry: "Registry", entry: "Entry", champion: "Entry | None", run: "Run", progress: "Progress"
) -> "Rivals":
    from stonk_pipeline.contracts.forecast.contest import losses

    return losses(registry, entry, champion, run, progress)


def _page(files: "RunFiles", remark: str) -> str:
    from stonk_pipeline.contracts.forecast.page.page import render

    return render(files, remark)


def _show(directory: Path, console: "Console") -> None:
    from stonk_pipeline.contracts.forecast.scores.summary import show

    show(directory, console)


def _build_tiny(out: Path, **settings: Any) -> float:
    from stonk_pipeline.contracts.forecast.tiny import rebuild

    return rebuild(out, **settings)


FORECAST = Contract(
    name="forecast",
    about="the closes of the next days",
    settings=PipelineConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=lambda config: STEPS,
    pooled=POOLED,
    options=(Option("--lora-rank", ("lora.rank",), {"type": int}),),
    lora=lambda config: config.lora,
    plan=_plan,
    training=_training,
    distinguishing=("data", "prompt", "model", "lora", "grpo_first", "sampling", "sft", "grpo_second", "seed"),
    suffix="",
    losses=_losses,
    page=_page,
    show=_show,
    build_tiny=_build_tiny,
    commands=COMMANDS,
)
