"""Pictures of the comparison: skill with its interval, by day ahead, and through time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stonk_pipeline.evaluation.results import Comparison, Row
from stonk_pipeline.periods import noun
from stonk_pipeline.report.style import (
    DASHES,
    LIGHT,
    MARKERS,
    WIDE,
    Draw,
    Picture,
    colour,
    label,
    percent,
    picture,
    png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOOR = -1.0
"""Skill below which nothing is drawn: one absurd number in an answer would flatten all else."""


def write_pictures(comparison: Comparison, directory: Path) -> list[Path]:
    """Writes the comparison's pictures as PNG files: `skill.png`, `skill_by_day.png`, `skill_through_time.png`.

    Args:
        comparison: the numbers.
        directory: where to, usually the comparison's own directory.

    Returns:
        The files.
    """
    paths = []
    for name, draw, height in (
        ("skill", draw_skill(comparison), _skill_height(comparison)),
        ("skill_by_day", draw_by_day(comparison), 320),
        ("skill_through_time", draw_by_month(comparison), 320),
    ):
        path = directory / f"{name}.png"
        path.write_bytes(png(draw, WIDE, height))
        paths.append(path)
    return paths


def skill_picture(comparison: Comparison) -> Picture:
    """Skill of every forecaster with its interval."""
    rows = _shown(comparison)
    told = "; ".join(
        f"{label(row.name)} {percent(row.skill, sign=True)} "
        f"({percent(row.skill_low, sign=True)} to {percent(row.skill_high, sign=True)})"
        for row in rows
    )
    height = _skill_height(comparison)
    return picture(
        "skill",
        "Skill over repeating the last price",
        f"Skill over persistence with {comparison.confidence:.0%} intervals, median of the answers: {told}.",
        draw_skill(comparison),
        width=WIDE,
        height=height,
        narrow=height,
    )


def by_day_picture(comparison: Comparison) -> Picture:
    """Skill of every forecaster by day ahead, the final model with its interval."""
    final = [point for point in comparison.by_horizon if point.name == comparison.verdict.model]
    told = ", ".join(f"{noun(comparison.period)} {point.day} {percent(point.skill, sign=True)}" for point in final)
    return picture(
        "by-day",
        "How far ahead?",
        f"Skill over persistence by {noun(comparison.period)} ahead, one line a forecaster. "
        f"{label(comparison.verdict.model)}: {told}.",
        draw_by_day(comparison),
        width=520,
        height=300,
        narrow=280,
    )


def by_month_picture(comparison: Comparison) -> Picture:
    """Skill of every forecaster by month."""
    final = [point for point in comparison.by_month if point.name == comparison.verdict.model]
    told = ", ".join(f"{point.month} {percent(point.skill, 0, sign=True)}" for point in final)
    return picture(
        "by-month",
        "At all times?",
        f"Skill over persistence by month, one line a forecaster. {label(comparison.verdict.model)}: {told}.",
        draw_by_month(comparison),
        width=520,
        height=300,
        narrow=280,
    )


def draw_skill(comparison: Comparison) -> Draw:
    """Dots and intervals: the median of the answers filled, a single answer hollow."""
    rows = _shown(comparison)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.axvline(0, color=LIGHT["ink"], linewidth=1.2, zorder=1)
        for place, row in enumerate(rows):
            _dot_and_interval(axes, row, -float(place))
        axes.set_yticks([-float(place) for place in range(len(rows))], [label(row.name) for row in rows])
        axes.tick_params(axis="y", labelcolor=LIGHT["ink"], labelsize=13)
        axes.set_ylim(-len(rows) + 0.45, 0.75)
        axes.annotate(
            "← worse \N{NO-BREAK SPACE} last price repeated \N{NO-BREAK SPACE} better →",
            (0, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=11,
            color=LIGHT["muted"],
            annotation_clip=False,
        )
        for place, row in enumerate(rows):
            axes.annotate(
                percent(row.skill, sign=True),
                (1, -float(place)),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold",
                fontsize=13,
                annotation_clip=False,
            )
        axes.spines["bottom"].set_visible(False)
        _percent_axis(axes, "x")
        _fit(axes, rows)

    return draw


def draw_by_day(comparison: Comparison) -> Draw:
    """One line a forecaster over the days ahead; the final model's interval is shaded."""
    final = comparison.verdict.model

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        values: list[float] = []
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        for row in _lines(comparison):
            points = [point for point in comparison.by_horizon if point.name == row.name]
            days = [point.day for point in points]
            if row.name == final:
                values += [end for point in points for end in (point.low, point.high)]
                axes.fill_between(
                    days,
                    [point.low for point in points],
                    [point.high for point in points],
                    color=colour(final),
                    alpha=0.16,
                    linewidth=0,
                )
            values += [point.skill for point in points]
            _line(axes, days, [point.skill for point in points], row.name, final)
        axes.set_xlabel(f"{noun(comparison.period)}s ahead")
        axes.set_xticks(range(1, comparison.horizon + 1, max(1, comparison.horizon // 10)))
        _percent_axis(axes, "y")
        axes.set_ylim(_limits(values))
        _legend(figure, axes)

    return draw


def draw_by_month(comparison: Comparison) -> Draw:
    """One line a forecaster over the months of the test part."""
    final = comparison.verdict.model

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        values: list[float] = []
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        months = sorted({point.month for point in comparison.by_month})
        for row in _lines(comparison):
            points = {point.month: point.skill for point in comparison.by_month if point.name == row.name}
            values += points.values()
            _line(axes, list(range(len(months))), [points[month] for month in months], row.name, final)
        step = -(-len(months) // 6)
        axes.set_xticks(range(0, len(months), step), months[::step])
        axes.set_xlabel("month of the decision")
        _percent_axis(axes, "y")
        axes.set_ylim(_limits(values))
        _legend(figure, axes)

    return draw


def _shown(comparison: Comparison) -> list[Row]:
    """All rows but persistence, which is the zero line."""
    return [row for row in comparison.rows if row.name != "persistence"]


def _lines(comparison: Comparison) -> list[Row]:
    """Rows for pictures of one line each: of the baselines only the one with the smallest error."""
    shown = _shown(comparison)
    strongest = min((row for row in shown if row.kind == "baseline"), key=lambda row: row.mae, default=None)
    return [row for row in shown if row.kind != "baseline" or row is strongest]


def _skill_height(comparison: Comparison) -> int:
    return 74 + 42 * len(_shown(comparison))


def _dot_and_interval(axes: "Axes", row: Row, place: float) -> None:
    tint = colour(row.name)
    if row.kind == "model":
        below = place - 0.26
        axes.plot([row.single_low, row.single_high], [below, below], color=tint, linewidth=1.4, alpha=0.55)
        axes.plot(row.single_skill, below, "o", ms=5, mfc="none", mec=tint, mew=1.2)
    axes.plot([row.skill_low, row.skill_high], [place, place], color=tint, linewidth=5, alpha=0.45)
    axes.plot(row.skill, place, MARKERS.get(row.name, "P"), ms=9, mfc=tint, mec="none")


def _line(axes: "Axes", x: list[int], y: list[float], name: str, final: str) -> None:
    own = name == final
    axes.plot(
        x,
        y,
        color=colour(name),
        linewidth=2.6 if own else 1.5,
        linestyle=DASHES.get(name, (0, (1, 1.5))),
        marker=MARKERS.get(name, "P"),
        markersize=5 if own else 3.5,
        markeredgecolor="none",
        label=label(name),
        zorder=3 if own else 2,
    )


def _percent_axis(axes: "Axes", which: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0, sign=True)))


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a skill axis that holds values and zero, cut off at FLOOR."""
    low, high = max(min(*values, 0.0), FLOOR), max(*values, 0.0)
    margin = 0.06 * max(high - low, 0.02)
    return low - margin, high + margin


def _fit(axes: "Axes", rows: list[Row]) -> None:
    """Leaves room on both sides of zero for the words above it, and marks what lies beyond FLOOR."""
    ends = [end for row in rows for end in (row.skill_low, row.skill_high, row.single_low, row.single_high)]
    low, high = _limits(ends)
    reach = 0.35 * max(abs(low), abs(high))
    axes.set_xlim(min(low, -reach), max(high, reach))
    for place, row in enumerate(rows):
        if row.skill < FLOOR:
            axes.plot(FLOOR, -float(place), "<", ms=8, mfc=colour(row.name), mec="none")


def _legend(figure: "Figure", axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 3 if figure.get_figwidth() * 72 < 450 else 4
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=11,
        handlelength=1.9,
        columnspacing=1.2,
    )
