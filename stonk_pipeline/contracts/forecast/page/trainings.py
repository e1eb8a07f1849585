"""Draws the trainings of a forecast run: both GRPO runs, the fine-tuning between them, and the selection for it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from stonk_pipeline.contracts.forecast.page.looks import colour, label, role
from stonk_pipeline.report.charts import legend, percents, whole_ticks
from stonk_pipeline.report.style import LIGHT, Picture, percent
from stonk_pipeline.report.training import (
    SMALL,
    Curve,
    Panel,
    kept,
    ring,
    spreads,
    training_pictures,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 14
"""Most bars in a picture."""
REWARDS = (
    Curve("reward_skill", "skill", "part_1"),
    Curve("reward_direction", "direction", "part_2", (0, (5, 1.5))),
    Curve("reward_trading", "trading", "part_3", (0, (1, 1.2))),
    Curve("reward_form", "form", "part_4", (0, (5, 1.5, 1, 1.5))),
)
SHAPES = (
    Curve("readable_share", "readable", "part_1"),
    Curve("up_share", "say up", "part_2", (0, (5, 1.5))),
    Curve("straight_share", "straight lines", "part_3", (0, (1, 1.2))),
    Curve("zero_spread_share", "groups all alike", "part_4", (0, (5, 1.5, 1, 1.5))),
)
PANELS = (
    Panel("parts", "Its components", REWARDS),
    Panel("spread", "Spread within groups", spreads(REWARDS)),
    Panel("shape", "What the answers look like", SHAPES, share=True),
)


def grpo_pictures(key: str, name: str, log: pd.DataFrame | None, validation: pd.DataFrame | None) -> list[Picture]:
    """Draws the panels of one GRPO run; those whose columns are there.

    Args:
        key: of the run, unique on the page.
        name: of the model that came out.
        log: `training_log.csv`.
        validation: `validation.csv`.
    """
    first = []
    if validation is not None and {"step", "skill_median", "skill_single"} <= set(validation):
        first = [validation_picture(key, name, validation)]
    return first + training_pictures(f"{key}-", label(name), role(name), log, PANELS)


def validation_picture(key: str, name: str, validation: pd.DataFrame) -> Picture:
    """Draws skill on validation windows along the training, of the median and of one answer."""
    at = kept(validation)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        for column, words, dash in (("skill_median", "median", "-"), ("skill_single", "one answer", (0, (3, 1.5)))):
            axes.plot(
                validation["step"], validation[column], color=colour(name), linestyle=dash, label=words, marker="o",
                ms=4, mec="none",
            )  # fmt: skip
        if len(at):
            ring(axes, at, "skill_median", "kept")
        axes.set_xlabel("step")
        whole_ticks(axes.xaxis)
        percents(axes.yaxis, sign=True)
        legend(figure, 3)

    told = ", ".join(
        f"step {step:.0f} {percent(skill, sign=True)}"
        for step, skill in zip(validation["step"], validation["skill_median"], strict=True)
    )
    steps = "".join(f"; kept: step {step:.0f}" for step in at["step"])
    alt = f"Validation skill of {label(name)}: {told}{steps}."
    return Picture(f"{key}-validation", "Skill on validation windows", alt, draw, *SMALL)


def bars_picture(key: str, title: str, counts: Mapping[str, float]) -> Picture:
    """Draws counts as horizontal bars with their numbers, in the order given; of many, the largest."""
    ordered = list(counts.items())
    if len(ordered) > BARS:
        ordered.sort(key=lambda item: -item[1])
    shown = ordered[:BARS]
    told = ", ".join(f"{name} {count:,.0f}" for name, count in shown)
    more = f", and {len(ordered) - len(shown)} more" if len(ordered) > len(shown) else ""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.grid(visible=False)
        places = range(len(shown))
        axes.barh(places, [count for _, count in shown], color=LIGHT["middle"], height=0.62)
        for place, (_, count) in zip(places, shown, strict=True):
            axes.annotate(
                f"{count:,.0f}", (count, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=11
            )
        axes.set_yticks(places, [name for name, _ in shown])
        axes.tick_params(axis="y", labelcolor=LIGHT["ink"])
        axes.set_ylim(max(len(shown), 3) - 0.5, -0.5)
        axes.set_xticks([])
        axes.margins(x=0.18)
        axes.spines["bottom"].set_visible(False)

    return Picture(key, title, f"{title}: {told}{more}.", draw, SMALL[0], 46 + 21 * max(len(shown), 3))
