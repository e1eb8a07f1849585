"""Defines the rows of a comparison of forecasts: all scores of one forecaster, and those of the random walk."""

from typing import Literal

from stonk_pipeline.evaluation.results import Result

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


def coverages(of: Row | Distribution) -> dict[str, float]:
    """Names the coverage columns of a table: `coverage_0.8`, `calibrated_0.8`."""
    return {f"coverage_{level}": share for level, share in (of.coverage or {}).items()} | {
        f"calibrated_{level}": share for level, share in (of.calibrated_coverage or {}).items()
    }
