"""Pictures of called directions: is stated confidence true, what was called, when was it right, how was it learned."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from stonk_pipeline.evaluation.calls_results import CallComparison, ModelScores, title
from stonk_pipeline.evaluation.direction import MAJORITY, YESTERDAY
from stonk_pipeline.report.style import DASHES, LIGHT, MARKERS, Draw, Picture, percent, picture, png
from stonk_pipeline.report.training import PANEL, Curve, draw_curves, draw_stack, ends, percents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES = {
    "base": "base",
    "stage_one": "grpo_1st",
    "stage_two": "grpo_2nd",
    MAJORITY: "baseline",
    YESTERDAY: "baseline",
}
"""Caller -> its role in the palette; the last model looks the same in both recipes."""
COMPONENTS = (
    Curve("reward_direction", "direction", "part_1"),
    Curve("reward_magnitude", "magnitude", "part_2", (0, (5, 1.5))),
    Curve("reward_format", "format", "part_3", (0, (1, 1.2))),
    Curve("reward_confidence", "confidence", "part_4", (0, (5, 1.5, 1, 1.5))),
    Curve("reward_data_use", "data use", "accent", (0, (8, 2))),
)
SPREADS = tuple(curve._replace(column=curve.column.replace("reward", "spread")) for curve in COMPONENTS)
RATIO = (
    Curve("up_share", "rises called", "part_2"),
    Curve("called_up", "the same, running", "part_3", (0, (1, 1.2))),
    Curve("market_up", "rises that came", "part_1", (0, (5, 1.5))),
)
SHAPES = (
    Curve("readable_share", "readable", "part_1"),
    Curve("zero_spread_share", "groups all alike", "part_4", (0, (5, 1.5, 1, 1.5))),
)
VALIDATION = (Curve("reward", "reward", "part_1"), Curve("accuracy", "accuracy", "part_2", (0, (5, 1.5))))


class Sketch(NamedTuple):
    """A picture before it is drawn: for the page or as a file."""

    key: str
    """Unique on the page; name of the file."""
    title: str
    alt: str
    draw: Draw
    width: int
    height: int
    narrow: int | None = None
    """Height of its twin for phones."""

    def picture(self) -> Picture:
        """For the page."""
        size = {"width": self.width, "height": self.height}
        return picture(self.key, self.title, self.alt, self.draw, **size, narrow=self.narrow)


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
    sketches = outcome_sketches(comparison)
    for name, log in logs.items():
        sketches += training_sketches(name, log, None)
    paths = []
    for sketch in sketches:
        path = directory / f"{sketch.key}.png"
        path.write_bytes(png(sketch.draw, sketch.width, sketch.height))
        paths.append(path)
    return paths


def outcome_sketches(comparison: CallComparison) -> list[Sketch]:
    """What the comparison shows: reliability, confusion, and accuracy through time."""
    return [reliability(comparison), confusion(comparison.final), by_month(comparison)]


def reliability(comparison: CallComparison) -> Sketch:
    """How often calls of about the same confidence are right, one line a model; truthful ones lie on the diagonal."""
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
                axes.plot(b.confidence, b.accuracy, MARKERS.get(role(model.name), "o"), ms=size, mfc=tint(model.name),
                          mec="none")  # fmt: skip
        axes.set(xlim=(0.48, 1.02), ylim=(-0.04, 1.04), xlabel="stated confidence")
        axes.set_xticks([0.5, 0.75, 1.0], ["50%", "75%", "100%"])
        percents(axes)
        _legend(figure)

    return Sketch("reliability", "Is stated confidence true?", alt, draw, 520, 320, 300)


def confusion(model: ModelScores) -> Sketch:
    """Decisions by what came and what was called."""
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
        for down, (came, counts) in enumerate(table.items()):
            most = max(1, sum(counts.values()))
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
    return Sketch("confusion", heading, f"Decisions of {title(model.name)}: {told}.", draw, 520, 320, 260)


def by_month(comparison: CallComparison) -> Sketch:
    """Accuracy by month, beside that of always calling each month's more frequent side."""
    final = comparison.final
    own = [group for group in comparison.groups if group.by == "month" and group.name == final.name]
    told = ", ".join(
        f"{group.group} {percent(group.accuracy, 0)} (more frequent side {percent(group.majority, 0)})" for group in own
    )
    shown = {model.name: model for model in (comparison.models[0], final)}

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.axhline(0.5, color=LIGHT["ink"], linewidth=1.2)
        axes.plot(range(len(own)), [group.majority for group in own], color=tint(MAJORITY), label=title(MAJORITY),
                  linestyle=(0, (1, 1.5)), marker="P", ms=4, mec="none")  # fmt: skip
        for name in shown:
            values = [group.accuracy for group in comparison.groups if group.by == "month" and group.name == name]
            _line(axes, list(range(len(values))), values, name, final)
        step = -(-len(own) // 6)
        axes.set_xticks(range(0, len(own), step), [group.group for group in own][::step])
        axes.set_xlabel("month of the decision")
        percents(axes)
        _legend(figure)

    alt = f"Accuracy by month of {title(final.name)}: {told}."
    return Sketch("accuracy_by_month", "At all times?", alt, draw, 520, 320, 300)


def training_sketches(name: str, log: pd.DataFrame | None, validation: pd.DataFrame | None) -> list[Sketch]:
    """Panels of one training; those whose columns are there.

    Args:
        name: of the model that came out.
        log: `training_log.csv`.
        validation: `validation.csv`.
    """
    panels = []
    if validation is not None and {"step", "reward", "accuracy"} <= set(validation):
        panels.append(_validation(name, validation))
    if log is None or "step" not in log:
        return panels
    for part, heading, curves, share in (
        ("reward", "Reward", (Curve("reward", "all components, weighted", role(name)),), False),
        ("components", "Its components", COMPONENTS, False),
        ("spread", "Spread within groups", SPREADS, False),
        ("ratio", "Rises, called and come", RATIO, True),
        ("shape", "What the answers look like", SHAPES, True),
    ):
        found = [curve for curve in curves if curve.column in log and log[curve.column].notna().any()]
        if found:
            alt = f"{heading} of {title(name)} over {len(log)} steps: {ends(log, found, share)}."
            panels.append(Sketch(f"{name}_{part}", heading, alt, draw_curves(log, found, share=share), *PANEL))
    both = [Curve("entropy", "entropy", role(name)), Curve("completion_length", "length", role(name))]
    if all(curve.column in log and log[curve.column].notna().any() for curve in both):
        alt = f"Entropy and length of the answers of {title(name)} over {len(log)} steps: {ends(log, both, False)}."
        heading = "Entropy (nats a token) and length (tokens)"
        panels.append(Sketch(f"{name}_entropy", heading, alt, draw_stack(log, both), *PANEL))
    return panels


def _validation(name: str, validation: pd.DataFrame) -> Sketch:
    kept = validation.get("kept", pd.Series(False, validation.index)).astype(str).str.lower().isin(("true", "1", "1.0"))

    def draw(figure: "Figure") -> None:
        draw_curves(validation, VALIDATION, smooth=False)(figure)
        at = validation[kept]
        figure.axes[0].plot(at["step"], at["reward"], "o", ms=11, mfc="none", mec=LIGHT["ink"], mew=1.5)

    steps = ", ".join(f"{step:.0f}" for step in validation["step"][kept])
    alt = f"{title(name)} on validation decisions: {ends(validation, VALIDATION, False)}; kept: step {steps}."
    return Sketch(f"{name}_validation", "On validation decisions", alt, draw, *PANEL)


def tint(name: str) -> str:
    """A caller's colour in the light palette."""
    return LIGHT[role(name)]


def role(name: str) -> str:
    """A caller's role in the palette."""
    return ROLES.get(name, "accent")


def _line(axes: "Axes", x: list[float] | list[int], y: list[float], name: str, final: ModelScores) -> None:
    own = name == final.name
    axes.plot(
        x,
        y,
        color=tint(name),
        linewidth=2.6 if own else 1.5,
        linestyle=DASHES.get(role(name), "-"),
        marker=MARKERS.get(role(name), "o"),
        ms=4,
        mec="none",
        label=title(name),
        zorder=3 if own else 2,
    )


def _legend(figure: "Figure") -> None:
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=11, handlelength=1.9, columnspacing=1.2)
