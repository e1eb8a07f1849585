"""Defines what a comparison of forecasts leaves, as typed values, and writes and reads its files."""

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from stonk_pipeline.contracts.forecast.scores.rows import RANDOM_WALK, Distribution, Row, coverages
from stonk_pipeline.evaluation.results import COMPARISON, TOO_FEW, Result, Table, noted, read_result, write_results
from stonk_pipeline.evaluation.verdict import Finding, Verdict
from stonk_pipeline.periods import TRADING_DAY


class DaySkill(Result):
    """Skill of the median answer on one day ahead."""

    name: str
    day: int
    """Days ahead, from 1."""
    skill: float
    low: float | None
    high: float | None


class MonthSkill(Result):
    """Skill of the median answer over the windows decided in one month."""

    name: str
    month: str
    """ISO, `2023-04`."""
    skill: float
    windows: int


class GroupSkill(Result):
    """Skill of the median answer over a part of the windows."""

    name: str
    by: Literal["stock", "volatility", "quarter"]
    group: str
    """The stock; `low`, `middle`, `high` third of the windows' volatility; quarter of the decision date (`2023-Q2`)."""
    skill: float
    low: float | None
    high: float | None
    windows: int


class FoldSkill(Result):
    """Skill of one fold of a walk-forward: its own final model on its own test windows."""

    fold: int
    first_date: str
    """Of its decision dates (ISO)."""
    last_date: str
    windows: int
    finding: Finding
    skill: float
    low: float | None
    high: float | None
    base_skill: float
    gain: float | None
    """Skill less that of the base model."""
    gain_low: float | None
    gain_high: float | None


class TradingRow(Result):
    """Back-test of one forecaster (`evaluation.backtest`), after costs."""

    name: str
    total_return: float
    sharpe: float
    """Annualised."""
    drawdown: float
    turnover: float
    deflated_sharpe: float
    """Probability that the true Sharpe ratio is above what luck would show in so many trials."""


class Example(Result):
    """A window for the report's examples."""

    kind: Literal["typical", "best", "worst"]
    stock: str
    date: str
    gain: float
    """(MAE of persistence - MAE of the final model) / volatility of one day."""
    mae: float
    """Of the final model's median answer, in percent of the last close."""
    mae_persistence: float


class Comparison(Result):
    """All numbers of a comparison."""

    verdict: Verdict
    cutoff: str | None = None
    """Last day that the base model may have read about (ISO)."""
    unread_windows: int | None = None
    """Test windows decided after it."""
    unread_verdict: Verdict | None = None
    """The verdict on these alone; None where there are none."""
    rows: tuple[Row, ...]
    by_horizon: tuple[DaySkill, ...]
    by_month: tuple[MonthSkill, ...]
    by_group: tuple[GroupSkill, ...] = ()
    folds: tuple[FoldSkill, ...] = ()
    """Of a walk-forward, in the order of time; all other numbers are then over all folds together."""
    random_walk: Distribution | None = None
    """What every CRPS is compared with; None in comparisons of earlier versions, whose CRPS skill is against the MAE of
    persistence."""
    ranks: dict[str, tuple[float, ...]] = Field({})
    """Model -> shares of the places that the truth takes among its answers, lowest first (`distribution.ranks`)."""
    trading: tuple[TradingRow, ...] = ()
    trials: int = 1
    """How many strategies the deflated Sharpe ratio allows for."""
    generated: bool | None = None
    """Whether the bars are generated; None in files of earlier versions."""
    stocks: tuple[str, ...] = ()
    examples: tuple[Example, ...]
    unreadable: dict[str, dict[str, int]]
    """Model -> reason -> answers."""
    first_date: str
    last_date: str
    horizon: int
    period: str = TRADING_DAY
    """What one bar spans, a key of `periods.A_YEAR`."""
    samples: int
    """Answers a window."""
    block: int
    """Length of a bootstrap block in decision dates."""
    resamples: int
    confidence: float
    seed: int
    windows: tuple[dict[str, str | float], ...] = Field(default=(), exclude=True)
    """One record a window (`windows.csv`): stock, date, target_start, target_end, volatility, `mae_<name>` of the
    median forecast, gain (see `Example`); volatility and errors in percent of the last close."""

    equity: tuple[dict[str, str | float], ...] = Field(default=(), exclude=True)
    """One record a day of the back-test (`equity.csv`): date and the growth of 1 with each forecaster."""

    def row(self, name: str) -> Row:
        """Returns the row of a model or baseline.

        Raises:
            KeyError: there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def frame(self) -> pd.DataFrame:
        """Returns the rows as a frame, one column a field and one for each nominal coverage, raw and calibrated."""
        return pd.DataFrame(
            [
                row.model_dump(exclude={"coverage", "calibrated_coverage"})
                | ({"note": TOO_FEW} if row.skill_low is None else {})
                | coverages(row)
                for row in self.rows
            ]
        )

    def distributions(self) -> list[dict[str, str | float | None]]:
        """Returns CRPS and coverage of every model with several answers or calibrated intervals, and of the walk."""
        names = ("crps", "crps_skill", "calibrated_crps", "calibrated_crps_skill")
        several = [row for row in self.rows if row.coverage or row.calibrated_coverage]
        found = [{"name": row.name} | {name: getattr(row, name) for name in names} | coverages(row) for row in several]
        if self.random_walk is not None:
            own = {"crps": self.random_walk.crps, "calibrated_crps": self.random_walk.calibrated_crps}
            found.append({"name": RANDOM_WALK} | own | coverages(self.random_walk))
        return found


def write_comparison(comparison: Comparison, directory: Path) -> None:
    """Writes `comparison.json` with all numbers, `verdict.json`, and each table as a CSV file.

    The tables: `comparison.csv` (the rows), `distributions.csv`, `by_horizon.csv`, `by_month.csv`, `by_group.csv`,
    `folds.csv`, `ranks.csv`,
    `trading.csv`, `windows.csv` and `equity.csv`; those that a comparison does not have are left out.
    """
    ranks = [
        {"model": model, "place": place, "share": share}
        for model, shares in comparison.ranks.items()
        for place, share in enumerate(shares)
    ]
    tables: dict[str, Table] = {"comparison": comparison.frame(), "windows": comparison.windows, "ranks": ranks}
    tables["distributions"] = comparison.distributions()
    for name in ("by_horizon", "by_month", "by_group", "folds", "trading"):
        tables |= {name: records} if (records := [noted(item) for item in getattr(comparison, name)]) else {}
    if comparison.equity:
        tables["equity"] = comparison.equity
    write_results(directory, comparison, comparison.verdict, tables)


def read_comparison(directory: Path) -> Comparison:
    """Reads `comparison.json` (without the records of `windows.csv`)."""
    return read_result(directory / COMPARISON, Comparison)
