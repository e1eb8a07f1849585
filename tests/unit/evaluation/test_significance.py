"""Intervals and the Diebold-Mariano test against independent implementations and simulated data."""

import numpy as np
import pytest
from scipy import stats

from stonk_pipeline.evaluation.significance import (
    SPANS,
    cluster,
    confidence_set,
    diebold_mariano,
    skill_intervals,
    target_span,
    widening,
)


def overlapping(rng: np.random.Generator, count: int, horizon: int) -> np.ndarray:
    """Series whose neighbours share `horizon - 1` of `horizon` shocks, as overlapping targets do."""
    shocks = rng.normal(0.0, 1.0, count + horizon - 1)
    return np.convolve(shocks, np.ones(horizon) / np.sqrt(horizon), mode="valid")


def test_cluster_sums_and_averages_by_date():
    clusters = cluster(days := ["2024-01-03", "2024-01-02", "2024-01-03"], days)
    assert clusters.dates == ["2024-01-02", "2024-01-03"]
    assert clusters.sums(np.array([[1.0], [5.0], [2.0]])).tolist() == [[5.0], [3.0]]
    assert clusters.shares(np.array([1.0, 5.0, 2.0])).tolist() == pytest.approx([10 / 3, 2.0])
    assert clusters.shares(np.array([1.0, 5.0, 2.0])).mean() == pytest.approx(8 / 3)


def test_target_span_is_the_horizon_for_daily_windows_and_less_for_sparse_ones():
    days = [f"2024-01-{day:02d}" for day in range(1, 29)]
    assert target_span(days[:-5], days[5:]) == 5
    assert target_span(days[:-5:3], days[5::3]) == 2
    assert target_span(days[:-5:7], days[5::7]) == 1


def test_skill_intervals_follow_the_seed():
    rng = np.random.default_rng(0)
    losses, reference = rng.gamma(2, 1, (80, 2)), rng.gamma(2, 1, (80, 1))
    settings = {"span": 5, "resamples": 200, "confidence": 0.95}
    first = skill_intervals(losses, reference, seed=1, **settings)
    again = skill_intervals(losses, reference, seed=1, **settings)
    other = skill_intervals(losses, reference, seed=2, **settings)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first[0] < first[1]).all()


def test_skill_intervals_of_persistence_itself_are_a_point_at_zero():
    loss = np.random.default_rng(0).gamma(2, 1, (50, 1))
    low, high = skill_intervals(loss, loss, span=5, resamples=200, confidence=0.95, seed=0)
    assert low[0] == high[0] == 0.0


def test_skill_intervals_cover_the_truth_despite_overlapping_windows():
    rng, horizon, inside, trials = np.random.default_rng(3), 10, 0, 200
    for trial in range(trials):
        base = np.abs(overlapping(rng, 280, horizon)) + 0.5
        loss = 0.9 * base + 0.2 * overlapping(rng, 280, horizon)
        low, high = skill_intervals(
            loss[:, None], base[:, None], span=horizon, resamples=200, confidence=0.95, seed=trial
        )
        inside += bool(low[0] <= 0.1 <= high[0])
    assert inside / trials >= 0.91


@pytest.mark.parametrize("span", [1, 4, 10])
def test_widening_undoes_what_blocks_leave_out_of_the_variance_of_overlapping_targets(span):
    truth = sum(1 - abs(lag) / span for lag in range(-span, span + 1))
    found = sum((1 - abs(lag) / (SPANS * span)) * (1 - abs(lag) / span) for lag in range(-span, span + 1))
    student = stats.t.ppf(0.975, 8.0) / stats.norm.ppf(0.975)
    assert widening(9.0, span, 0.95) == pytest.approx(student * (truth / found) ** 0.5)


def reference_test(difference: list[float], steps: int) -> tuple[float, float]:
    """Diebold-Mariano with Bartlett weights and the Harvey-Leybourne-Newbold factor, in plain loops."""
    count = len(difference)
    mean = sum(difference) / count
    variance = 0.0
    bandwidth = SPANS * steps
    for lag in range(-(bandwidth - 1), bandwidth):
        covariance = 0.0
        for t in range(abs(lag), count):
            covariance += (difference[t] - mean) * (difference[t - abs(lag)] - mean) / count
        variance += (1 - abs(lag) / bandwidth) * covariance
    factor = ((count + 1 - 2 * steps + steps * (steps - 1) / count) / count) ** 0.5
    statistic = factor * mean / (variance / count) ** 0.5
    return statistic, 2 * (1 - stats.t.cdf(abs(statistic), count - 1))


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_diebold_mariano_equals_a_plain_computation(steps):
    rng = np.random.default_rng(steps)
    first, second = rng.gamma(2, 1, 60), rng.gamma(2, 1.2, 60)
    result = diebold_mariano(first, second, steps)
    statistic, p_value = reference_test(list(first - second), steps)
    assert result.statistic == pytest.approx(statistic)
    assert result.p_value == pytest.approx(p_value)


def test_diebold_mariano_of_equal_forecasts_finds_nothing():
    loss = np.arange(20.0)
    assert diebold_mariano(loss, loss, 5) == (0.0, 1.0)
    assert diebold_mariano(loss, loss - 1e-8, 5) == (0.0, 1.0)  # better on every date, and by nothing
    assert diebold_mariano(loss[:2], loss[:2] + 1, 5).p_value == 1.0


def test_confidence_set_holds_equals_and_drops_the_worse():
    rng = np.random.default_rng(0)
    base = rng.gamma(2.0, 1.0, (400, 1))
    losses = np.hstack(
        [base + rng.normal(0, 0.3, (400, 1)), base + 0.5, base + rng.normal(0, 0.3, (400, 1)), base + 0.5]
    )
    found = confidence_set(losses, block=5, resamples=500, seed=0)
    assert (found[[0, 2]] > 0.05).all()
    assert (found[[1, 3]] < 0.05).all()
    assert found[1] == found[3]  # equal columns are one forecaster
    assert confidence_set(np.ones((10, 3)), block=2, resamples=100, seed=0).tolist() == [1.0, 1.0, 1.0]
