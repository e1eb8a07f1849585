"""Computes confidence intervals and p-values that allow for windows which overlap or share a date.

Stocks move together, so the windows of one decision date are one observation: their losses are summed before anything
is resampled. Targets of neighbouring dates share days, so dates are resampled in blocks, three horizons long.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonk_pipeline.evaluation.metrics import Floats, skill

SPANS = 3
"""Spans of a target in one bootstrap block, and in the bandwidth of the Diebold-Mariano test. Losses of targets that
overlap are correlated over one span, and markets have moods that last longer. With two spans, more than 5 % of
forecasts without skill are called skilled (`benchmarks/verdict_error_rates.py`)."""

NEGLIGIBLE = 1e-6
"""Difference of two losses, in percent of the price, that counts as none."""


class Clusters(NamedTuple):
    """Windows grouped by decision date, oldest first."""

    dates: list[str]
    """The T distinct dates."""
    places: NDArray[np.int64]
    """(N,) position of each window's date in `dates`."""
    span: int
    """How many consecutive dates have targets that share days (`target_span`)."""

    @property
    def block(self) -> int:
        """Computes the length of a bootstrap block in dates."""
        return SPANS * self.span

    @property
    def blocks(self) -> float:
        """Counts the stretches of time that hardly share anything: the dates divided by the length of a block."""
        return len(self.dates) / self.block

    def sums(self, losses: Floats) -> Floats:
        """Sums over the windows of each date: (N, ...) -> (T, ...)."""
        out = np.zeros((len(self.dates), *losses.shape[1:]))
        np.add.at(out, self.places, losses)
        return out

    def shares(self, losses: Floats) -> Floats:
        """Computes what each date adds to the mean over all windows, times T, (N,) -> (T,); their mean is that mean.

        A date counts by its windows, as in a skill. Means over each date's windows would weigh all dates alike, and a
        test on them could contradict the skill's interval.
        """
        return np.asarray(self.sums(losses) * len(self.dates) / len(self.places))


def cluster(dates: Sequence[str], ends: Sequence[str]) -> Clusters:
    """Groups windows by their decision dates (ISO); `ends` are the last dates of their targets."""
    unique, places = np.unique(np.asarray(dates), return_inverse=True)
    span = target_span(dates, ends) if len(dates) else 1
    return Clusters([str(date) for date in unique], places.astype(np.int64), span)


def target_span(dates: Sequence[str], ends: Sequence[str]) -> int:
    """Counts the consecutive decision dates whose targets share days: a horizon in decision dates.

    Targets overlap when the later decision date lies before the earlier target's end, so the longest run of decision
    dates from one date up to its target's end is what counts. With a window on every trading day that is
    the horizon itself; where windows are spread thinner it is less.

    Args:
        dates: decision date of each window (ISO).
        ends: last date of each window's target (ISO).
    """
    unique = np.unique(np.asarray(dates))
    before = np.searchsorted(unique, np.asarray(ends), side="left") - np.searchsorted(unique, np.asarray(dates))
    return max(1, int(before.max()))


def skill_intervals(
    losses: Floats, reference: Floats, *, span: int, resamples: int, confidence: float, seed: int
) -> tuple[Floats, Floats]:
    """Computes intervals of skills by a circular block bootstrap, all columns on the same resampled dates.

    Blocks are SPANS * span dates long. The percentile interval (Politis and Romano 1992, through `arch`) is widened
    around the estimate (`widening`): as it stands, it is narrower than it says.

    Args:
        losses: (T, K) summed losses of K forecasts on T dates, oldest first.
        reference: (T, K) or (T, 1) summed losses of what each is compared with.
        span: how many consecutive dates share days (`target_span`).
        resamples: number of bootstrap resamples.
        confidence: coverage of the two-sided interval.
        seed: of the resampling; the same seed gives the same interval.

    Returns:
        (low, high), each (K,).
    """
    from arch.bootstrap import CircularBlockBootstrap

    wide = np.broadcast_to(reference, losses.shape)
    size = min(SPANS * span, len(losses))
    bootstrap = CircularBlockBootstrap(size, losses, wide, seed=np.random.default_rng(seed))
    low, high = bootstrap.conf_int(skill, reps=resamples, method="percentile", size=confidence)
    centre = skill(losses, wide)
    factor = widening(len(losses) / size, span, confidence)
    return np.asarray(centre + factor * (low - centre)), np.asarray(centre + factor * (high - centre))


