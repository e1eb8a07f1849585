"""Pictures of the trainings: rewards and their parts, validation, losses, selection."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stonk_pipeline.report.style import LIGHT, Draw, Picture, label, percent, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (350, 236)
"""Width and height of a panel in CSS pixels: fits a phone as it is."""
BARS = 14
"""Most bars in a picture."""
SPAN = 15
"""Steps that the smooth line of a noisy curve averages over (exponentially)."""


class Curve(NamedTuple):
    """One column of a log, drawn."""

    column: str
    words: str
    tint: str
    dash: Any = "-"


REWARDS = (
    Curve("reward_skill", "skill", "part_1"),
    Curve("reward_direction", "direction", "part_2", (0, (5, 1.5))),
    Curve("reward_trading", "trading", "part_3", (0, (1, 1.2))),
    Curve("reward_form", "form", "part_4", (0, (5, 1.5, 1, 1.5))),
)
SPREADS = tuple(curve._replace(column=curve.column.replace("reward", "spread")) for curve in REWARDS)
SHAPES = (
    Curve("readable_share", "readable", "part_1"),
    Curve("up_share", "say up", "part_2", (0, (5, 1.5))),
    Curve("straight_share", "straight lines", "part_3", (0, (1, 1.2))),
    Curve("zero_spread_share", "groups all alike", "part_4", (0, (5, 1.5, 1, 1.5))),
)


def grpo_pictures(key: str, name: str, log: pd.DataFrame | None, validation: pd.DataFrame | None) -> list[Picture]:
    """Panels of one GRPO run; those whose columns are there.

    Args:
        key: of the run, unique on the page.
        name: of the model that came out, for the alternative texts.
        log: `training_log.csv`.
        validation: `validation.csv`.
    """
    who, tint = label(name), name if name in LIGHT else "accent"
    panels = []
    if validation is not None and {"step", "skill_median", "skill_single"} <= set(validation):
        panels.append(_validation(key, who, tint, validation))
    if log is None or "step" not in log:
        return panels
    for part, title, curves, share in (
        ("reward", "Reward", (Curve("reward", "all components, weighted", tint),), False),
        ("parts", "Its components", REWARDS, False),
        ("spread", "Spread within groups", SPREADS, False),
        ("shape", "What the answers look like", SHAPES, True),
    ):
        found = [curve for curve in curves if curve.column in log and log[curve.column].notna().any()]
        if found:
            alt = f"{title} of {who} over {len(log)} steps: {ends(log, found, share)}."
            panels.append(_panel(f"{key}-{part}", title, alt, draw_curves(log, found, share=share)))
    both = [Curve("entropy", "entropy", tint), Curve("completion_length", "length", tint)]
    if all(curve.column in log and log[curve.column].notna().any() for curve in both):
        title = "Entropy (nats a token) and length (tokens)"
        alt = f"Entropy and length of the answers of {who} over {len(log)} steps: {ends(log, both, False)}."
        panels.append(_panel(f"{key}-entropy", title, alt, draw_stack(log, both)))
    return panels


def sft_pictures(log: pd.DataFrame | None) -> list[Picture]:
    """Loss and perplexity, training and held-out."""
    panels = []
    for column, title in (("loss", "Loss"), ("perplexity", "Perplexity")):
        curves = [Curve(column, "training", "muted"), Curve(f"val_{column}", "held out", "sft")]
        if log is not None and {"step", column, f"val_{column}"} <= set(log):
            alt = f"{title} of the supervised fine-tuning: {ends(log, curves, False)}."
            panels.append(_panel(f"sft-{column}", title, alt, draw_curves(log, curves, smooth=False)))
    return panels


def bars_picture(key: str, title: str, counts: Mapping[str, float]) -> Picture:
    """Counts as horizontal bars, in the order given; of many, the largest."""
    ordered = list(counts.items())
    if len(ordered) > BARS:
        ordered.sort(key=lambda item: -item[1])
    shown = ordered[:BARS]
    told = ", ".join(f"{name} {count:,.0f}" for name, count in shown)
    more = f", and {len(ordered) - len(shown)} more" if len(ordered) > len(shown) else ""
    height = 46 + 21 * max(len(shown), 3)
    return picture(key, title, f"{title}: {told}{more}.", draw_bars([*shown]), width=PANEL[0], height=height)


def draw_curves(log: pd.DataFrame, curves: Sequence[Curve], *, share: bool = False, smooth: bool = True) -> Draw:
    """Columns of a log over its steps; noisy ones faint, with a smooth line on top."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for curve in curves:
            _curve(axes, log, curve, smooth=smooth, alone=len(curves) == 1)
        axes.set_xlabel("step")
        if share:
            axes.set_ylim(-0.03, 1.03)
            percents(axes)
        if len(curves) > 1:
            figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=11, handlelength=2.2)

    return draw


