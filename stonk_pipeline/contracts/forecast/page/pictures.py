"""Draws the comparison of forecasters: skill with its interval, by day ahead, and through time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stonk_pipeline.contracts.forecast.page.looks import colour, label, role
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.forecast.scores.rows import Row
from stonk_pipeline.contracts.forecast.scores.verdict import best_row
from stonk_pipeline.periods import noun
from stonk_pipeline.report.charts import legend, line, months_axis, months_between, percents, whole_ticks
from stonk_pipeline.report.style import LIGHT, MARKERS, WIDE, Picture, between, percent

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
    wide = {"skill_by_day": by_day_picture(comparison), "skill_through_time": by_month_picture(comparison)}
    pictures = [replace(picture, key=key, width=WIDE, height=320) for key, picture in wide.items()]
    return [picture.save(directory) for picture in (skill_picture(comparison), *pictures)]


def skill_picture(comparison: Comparison) -> Picture:
    """Draws every forecaster's skill as dots with intervals: the median of answers filled, a single answer hollow."""
    rows = _shown(comparison)
    told = "; ".join(
        f"{label(row.name)} {percent(row.skill, sign=True)} ({between(row.skill_low, row.skill_high)})" for row in rows
    )
    alt = f"Skill over persistence with {comparison.confidence:.0%} intervals, median of the answers: {told}."
    height = 74 + 42 * len(rows)

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
        percents(axes.xaxis, sign=True)
        _fit(axes, rows)

    return Picture("skill", "Skill over repeating the last price", alt, draw, WIDE, height, height)


def by_day_picture(comparison: Comparison) -> Picture:
    """Draws skill by day ahead, one line a forecaster; the final model's interval is shaded."""
    final, bar = comparison.verdict.model, noun(comparison.period)
    told = ", ".join(
        f"{bar} {point.day} {percent(point.skill, sign=True)}" for point in comparison.by_horizon if point.name == final
    )
    alt = f"Skill over persistence by {bar} ahead, one line a forecaster. {label(final)}: {told}."

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        values: list[float] = []
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        for row in _lines(comparison):
            points = [point for point in comparison.by_horizon if point.name == row.name]
            days = [point.day for point in points]
            low, high = _ends(point.low for point in points), _ends(point.high for point in points)
            if row.name == final and len(low) == len(high) == len(days):
                values += [*low, *high]
                axes.fill_between(days, low, high, color=colour(final), alpha=0.16, linewidth=0)
            values += [point.skill for point in points]
            _line(axes, days, [point.skill for point in points], row.name, final)
        axes.set_xlabel(f"{bar}s ahead")
        whole_ticks(axes.xaxis, 10)
        percents(axes.yaxis, sign=True)
        axes.set_ylim(_limits(values))
        _legend(figure)

    return Picture("by-day", "How far ahead?", alt, draw, 520, 300, 280)


def by_month_picture(comparison: Comparison) -> Picture:
    """Draws skill by month of the test part, one line a forecaster."""
    final = comparison.verdict.model
    told = ", ".join(
        f"{point.month} {percent(point.skill, 0, sign=True)}" for point in comparison.by_month if point.name == final
    )
    alt = f"Skill over persistence by month, one line a forecaster. {label(final)}: {told}."

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        values: list[float] = []
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        months = months_between(comparison.first_date, comparison.last_date)
        for row in _lines(comparison):
            points = {point.month: point.skill for point in comparison.by_month if point.name == row.name}
            values += points.values()
            _line(axes, [months.index(month) for month in points], [*points.values()], row.name, final)
        months_axis(axes, months)
        percents(axes.yaxis, sign=True)
        axes.set_ylim(_limits(values))
        _legend(figure)

    return Picture("by-month", "At all times?", alt, draw, 520, 300, 280)


def _shown(comparison: Comparison) -> list[Row]:
    """Picks all rows but persistence, which is the zero line."""
    return [row for row in comparison.rows if row.name != "persistence"]


def _lines(comparison: Comparison) -> list[Row]:
    """Picks rows for pictures of one line each: of the baselines only the one with the smallest error."""
    strongest = best_row(comparison.rows)
    return [row for row in _shown(comparison) if row.kind != "baseline" or row is strongest]


def _dot_and_interval(axes: "Axes", row: Row, place: float) -> None:
    tint = colour(row.name)
    if row.kind == "model":
        below = place - 0.26
        if row.single_low is not None and row.single_high is not None:
            axes.plot([row.single_low, row.single_high], [below, below], color=tint, linewidth=1.4, alpha=0.55)
        axes.plot(row.single_skill, below, "o", ms=5, mfc="none", mec=tint, mew=1.2)
    if row.skill_low is not None and row.skill_high is not None:
        axes.plot([row.skill_low, row.skill_high], [place, place], color=tint, linewidth=5, alpha=0.45)
    axes.plot(row.skill, place, MARKERS[role(row.name)], ms=9, mfc=tint, mec="none")


def _line(axes: "Axes", x: list[int], y: list[float], name: str, final: str) -> None:
    own = name == final
    line(axes, x, y, label(name), role(name), final=own, size=5 if own else 3.5)


def _ends(values: Iterable[float | None]) -> list[float]:
    """Leaves out the ends of intervals for which there are too few dates."""
    return [value for value in values if value is not None]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Sets the limits of a skill axis that holds values and zero, cut off at FLOOR."""
    low, high = max(min(*values, 0.0), FLOOR), max(*values, 0.0)
    margin = 0.06 * max(high - low, 0.02)
    return low - margin, high + margin


def _fit(axes: "Axes", rows: list[Row]) -> None:
    """Leaves room on both sides of zero for the words above it, and marks what lies beyond FLOOR."""
    drawn = ("skill", "skill_low", "skill_high", "single_skill", "single_low", "single_high")
    low, high = _limits(_ends(getattr(row, name) for row in rows for name in drawn))
    reach = 0.35 * max(abs(low), abs(high))
    axes.set_xlim(min(low, -reach), max(high, reach))
    for place, row in enumerate(rows):
        if row.skill < FLOOR:
            axes.plot(FLOOR, -float(place), "<", ms=8, mfc=colour(row.name), mec="none")


def _legend(figure: "Figure") -> None:
    legend(figure, 3 if figure.get_figwidth() * 72 < 450 else 4, handle=1.9, gap=1.2)
