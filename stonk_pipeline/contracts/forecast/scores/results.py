"""Defines what a comparison of forecasts leaves, as typed values, and writes and reads its files."""

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from stonk_pipeline.evaluation.results import COMPARISON, TOO_FEW, Result, Table, noted, read_result, write_results
from stonk_pipeline.evaluation.verdict import Finding, Verdict
from stonk_pipeline.periods import TRADING_DAY

Kind = Literal["model", "baseline", "best possible"]
RANDOM_WALK = "random_walk"
"""Name of the random walk with volatility in tables of distributions."""


class Row(Result):
    """Scores of one forecaster, over the same windows as all others."""

    name: str
    kind: Kind
    mae: float
    """Mean absolute error of the median answer, in percent of the last close."""
    mse: float
    """Mean squared error of the median answer, in squared percent."""
    rmse: float
    """Square root of `mse`, in percent."""
    mape: float
    """Mean absolute error in percent of the close that came."""
    skill: float
    """1 - MAE / MAE of persistence, of the median answer."""
    skill_low: float | None
    skill_high: float | None  # None where the dates are too few for an interval, as in all of them here
    single_skill: float
    """The same for one answer: each scored alone, then averaged."""
    single_low: float | None
    single_high: float | None
    skill_over_best_baseline: float
    """1 - MAE / MAE of the baseline with the smallest MAE on these windows, chosen with hindsight."""
    gain: float | None
    """Skill of the median answer less that of the first model; None for that model and for baselines."""
    gain_low: float | None
    gain_high: float | None
    p_value: float | None
    """Two-sided Diebold-Mariano p-value against persistence; None for persistence."""
    attained: float | None
    """Skill as a share of the best possible forecast's; None where that is not known or is no skill itself."""
    confidence_p: float
    """p-value of the Model Confidence Set: forecasters at or above 1 - confidence cannot be told from the best one."""
    crps: float
    """Continuous ranked probability score of the answers, in percent; of a single forecast its MAE."""
    crps_skill: float
    """1 - CRPS / CRPS of the random walk with volatility (`Distribution`), which has no skill but knows its spread."""
    coverage: dict[str, float] | None
    """Nominal coverage (`0.8`) -> share of closes within the central interval of the answers; None for one answer."""
    calibrated_coverage: dict[str, float] | None = None
    """The same for intervals calibrated on earlier outcomes (`evaluation.conformal`); None where they are not."""
    calibrated_crps: float | None = None
    """CRPS of the quantiles of the calibrated forecast (`quantiles.crps_of`), in percent."""
    calibrated_crps_skill: float | None = None
    """1 - `calibrated_crps` / that of the random walk, calibrated in the same way."""
    ic: float | None = None
    """Mean over dates of the correlation of forecast and realised moves across tickers; None where too few tickers
    share a date."""
    rank_ic: float | None
    """Mean over dates of the rank correlation of forecast and realised moves across tickers; None where too few
    tickers share a date."""
    swapped_skill: float
    """Skill when each window gets the answers to another window: what is left of it does not come from the input."""
    identical_share: float
    """Share of readable answers that are the most common one, as moves from the last close."""
    direction: float
    """Share of windows whose last day is on the forecast side of the last close."""
    up_days: float
    """Share of windows whose last day is above the last close: what a constant "up" scores as direction."""
    up_share: float
    """Share of answers that end above the last close."""
    straight_share: float
    """Share of readable answers that are straight lines; NaN-free: 0 where none is readable."""
    unreadable_share: float
    """Share of answers that could not be read and counted as persistence."""
    windows: int
    dates: int
    stocks: int


class Distribution(Result):
    """Scores of the random walk with volatility, which has no skill but knows its spread.

    Normal around the last close; its deviation on day h is the window's daily volatility times the square root of h.
    """

    crps: float
    """In percent."""
    coverage: dict[str, float]
    """Nominal coverage -> share of closes within the central interval."""
    calibrated_coverage: dict[str, float] | None = None
    """The same for intervals around the last close, calibrated as those of the models."""
    calibrated_crps: float | None = None
    """Of the calibrated quantiles, in percent."""


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
                | _coverages(row)
                for row in self.rows
            ]
        )

    def distributions(self) -> list[dict[str, str | float | None]]:
        """Returns CRPS and coverage of every model with several answers or calibrated intervals, and of the walk."""
        names = ("crps", "crps_skill", "calibrated_crps", "calibrated_crps_skill")
        several = [row for row in self.rows if row.coverage or row.calibrated_coverage]
        found = [{"name": row.name} | {name: getattr(row, name) for name in names} | _coverages(row) for row in several]
        if self.random_walk is not None:
            own = {"crps": self.random_walk.crps, "calibrated_crps": self.random_walk.calibrated_crps}
            found.append({"name": RANDOM_WALK} | own | _coverages(self.random_walk))
        return found


def _coverages(of: Row | Distribution) -> dict[str, float]:
    return {f"coverage_{level}": share for level, share in (of.coverage or {}).items()} | {
        f"calibrated_{level}": share for level, share in (of.calibrated_coverage or {}).items()
    }


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
