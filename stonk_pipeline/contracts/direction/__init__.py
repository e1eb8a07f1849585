"""Defines the direction contract, which asks whether a close will be up or down, how far, how sure, and why."""

from pathlib import Path

from stonk_pipeline.contract import Contract, Later
from stonk_pipeline.contracts.direction.commands import COMMANDS, OPTIONS
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.direction.steps import STEPS, steps_of

DIRECTION = Contract(
    name="direction",
    about="up or down, how far, how sure, and why",
    settings=DirectionConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=steps_of,
    options=OPTIONS,
    lora=lambda config: config.stage_one.lora,
    plan=Later(f"{__name__}.plan:plan"),
    answers=Later(f"{__name__}.plan:answers"),
    training=Later(f"{__name__}.contest:training"),
    distinguishing=(
        "data",
        "prompt",
        "model",
        "examples",
        "clock",
        "shape",
        "warmup",
        "stage_one",
        "stage_two",
        "seed",
    ),
    suffix="-direction",
    losses=Later(f"{__name__}.contest:losses"),
    page=Later(f"{__name__}.page.page:render"),
    show=Later(f"{__name__}.scores.summary:show"),
    picture=("pictures/reliability.png", "How often calls of about the same stated confidence were right."),
    build_tiny=Later(f"{__name__}.tiny:rebuild_calls"),
    card=Later(f"{__name__}.card:card"),
    commands=COMMANDS,
)
