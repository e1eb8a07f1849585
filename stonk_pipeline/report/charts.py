"""Draws what the pictures of all contracts have alike: a forecaster's line, axes of shares and of months, a legend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stonk_pipeline.report.style import DASHES, LIGHT, MARKERS, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

EVEN = [1, 2, 5, 10]
"""Distances of ticks, times a power of ten."""


def line(
    axes: "Axes", x: Sequence[float], y: Sequence[float], words: str, role: str, *, final: bool, size: float
) -> None:
    """Draws one forecaster's line in colour, dash and marker of its role; the final model's is thicker and on top."""
    axes.plot(
        x,
        y,
        color=LIGHT[role],
        linewidth=2.6 if final else 1.5,
        linestyle=DASHES[role],
        marker=MARKERS[role],
        ms=size,
        mec="none",
        label=words,
        zorder=3 if final else 2,
    )


def percents(axis: "Axis", *, sign: bool = False) -> None:
    """Labels an axis of shares in percent, with as many decimals as its ticks need."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def words(value: float, _: int | None = None) -> str:
        ticks = axis.get_majorticklocs()
        digits = next((count for count in (0, 1, 2) if all(abs(x - round(x, count + 2)) < 1e-9 for x in ticks)), 3)
        return percent(value, digits, sign=sign)

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(words))


def whole_ticks(axis: "Axis", most: int = 6) -> None:
    """Puts the ticks of an axis that counts steps or days on whole numbers, at most so many and one more."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=EVEN, integer=True, min_n_ticks=1))


def months_between(first: str, last: str) -> list[str]:
    """Lists all months from one to another (ISO, `2023-04`), also those without a decision."""
    import pandas as pd

    return [str(month) for month in pd.period_range(first[:7], last[:7], freq="M")]


def months_axis(axes: "Axes", months: Sequence[str]) -> None:
    """Labels a horizontal axis of months in a row, of which it names at most six."""
    step = -(-len(months) // 6)
    axes.set_xticks(range(0, len(months), step), months[::step])
    axes.set_xlabel("month of the decision")


def dates_axis(axes: "Axes") -> None:
    """Labels a horizontal axis of days (as matplotlib's dates) with months, evenly spaced and whole."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=5))
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m"))


def legend(figure: "Figure", columns: int, *, handle: float = 2.2, gap: float = 2.0) -> None:
    """Names all lines above the picture.

    Args:
        figure: the picture.
        columns: so many names side by side.
        handle: length of the piece of line before a name, in heights of the text.
        gap: between columns, in the same measure.
    """
    figure.legend(
        loc="outside upper left", ncols=columns, frameon=False, fontsize=11, handlelength=handle, columnspacing=gap
    )
