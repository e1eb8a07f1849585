"""Draws called directions: is stated confidence true, what was called, when was it right, how was it learned."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from stonk_pipeline.contracts.direction.scores.calls import MAJORITY, YESTERDAY
from stonk_pipeline.contracts.direction.scores.results import CallComparison, ModelScores, title
from stonk_pipeline.report.charts import legend, line, months_axis, months_between, percents
from stonk_pipeline.report.style import LIGHT, MARKERS, Picture, percent
from stonk_pipeline.report.training import (
    SMALL,
    Curve,
    Panel,
    draw_curves,
    ends,
    kept,
    ring,
    spreads,
    training_pictures,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES = {"base": "base", "stage_one": "first", "stage_two": "last", MAJORITY: "baseline", YESTERDAY: "baseline"}
"""Caller -> its role in the palette; the last model looks the same in both recipes."""
COMPONENTS = (
    Curve("reward_direction", "direction", "part_1"),
    Curve("reward_magnitude", "magnitude", "part_2", (0, (5, 1.5))),
    Curve("reward_format", "format", "part_3", (0, (1, 1.2))),
    Curve("reward_confidence", "confidence", "part_4", (0, (5, 1.5, 1, 1.5))),
    Curve("reward_data_use", "data use", "accent", (0, (8, 2))),
)
RATIO = (
    Curve("up_share", "rises called", "part_2"),
    Curve("called_up", "the same, running", "part_3", (0, (1, 1.2))),
    Curve("market_up", "rises that came", "part_1", (0, (5, 1.5))),
)
SHAPES = (
    Curve("readable_share", "readable", "part_1"),
    Curve("zero_spread_share", "groups all alike", "part_4", (0, (5, 1.5, 1, 1.5))),
)
PANELS = (
    Panel("components", "Its components", COMPONENTS),
    Panel("spread", "Spread within groups", spreads(COMPONENTS)),
    Panel("ratio", "Rises, called and come", RATIO, share=True),
    Panel("shape", "What the answers look like", SHAPES, share=True),
)
VALIDATION = (Curve("reward", "reward", "part_1"), Curve("accuracy", "accuracy", "part_2", (0, (5, 1.5))))


def write_pictures(comparison: CallComparison, logs: Mapping[str, pd.DataFrame], directory: Path) -> list[Path]:
    """Writes every picture as a PNG file.

    `reliability.png`, `confusion.png`, `accuracy_by_month.png`, and for each training that there is a log of
    `{model}_{reward,components,spread,ratio,shape,entropy}.png`.

    Args:
        comparison: the numbers.
        logs: model -> `training_log.csv` of its training.
        directory: where to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = outcomes(comparison)
    for name, log in logs.items():
        pictures += learned(name, log, None)
    return [picture.save(directory) for picture in pictures]


def outcomes(comparison: CallComparison) -> list[Picture]:
    """Draws what the comparison shows: reliability, confusion, and accuracy through time."""
    return [reliability(comparison), confusion(comparison.final), by_month(comparison)]


def reliability(comparison: CallComparison) -> Picture:
    """Draws how often calls of about the same confidence are right, one line a model; the diagonal is the truth."""
    final = comparison.final
    told = ", ".join(
        f"{percent(b.confidence, 0)} sure {percent(b.accuracy, 0)} right ({b.calls} calls)" for b in final.row.bins
    )
    alt = f"Share of right sides by stated confidence, one line a model. {title(final.name)}: {told}."

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.plot([0.5, 1], [0.5, 1], color=LIGHT["ink"], linewidth=1.2, linestyle=(0, (1, 1.5)))
        for model in comparison.models:
            most = max(b.calls for b in model.row.bins)
            _line(axes, [b.confidence for b in model.row.bins], [b.accuracy for b in model.row.bins], model.name, final)
            for b in model.row.bins:
                size = 4 + 8 * (b.calls / most) ** 0.5
                axes.plot(b.confidence, b.accuracy, MARKERS[role(model.name)], ms=size, mfc=tint(model.name),
                          mec="none")  # fmt: skip
        axes.set(xlim=(0.48, 1.02), ylim=(-0.04, 1.04), xlabel="stated confidence")
        axes.set_xticks([0.5, 0.75, 1.0], ["50%", "75%", "100%"])
        percents(axes.yaxis)
        legend(figure, 3, handle=1.9, gap=1.2)

    return Picture("reliability", "Is stated confidence true?", alt, draw, 520, 320, 300)


