"""Draws how sure the answers are, and what trading them would have brought."""

from typing import TYPE_CHECKING

import pandas as pd

from stonk_pipeline.contracts.forecast.page.looks import colour, label, role
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.forecast.scores.trades import HOLD
from stonk_pipeline.report.charts import dates_axis, legend, percents
from stonk_pipeline.report.style import DASHES, LIGHT, Picture, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ranks_picture(comparison: Comparison) -> Picture | None:
    """Draws where what came fell among the final model's answers; None where there was one answer a window."""
    final = comparison.verdict.model
    shares = comparison.ranks.get(final, ())
    if len(shares) < 3:
        return None
    told = ", ".join(percent(share, 0) for share in shares)
    alt = (
        f"Share of closes by their place among the sorted answers of {label(final)}, below all first: {told}. "
        f"Equal bars of {percent(1 / len(shares), 0)} would be right."
    )

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.bar(range(len(shares)), shares, color=LIGHT["last"], width=0.86)
        axes.axhline(1 / len(shares), color=LIGHT["ink"], linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set_xticks([0, len(shares) - 1], ["below all answers", "above all"])
        axes.set_ylim(0, max(*shares, 1.6 / len(shares)) * 1.08)
        percents(axes.yaxis)

    return Picture("ranks", "Are the answers as spread as what comes?", alt, draw, 520, 280, 260)


def equity_picture(comparison: Comparison, equity: pd.DataFrame | None) -> Picture | None:
    """Draws the growth of 1 through the test part, after costs; None where nothing was traded."""
    if equity is None or not comparison.trading or len(equity) < 2:
        return None
    final = comparison.verdict.model
    names = [name for name in (final, "base", "best_possible", HOLD) if name in equity]
    told = "; ".join(f"{label(name)} {percent(float(equity[name].iloc[-1]) - 1, sign=True)}" for name in names)
    alt = f"Growth of capital from {equity['date'].iloc[0]} to {equity['date'].iloc[-1]}, after costs: {told}."

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.axhline(0, color=LIGHT["ink"], linewidth=1.2)
        for name in names:
            axes.plot(
                pd.to_datetime(equity["date"]),
                equity[name] - 1,
                color=LIGHT["muted"] if name == HOLD else colour(name),
                linewidth=2.4 if name == final else 1.4,
                linestyle=DASHES[role(name)],
                label=label(name),
            )
        dates_axis(axes)
        percents(axes.yaxis, sign=True)
        legend(figure, 2, handle=1.9)

    return Picture("equity", "Growth of capital, after costs", alt, draw, 520, 280, 260)
