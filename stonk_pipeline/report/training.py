"""Draws trainings by reward: the reward and its parts, what answers look like, and the adapter that was kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stonk_pipeline.report.charts import legend, percents, whole_ticks
from stonk_pipeline.report.style import LIGHT, Draw, Picture, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = (350, 236)
"""Width and height of a panel in CSS pixels: fits a phone as it is."""
SPAN = 15
"""Steps that the smooth line of a noisy curve averages over (exponentially)."""


class Curve(NamedTuple):
    """A column of a training log, and how it is drawn."""

    column: str
    words: str
    tint: str
    dash: Any = "-"


class Panel(NamedTuple):
    """Curves in one picture."""

    key: str
    title: str
    curves: Sequence[Curve]
    share: bool = False
    """Whether they are shares, drawn in percent."""


def training_pictures(
    key: str, who: str, tint: str, log: pd.DataFrame | None, panels: Sequence[Panel]
) -> list[Picture]:
    """Draws reward, further panels, entropy and length of one training; those whose columns are there.

    Args:
        key: what the pictures' keys begin with, unique on the page.
        who: name of the model that came out, for the alternative texts.
        tint: its role in the palette.
        log: `training_log.csv`.
        panels: what its contract shows of it between the reward and the entropy.
    """
    if log is None or "step" not in log:
        return []
    pictures = []
    for panel in (Panel("reward", "Reward", (Curve("reward", "all components, weighted", tint),)), *panels):
        found = [curve for curve in panel.curves if curve.column in log and log[curve.column].notna().any()]
        if found:
            alt = f"{panel.title} of {who} over {len(log)} steps: {ends(log, found, panel.share)}."
            draw = draw_curves(log, found, share=panel.share)
            pictures.append(Picture(f"{key}{panel.key}", panel.title, alt, draw, *SMALL))
    both = [Curve("entropy", "entropy", tint), Curve("completion_length", "length", tint)]
    if all(curve.column in log and log[curve.column].notna().any() for curve in both):
        title = "Entropy (nats a token) and length (tokens)"
        alt = f"Entropy and length of the answers of {who} over {len(log)} steps: {ends(log, both, False)}."
        pictures.append(Picture(f"{key}entropy", title, alt, draw_stack(log, both), *SMALL))
    return pictures


def spreads(rewards: Sequence[Curve]) -> tuple[Curve, ...]:
    """Turns the curves of a reward's components into those of their spreads within groups, drawn alike."""
    return tuple(curve._replace(column=curve.column.replace("reward", "spread")) for curve in rewards)


def kept(validation: pd.DataFrame) -> pd.DataFrame:
    """Picks the row of `validation.csv` whose adapter was kept in the end: later ones replace those before them."""
    marks = validation.get("kept", pd.Series(False, validation.index))
    return validation[marks.astype(str).str.lower().isin(("true", "1", "1.0"))].tail(1)


def ring(axes: "Axes", rows: pd.DataFrame, column: str, words: str | None = None) -> None:
    """Draws a ring around each of these points of a curve."""
    axes.plot(rows["step"], rows[column], "o", ms=11, mfc="none", mec=LIGHT["ink"], mew=1.5, label=words)


def draw_curves(log: pd.DataFrame, curves: Sequence[Curve], *, share: bool = False, smooth: bool = True) -> Draw:
    """Draws columns of a log over its steps; noisy ones faint, with a smooth line on top."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for curve in curves:
            _curve(axes, log, curve, smooth=smooth, alone=len(curves) == 1)
        axes.set_xlabel("step")
        whole_ticks(axes.xaxis)
        if share:
            axes.set_ylim(-0.03, 1.03)
            percents(axes.yaxis)
        if len(curves) > 1:
            legend(figure, 2)

    return draw


def draw_stack(log: pd.DataFrame, curves: Sequence[Curve]) -> Draw:
    """Draws columns of different units over the same steps, one below the other."""

    def draw(figure: "Figure") -> None:
        for axes, curve in zip(figure.subplots(len(curves), sharex=True), curves, strict=True):
            _curve(axes, log, curve, smooth=True, alone=True)
            axes.locator_params(axis="y", nbins=3)
        axes.set_xlabel("step")
        whole_ticks(axes.xaxis)

    return draw


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


def ends(log: pd.DataFrame, curves: Sequence[Curve], share: bool) -> str:
    """Says in words where each curve begins and ends, for a picture's text; as percentages where they are shares."""
    parts = []
    for curve in curves:
        values = log[curve.column].dropna()
        if len(values):
            first, last = (percent(v, 0) if share else f"{v:.3g}" for v in (values.iloc[0], values.iloc[-1]))
            parts.append(f"{curve.words} from {first} to {last}")
    return ", ".join(parts)