def confusion(model: ModelScores) -> Picture:
    """Draws the number of decisions by what came and what was called."""
    table = model.row.confusion
    called = list(next(iter(table.values())))
    told = "; ".join(
        f"came {came}: " + ", ".join(f"{count} called {call}" for call, count in counts.items())
        for came, counts in table.items()
    )

    def draw(figure: "Figure") -> None:
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        axes.grid(visible=False)
        most = max(1, *(count for counts in table.values() for count in counts.values()))  # one shade, one count
        for down, (came, counts) in enumerate(table.items()):
            for right, (call, count) in enumerate(counts.items()):
                shade = LIGHT["accent"] if came == call else LIGHT["muted"]
                corner, alpha = (right - 0.48, down - 0.46), 0.05 + 0.4 * count / most
                axes.add_patch(Rectangle(corner, 0.96, 0.92, facecolor=shade, alpha=alpha, linewidth=0))
                axes.text(right, down, f"{count:,}", ha="center", va="center", fontsize=14, color=LIGHT["ink"])
        axes.set_xticks(range(len(called)), [f"called {call}" for call in called])
        axes.set_yticks(range(len(table)), [f"came {came}" for came in table])
        axes.set(xlim=(-0.5, len(called) - 0.5), ylim=(len(table) - 0.5, -0.5))
        axes.spines["bottom"].set_visible(False)

    heading = "What was called, and what came"
    return Picture("confusion", heading, f"Decisions of {title(model.name)}: {told}.", draw, 520, 320, 260)


def by_month(comparison: CallComparison) -> Picture:
    """Draws accuracy by month, beside that of always calling each month's more frequent side."""
    final = comparison.final
    monthly = [group for group in comparison.groups if group.by == "month"]
    own = [group for group in monthly if group.name == final.name]
    months = months_between(own[0].group, own[-1].group) if own else []
    told = ", ".join(
        f"{group.group} {percent(group.accuracy, 0)} (more frequent side {percent(group.majority, 0)})" for group in own
    )
    shown = {model.name: model for model in (comparison.models[0], final)}

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.axhline(0.5, color=LIGHT["ink"], linewidth=1.2)
        places = [months.index(group.group) for group in own]
        axes.plot(places, [group.majority for group in own], color=tint(MAJORITY), label=title(MAJORITY),
                  linestyle=(0, (1, 1.5)), marker="P", ms=4, mec="none")  # fmt: skip
        for name in shown:
            shown_of = [group for group in monthly if group.name == name]
            places = [months.index(group.group) for group in shown_of]
            _line(axes, places, [group.accuracy for group in shown_of], name, final)
        months_axis(axes, months)
        percents(axes.yaxis)
        legend(figure, 3, handle=1.9, gap=1.2)

    alt = f"Accuracy by month of {title(final.name)}: {told}."
    return Picture("accuracy_by_month", "At all times?", alt, draw, 520, 320, 300)


def learned(name: str, log: pd.DataFrame | None, validation: pd.DataFrame | None) -> list[Picture]:
    """Draws the panels of one training; those whose columns are there.

    Args:
        name: of the model that came out.
        log: `training_log.csv`.
        validation: `validation.csv`.
    """
    first = []
    if validation is not None and {"step", "reward", "accuracy"} <= set(validation):
        first = [validation_picture(name, validation)]
    return first + training_pictures(f"{name}_", title(name), role(name), log, PANELS)


def validation_picture(name: str, validation: pd.DataFrame) -> Picture:
    """Draws reward and accuracy on validation decisions along the training, with rings where an adapter was kept."""
    at = kept(validation)

    def draw(figure: "Figure") -> None:
        draw_curves(validation, VALIDATION, smooth=False)(figure)
        ring(figure.axes[0], at, "reward")

    steps = ", ".join(f"{step:.0f}" for step in at["step"])
    alt = f"{title(name)} on validation decisions: {ends(validation, VALIDATION, False)}; kept: step {steps}."
    return Picture(f"{name}_validation", "On validation decisions (ringed: kept)", alt, draw, *SMALL)


def tint(name: str) -> str:
    """Gives a caller's colour in the light palette."""
    return LIGHT[role(name)]


def role(name: str) -> str:
    """Gives a caller's role in the palette."""
    return ROLES.get(name, "accent")


def _line(axes: "Axes", x: list[float] | list[int], y: list[float], name: str, final: ModelScores) -> None:
    line(axes, x, y, title(name), role(name), final=name == final.name, size=4)
