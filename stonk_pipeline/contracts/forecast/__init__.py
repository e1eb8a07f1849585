"""Defines the forecast contract, which asks a model for the closes of the next days."""

from pathlib import Path

from stonk_pipeline.contract import Contract, Later, Option
from stonk_pipeline.contracts.forecast.commands import COMMANDS
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import POOLED, STEPS, steps_of

FORECAST = Contract(
    name="forecast",
    about="the closes of the next days",
    settings=PipelineConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=steps_of,
    pooled=POOLED,
    options=(
        Option(
            "--lora-rank",
            ("lora.rank",),
            {"type": int, "metavar": "N", "help": "rank of the adapters that are trained"},
        ),
    ),
    lora=lambda config: config.lora,
    plan=Later(f"{__name__}.plan:plan"),
    answers=Later(f"{__name__}.plan:answers"),
    training=Later(f"{__name__}.contest:training"),
    distinguishing=(
        "data",
        "prompt",
        "model",
        "lora",
        "warmup",
        "grpo_first",
        "sampling",
        "sft",
        "grpo_second",
        "seed",
    ),
    suffix="",
    losses=Later(f"{__name__}.contest:losses"),
    kept=Later(f"{__name__}.scores.calibrate:kept"),
    page=Later(f"{__name__}.page.page:render"),
    show=Later(f"{__name__}.scores.summary:show"),
    picture=("skill.png", "How much smaller the error of each forecaster is than that of repeating the last price."),
    build_tiny=Later(f"{__name__}.tiny:rebuild"),
    card=Later(f"{__name__}.card:card"),
    commands=COMMANDS,
)
