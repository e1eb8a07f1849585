"""Defines the direction contract, which asks whether a close will be up or down, how far, how sure, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonk_pipeline.contract import Contract, Plan, Training
from stonk_pipeline.contracts.direction.commands import COMMANDS, OPTIONS
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.direction.steps import STEPS, steps_of

if TYPE_CHECKING:
    from rich.console import Console

    from stonk_pipeline.pipeline.run import Run
    from stonk_pipeline.registry.entries import Entry
    from stonk_pipeline.registry.losses import Rivals
    from stonk_pipeline.registry.store import Registry
    from stonk_pipeline.report.files import RunFiles
    from stonk_pipeline.runs.manifest import Progress


def _plan(run: "Run", tokenizer: Any) -> Plan:
    from stonk_pipeline.contracts.direction.plan import plan

    return plan(run, tokenizer)


def _training(run: "Run") -> Training:
    from stonk_pipeline.contracts.direction.contest import training

    return training(run)


def _losses(
    registry: "Registry", entry: "Entry", champion: "Entry | None", run: "Run", progress: "Progress"
) -> "Rivals":
    from stonk_pipeline.contracts.direction.contest import losses

    return losses(registry, entry, champion, run, progress)


def _page(files: "RunFiles", remark: str) -> str:
    from stonk_pipeline.contracts.direction.page.page import render

    return render(files, remark)


def _show(directory: Path, console: "Console") -> None:
    from stonk_pipeline.contracts.direction.scores.summary import LOG

    console.print((directory / LOG).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)


def _build_tiny(out: Path, **settings: Any) -> float:
    from stonk_pipeline.contracts.direction.tiny import rebuild_calls

    return rebuild_calls(out, **settings)


DIRECTION = Contract(
    name="direction",
    about="up or down, how far, how sure, and why",
    settings=DirectionConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=steps_of,
    options=OPTIONS,
    lora=lambda config: config.stage_one.lora,
    plan=_plan,
    training=_training,
    distinguishing=("data", "prompt", "model", "examples", "clock", "shape", "stage_one", "stage_two", "seed"),
    suffix="-direction",
    losses=_losses,
    page=_page,
    show=_show,
    build_tiny=_build_tiny,
    commands=COMMANDS,
)
