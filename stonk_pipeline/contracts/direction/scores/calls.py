"""Scores called directions, beside the majority class and yesterday's sign.

N decisions; a forecaster gives each a probability of a rise and a change in percent. Directions are scored on the days
that moved, since a flat day has none; changes on all days. What cannot be read counts as a coin and no change, so that
failing to answer can never pay.
"""

from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.contracts.direction.question import last_change, volatility
from stonk_pipeline.evaluation.metrics import TINY, Bools, Floats
from stonk_pipeline.evaluation.results import Result
from stonk_pipeline.schema import Call, Unreadable

MAJORITY, YESTERDAY = "majority", "yesterday"
BINS = 10
"""Bins of the reliability diagram, between a confidence of 50 % and 100 %."""


class Caller(NamedTuple):
    """A model's or baseline's calls."""

    name: str
    up: Floats
    """(N,) probability of a rise; 0.5 is a coin."""
    change: Floats
    """(N,) called change in percent, with its sign."""
    unreadable: float = 0.0
    """Share of answers that could not be read."""


class Cases(NamedTuple):
    """The outcomes of decisions, and what the scores need of the questions; each (N,)."""

    came: Floats
    """Percent."""
    moved: Bools
    """False on flat days."""
    yesterday: Floats
    """The last known day's change in percent."""
    volatility: Floats
    """Standard deviation of the move over the days ahead, in percent, known at the decision."""
    stocks: tuple[str, ...]
    dates: tuple[str, ...]
    ends: tuple[str, ...]

    @property
    def rose(self) -> Bools:
        """Tells which of the days that moved rose."""
        return np.asarray(self.came[self.moved] > 0)


class Bin(Result):
    """A bin of calls with about the same confidence."""

    low: float
    high: float
    calls: int
    confidence: float
    """Mean, of the called side."""
    accuracy: float
    """Share that was right."""


class CallRow(Result):
    """Scores of one caller. Shares and probabilities, 0 to 1; None where only one side came."""

    name: str
    accuracy: float
    """Share of sides that were right, a coin counting one half."""
    balanced_accuracy: float | None
    """Mean of the accuracies on rises and on falls."""
    roc_auc: float | None
    """Of the probability of a rise: that a day that rose had a higher one than a day that fell."""
    brier: float
    """Mean squared error of the probability of a rise."""
    ece: float
    """Expected calibration error: mean distance of confidence and accuracy over the bins, weighted by calls."""
    mae: float
    """Mean absolute error of the called change, in percent, on all days."""
    mae_in_volatility: float
    """The same in volatilities of the days ahead."""
    change_skill: float
    """1 - MAE / MAE of calling no change."""
    up_share: float
    """Share of rises called, a coin counting one half."""
    unreadable_share: float
    swapped_accuracy: float
    """Accuracy when each decision gets another one's call: what is left of it does not come from the input."""
    confusion: dict[str, dict[str, int]]
    """What came (up, down, flat) -> what was called (up, down, coin) -> decisions."""
    bins: tuple[Bin, ...]
    decisions: int
    moved: int


class CallGroup(Result):
    """Accuracy over a part of the days that moved."""

    name: str
    by: str
    """`stock` or `month`."""
    group: str
    accuracy: float
    majority: float
    """Of the more frequent side within the part."""
    decisions: int


def cases(examples: Examples, days_ahead: int) -> Cases:
    """Collects the outcomes of decisions as arrays."""
    windows = [decision.window for decision in examples.decisions]
    return Cases(
        came=np.array([movement.change for movement in examples.movements], dtype=np.float64),
        moved=np.array([movement.label != "flat" for movement in examples.movements], dtype=np.bool_),
        yesterday=np.array([last_change(window) for window in windows], dtype=np.float64),
        volatility=np.array([volatility(window) for window in windows], dtype=np.float64) * days_ahead**0.5,
        stocks=tuple(window.stock for window in windows),
        dates=tuple(window.date for window in windows),
        ends=tuple(movement.end for movement in examples.movements),
    )


def combine(name: str, answers: Sequence[Sequence[Call | Unreadable]]) -> Caller:
    """Combines several answers to each decision into one call: mean probability of a rise, median change.

    Args:
        name: of the caller.
        answers: N decisions of S >= 1 answers each.
    """
    read = [[answer if isinstance(answer, Call) else None for answer in samples] for samples in answers]
    # 0.6 and its complement average to a hair beside 0.5: a tie must stay one.
    up = [round(fmean(0.5 if call is None else call.up_probability for call in calls), 12) for calls in read]
    change = [median(0.0 if call is None else call.sign * call.change for call in calls) for calls in read]
    count = sum(len(calls) for calls in read)
    unreadable = sum(call is None for calls in read for call in calls) / max(count, 1)
    return Caller(name, np.array(up, dtype=np.float64), np.array(change, dtype=np.float64), unreadable)