def draw_stack(log: pd.DataFrame, curves: Sequence[Curve]) -> Draw:
    """Columns of different units over the same steps, one below the other."""

    def draw(figure: "Figure") -> None:
        for axes, curve in zip(figure.subplots(len(curves), sharex=True), curves, strict=True):
            _curve(axes, log, curve, smooth=True, alone=True)
            axes.locator_params(axis="y", nbins=3)
        axes.set_xlabel("step")

    return draw


def draw_bars(counts: Sequence[tuple[str, float]]) -> Draw:
    """Horizontal bars, the first on top, with their numbers."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.grid(visible=False)
        places = range(len(counts))
        axes.barh(places, [count for _, count in counts], color=LIGHT["sft"], height=0.62)
        for place, (_, count) in zip(places, counts, strict=True):
            axes.annotate(
                f"{count:,.0f}", (count, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=11
            )
        axes.set_yticks(places, [name for name, _ in counts])
        axes.tick_params(axis="y", labelcolor=LIGHT["ink"])
        axes.set_ylim(max(len(counts), 3) - 0.5, -0.5)
        axes.set_xticks([])
        axes.margins(x=0.18)
        axes.spines["bottom"].set_visible(False)

    return draw


def _validation(key: str, who: str, tint: str, validation: pd.DataFrame) -> Picture:
    kept = validation["kept"].astype(str).str.lower().isin(("true", "1", "1.0")) if "kept" in validation else None

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        for column, words, dash in (("skill_median", "median", "-"), ("skill_single", "one answer", (0, (3, 1.5)))):
            axes.plot(
                validation["step"], validation[column], color=LIGHT[tint], linestyle=dash, label=words, marker="o",
                ms=4, mec="none",
            )  # fmt: skip
        if kept is not None and kept.any():
            at = validation[kept]
            axes.plot(at["step"], at["skill_median"], "o", ms=11, mfc="none", mec=LIGHT["ink"], mew=1.5, label="kept")
        axes.set_xlabel("step")
        percents(axes, sign=True)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=11, handlelength=2.2)

    told = ", ".join(
        f"step {step:.0f} {percent(skill, sign=True)}"
        for step, skill in zip(validation["step"], validation["skill_median"], strict=True)
    )
    return _panel(f"{key}-validation", "Skill on validation windows", f"Validation skill of {who}: {told}.", draw)


def _curve(axes: "Axes", log: pd.DataFrame, curve: Curve, *, smooth: bool, alone: bool) -> None:
    values = log[["step", curve.column]].dropna()
    tint = LIGHT[curve.tint]
    noisy = smooth and len(values) > 2 * SPAN
    line = values[curve.column].ewm(span=SPAN).mean() if noisy else values[curve.column]
    if noisy and alone:
        axes.plot(values["step"], values[curve.column], color=tint, linewidth=0.8, alpha=0.4)
    marker = "o" if len(values) <= 12 else None
    axes.plot(
        values["step"], line, color=tint, linestyle=curve.dash, label=curve.words, marker=marker, ms=4, mec="none"
    )


def _panel(key: str, title: str, alt: str, draw: Draw) -> Picture:
    return picture(key, title, alt, draw, width=PANEL[0], height=PANEL[1])


def ends(log: pd.DataFrame, curves: Sequence[Curve], share: bool) -> str:
    """Where each curve begins and ends, in words, for a picture's text; as percentages where they are shares."""
    parts = []
    for curve in curves:
        values = log[curve.column].dropna()
        if len(values):
            first, last = (percent(v, 0) if share else f"{v:.3g}" for v in (values.iloc[0], values.iloc[-1]))
            parts.append(f"{curve.words} from {first} to {last}")
    return ", ".join(parts)


def percents(axes: "Axes", *, sign: bool = False) -> None:
    """A vertical axis of shares, in percent."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0, sign=sign)))
