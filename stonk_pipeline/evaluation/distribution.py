"""Scores forecast distributions (several answers to one window): CRPS, coverage, ranks, correlation.

Samples are (N, S, H): N windows, S answers, H days ahead; truth is (N, H); both in percent of the last close.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonk_pipeline.evaluation.metrics import Floats

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Nominal coverages that are reported."""


def crps(samples: Floats, truth: Floats) -> Floats:
    """Computes the continuous ranked probability score of each window, mean over its days, (N,); smaller is better.

    The fair estimator (Ferro 2014), E|X - y| - E|X - X'| / 2 over distinct pairs of answers: its expectation does not
    depend on the number of answers. Of a single answer it is the absolute error.
    """
    count = samples.shape[1]
    error = np.abs(samples - truth[:, None, :]).mean(axis=1)
    if count == 1:
        return np.asarray(error.mean(axis=1))
    # The sum over ordered pairs of |x_i - x_j| is a weighted sum of the sorted answers.
    weights = 2 * np.arange(count) - count + 1
    pairs = 2 * np.einsum("nsh,s->nh", np.sort(samples, axis=1), weights) / (count * (count - 1))
    return np.asarray((error - pairs / 2).mean(axis=1))


def walk_deviation(volatility: Floats, horizon: int) -> Floats:
    """Computes the standard deviation of a random walk on each day ahead, (N, H): volatility * sqrt(day).

    Args:
        volatility: (N,) of one day.
        horizon: days ahead.
    """
    return np.asarray(volatility[:, None] * np.sqrt(np.arange(1, horizon + 1)))


def crps_normal(mean: Floats, deviation: Floats, truth: Floats) -> Floats:
    """Computes the CRPS of normal distributions, mean over the days of each window, (N,).

    The closed form (Gneiting and Raftery 2007, equation 21), with z = (y - mean) / deviation: deviation *
    (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)).

    Args:
        mean, deviation, truth: (N, H), in one unit.
    """
    from scipy.stats import norm

    z = (truth - mean) / deviation
    score = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return np.asarray(score.mean(axis=1))


def coverage_normal(mean: Floats, deviation: Floats, truth: Floats, level: float) -> float:
    """Computes the share of closes within the central interval of normal distributions (N, H)."""
    from scipy.stats import norm

    return float((np.abs(truth - mean) <= deviation * norm.ppf((1 + level) / 2)).mean())


def central_interval(samples: Floats, level: float) -> tuple[Floats, Floats]:
    """Computes the ends of the central interval of the answers, (N, H) each.

    They are quantiles of the answers at rank p * (S + 1), as for a new draw from the same distribution; where that lies
    beyond the extreme answers, they are the ends. So of S answers the widest interval covers (S - 1) / (S + 1) at best.
    """
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=1, method="weibull")
    return np.asarray(low), np.asarray(high)


def coverage(samples: Floats, truth: Floats, level: float) -> float:
    """Computes the share of days whose close lies within the central interval of the answers."""
    low, high = central_interval(samples, level)
    return float(((low <= truth) & (truth <= high)).mean())


def ranks(samples: Floats, truth: Floats) -> NDArray[np.float64]:
    """Computes the histogram of where the truth falls among the S answers: S + 1 shares, (S + 1,).

    The sampled form of the probability integral transform: flat where the answers are as spread as what comes, high at
    both ends where they are too sure, at one end where they lean to one side. A close equal to answers counts to equal
    parts for every place it may take among them.
    """
    count = samples.shape[1]
    below = (samples < truth[:, None, :]).sum(axis=1).ravel()
    equal = (samples == truth[:, None, :]).sum(axis=1).ravel()
    shares = np.zeros(count + 1)
    for low, ties in zip(below, equal, strict=True):
        shares[low : low + ties + 1] += 1.0 / (ties + 1)
    return np.asarray(shares / len(below))


class Information(NamedTuple):
    """Information coefficients; None where too few dates have enough windows."""

    ic: float | None
    """Pearson's correlation."""
    rank_ic: float | None
    """Spearman's."""


def information(
    forecast: Floats, truth: Floats, dates: NDArray[np.int64], *, least: int = 3, least_dates: int = 10
) -> Information:
    """Averages over dates the correlation, across tickers, of forecast and realised moves to the last day.

    Args:
        forecast, truth: (N, H), percent of the last close.
        dates: (N,) which date each window belongs to.
        least: windows that a date needs to count. A date on which all forecasts are equal counts as 0.
        least_dates: such dates that are needed: a correlation of three numbers says nothing, ten of them little.
    """
    from scipy.stats import pearsonr, spearmanr

    found = []
    for date in np.unique(dates):
        of = dates == date
        if of.sum() < least:
            continue
        ahead, came = forecast[of, -1], truth[of, -1]
        constant = min(np.ptp(ahead), np.ptp(came)) < 1e-9
        found.append((0.0, 0.0) if constant else tuple(float(r(ahead, came).statistic) for r in (pearsonr, spearmanr)))
    if len(found) < least_dates:
        return Information(None, None)
    return Information(*(float(value) for value in np.mean(found, axis=0)))


def swapped(samples: Floats, volatility: Floats, shift: int) -> Floats:
    """Gives each window's answers to another window, as moves in its volatility: (N, S, H).

    A model that looks at its input loses what skill it has; one that does not keeps it.

    Args:
        samples: answers in percent of the last close.
        volatility: (N,) daily volatility of each window in the same unit.
        shift: how many windows further the answers go.
    """
    moves = (samples - 100.0) / volatility[:, None, None]
    return np.asarray(100.0 + np.roll(moves, shift, axis=0) * volatility[:, None, None])