def baselines(known: Cases) -> list[Caller]:
    """Computes the baselines: the majority class, chosen with hindsight and as sure as frequent; yesterday's sign."""
    rose = known.rose
    rate = float(rose.mean()) if len(rose) else 0.5
    none = np.zeros(len(known.came))
    repeated = 0.5 + 0.5 * np.sign(known.yesterday)
    return [Caller(MAJORITY, np.full(len(none), rate), none), Caller(YESTERDAY, repeated, known.yesterday)]


def credits(up: Floats, rose: Bools) -> Floats:
    """Credits 1 for a right side, 0 for a wrong one, 0.5 for a coin; (N,)."""
    return np.asarray(0.5 + 0.5 * np.sign(up - 0.5) * np.where(rose, 1.0, -1.0))


def balanced_accuracy(up: Floats, rose: Bools) -> float | None:
    """Averages the accuracies on rises and on falls; None where one of them did not come."""
    if rose.all() or not rose.any():
        return None
    credit = credits(up, rose)
    return float((credit[rose].mean() + credit[~rose].mean()) / 2)


def reliability(up: Floats, rose: Bools, count: int = BINS) -> tuple[Bin, ...]:
    """Groups calls by their confidence in bins of equal width from 0.5 to 1; empty ones are left out."""
    confidence, credit = np.maximum(up, 1.0 - up), credits(up, rose)
    # The margin keeps a stated 0.55 out of the bin below it, where binary rounding would put it.
    places = np.minimum(((confidence - 0.5) * 2 * count + 1e-9).astype(np.int64), count - 1)
    return tuple(
        Bin(
            low=0.5 + place / count / 2,
            high=0.5 + (place + 1) / count / 2,
            calls=int((places == place).sum()),
            confidence=float(confidence[places == place].mean()),
            accuracy=float(credit[places == place].mean()),
        )
        for place in range(count)
        if (places == place).any()
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Averages the distance of confidence and accuracy over the bins, weighted by their calls (Naeini et al. 2015)."""
    calls = sum(piece.calls for piece in bins)
    return sum(piece.calls * abs(piece.confidence - piece.accuracy) for piece in bins) / max(calls, 1)


def confusion(caller: Caller, known: Cases) -> dict[str, dict[str, int]]:
    """Counts decisions by what came and what was called."""
    came = np.where(~known.moved, "flat", np.where(known.came > 0, "up", "down"))
    called = np.where(caller.up == 0.5, "coin", np.where(caller.up > 0.5, "up", "down"))
    return {
        truth: {call: int(((came == truth) & (called == call)).sum()) for call in ("up", "down", "coin")}
        for truth in ("up", "down", "flat")
    }


def accuracy(caller: Caller, known: Cases) -> float:
    """Computes the share of right sides on the days that moved, a coin counting one half.

    Raises:
        ValueError: no day moved, so that there is no direction to score.
    """
    if not known.moved.any():
        raise ValueError("no day moved by more than the flat threshold; lower examples.flat_percent")
    return float(credits(caller.up[known.moved], known.rose).mean())


def score(caller: Caller, known: Cases) -> CallRow:
    """Computes accuracy, ROC-AUC, Brier score, calibration and size error of one caller.

    Raises:
        ValueError: no day moved, so that there is no direction to score.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score

    hits, up, rose = accuracy(caller, known), caller.up[known.moved], known.rose
    both = bool(rose.any() and not rose.all())
    bins = reliability(up, rose)
    errors = np.abs(caller.change - known.came)
    return CallRow(
        name=caller.name,
        accuracy=hits,
        balanced_accuracy=balanced_accuracy(up, rose),
        roc_auc=float(roc_auc_score(rose, up)) if both else None,
        brier=float(brier_score_loss(rose.astype(np.int64), up, pos_label=1)),
        ece=expected_calibration_error(bins),
        mae=float(errors.mean()),
        mae_in_volatility=float((errors / np.maximum(known.volatility, TINY)).mean()),
        change_skill=float(1.0 - errors.mean() / max(np.abs(known.came).mean(), TINY)),
        up_share=float(0.5 + 0.5 * np.sign(caller.up - 0.5).mean()),
        unreadable_share=caller.unreadable,
        swapped_accuracy=float(credits(np.roll(up, max(1, len(up) // 2)), rose).mean()),
        confusion=confusion(caller, known),
        bins=bins,
        decisions=len(known.came),
        moved=len(rose),
    )


def by_group(caller: Caller, known: Cases) -> list[CallGroup]:
    """Computes accuracy by stock and by calendar month."""
    credit, rose = credits(caller.up[known.moved], known.rose), known.rose
    months = tuple(date[:7] for date in known.dates)
    out = []
    for by, labels in (("stock", known.stocks), ("month", months)):
        of_moved = np.array(labels)[known.moved]
        for group in np.unique(of_moved):
            of = of_moved == group
            rate, hit, count = float(rose[of].mean()), float(credit[of].mean()), int(of.sum())
            majority = max(rate, 1.0 - rate)
            shares = {"accuracy": hit, "majority": majority}
            out.append(CallGroup(name=caller.name, by=by, group=str(group), decisions=count, **shares))
    return out