def widening(blocks: float, span: int, confidence: float) -> float:
    """Computes by what factor to stretch an interval from so many blocks of SPANS * span dates.

    Two factors: Student's t over the normal quantile at blocks - 1 degrees of freedom, for the blocks are few; and what
    blocks leave out at their edges. A bootstrap of blocks of b dates weighs the covariance of lag k by 1 - k / b.
    Where targets of h dates overlap, the covariances fall in a line over h, so 1 - (1 - 1 / h^2) / (3 SPANS) of the
    variance is found; the interval is divided by its root.

    Args:
        blocks: dates divided by the length of a block; fewer than two count as two.
        span: h.
        confidence: coverage of the two-sided interval.
    """
    from scipy.stats import norm, t

    tail = 0.5 + confidence / 2
    found = 1.0 - (1.0 - 1.0 / span**2) / (3 * SPANS)
    return float(t.ppf(tail, max(blocks - 1.0, 1.0)) / norm.ppf(tail) / np.sqrt(found))


class DieboldMariano(NamedTuple):
    """Outcome of the test; a negative statistic says that the first forecast has the smaller loss."""

    statistic: float
    p_value: float
    """Two-sided."""


def diebold_mariano(first: Floats, second: Floats, steps: int) -> DieboldMariano:
    """Tests for equal accuracy (Diebold and Mariano 1995) of two series of losses by date.

    Long-run variance with the Bartlett kernel, whose estimate cannot be negative; small-sample factor and Student's t
    by Harvey, Leybourne and Newbold (1997).

    Args:
        first, second: (T,) losses by date (`Clusters.shares`), oldest first.
        steps: how many consecutive dates share days (`target_span`); lags up to SPANS * steps - 1 are used.
    """
    from scipy.stats import t

    difference = np.asarray(first - second, dtype=np.float64)
    difference = np.where(np.abs(difference) < NEGLIGIBLE, 0.0, difference)  # a weight of 0.9999999 is one of 1
    count = len(difference)
    if count < 3:
        return DieboldMariano(0.0, 1.0)
    bandwidth = min(SPANS * steps, count - 1)
    centred = difference - difference.mean()
    covariances = np.array([centred[lag:] @ centred[: count - lag] for lag in range(bandwidth)]) / count
    weights = 1.0 - np.arange(bandwidth) / bandwidth
    variance = float(covariances[0] + 2.0 * weights[1:] @ covariances[1:])
    factor = (count + 1 - 2 * steps + steps * (steps - 1) / count) / count
    if variance <= 0.0 or factor <= 0.0:
        return DieboldMariano(0.0, 1.0)
    statistic = float(difference.mean() / np.sqrt(variance / count) * np.sqrt(factor))
    return DieboldMariano(statistic, float(2.0 * t.sf(abs(statistic), count - 1)))


def confidence_set(losses: Floats, *, block: int, resamples: int, seed: int) -> Floats:
    """Computes p-values of the Model Confidence Set (Hansen, Lunde and Nason 2011, through `arch`), (K,).

    The forecasters whose p-value is at least 5 % hold the best one with a confidence of 95 %.

    Args:
        losses: (T, K) losses by date, oldest first.
        block: length of a bootstrap block in dates.
        resamples: bootstrap resamples.
        seed: of the resampling.
    """
    from arch.bootstrap import MCS

    # Equal columns (exponential smoothing with a weight of 1 is persistence) have no variance between them.
    distinct, places = np.unique(losses.round(12), axis=1, return_inverse=True)
    if distinct.shape[1] == 1 or len(losses) < 3:
        return np.ones(losses.shape[1])
    test = MCS(
        distinct,
        size=0.05,
        reps=resamples,
        block_size=min(block, len(losses)),
        method="R",
        bootstrap="circular",
        seed=seed,
    )
    test.compute()
    found = test.pvalues["Pvalue"]
    return np.array([float(found.loc[place]) for place in np.ravel(places)])
