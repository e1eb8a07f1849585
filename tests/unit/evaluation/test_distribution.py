"""Scores of distributions against plain definitions."""

import itertools

import numpy as np
import pytest

from stonk_pipeline.evaluation import distribution


def test_crps_equals_its_definition_over_pairs():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(100, 2, (3, 5, 4)), rng.normal(100, 2, (3, 4))
    for n in range(3):
        days = []
        for day in range(4):
            values = samples[n, :, day]
            error = np.mean([abs(value - truth[n, day]) for value in values])
            pairs = np.mean([abs(one - other) for one, other in itertools.permutations(values, 2)])
            days.append(error - pairs / 2)
        assert distribution.crps(samples, truth)[n] == pytest.approx(np.mean(days))


def test_crps_of_one_answer_is_its_absolute_error():
    samples, truth = np.array([[[101.0, 103.0]]]), np.array([[100.0, 100.0]])
    assert distribution.crps(samples, truth).tolist() == [2.0]


def test_crps_approaches_the_closed_form_of_a_normal_distribution():
    # Gneiting and Raftery 2007, equation 21, for a standard normal forecast and an outcome of 0.7.
    from scipy.stats import norm

    expected = 0.7 * (2 * norm.cdf(0.7) - 1) + 2 * norm.pdf(0.7) - 1 / np.sqrt(np.pi)
    samples = np.random.default_rng(1).normal(0, 1, (1, 20_000, 1))
    assert distribution.crps(samples, np.array([[0.7]]))[0] == pytest.approx(expected, abs=0.01)


def test_crps_of_few_answers_is_right_on_average():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 1, (40_000, 1))
    few = distribution.crps(rng.normal(0, 1, (40_000, 2, 1)), truth).mean()
    many = distribution.crps(rng.normal(0, 1, (40_000, 30, 1)), truth).mean()
    assert few == pytest.approx(many, abs=0.02)


@pytest.mark.parametrize("level", distribution.LEVELS)
def test_coverage_is_nominal_for_a_true_distribution_as_far_as_the_answers_reach(level):
    rng = np.random.default_rng(3)
    samples, truth = rng.normal(0, 1, (4000, 19, 3)), rng.normal(0, 1, (4000, 3))
    assert distribution.coverage(samples, truth, level) == pytest.approx(min(level, 18 / 20), abs=0.015)


def test_coverage_of_few_answers_ends_at_their_extremes():
    rng = np.random.default_rng(4)
    samples, truth = rng.normal(0, 1, (4000, 3, 3)), rng.normal(0, 1, (4000, 3))
    assert distribution.coverage(samples, truth, 0.95) == pytest.approx(2 / 4, abs=0.02)


def test_ranks_are_flat_for_a_true_distribution_and_split_ties():
    rng = np.random.default_rng(5)
    shares = distribution.ranks(rng.normal(0, 1, (5000, 4, 2)), rng.normal(0, 1, (5000, 2)))
    assert shares == pytest.approx(np.full(5, 0.2), abs=0.02)
    assert distribution.ranks(np.array([[[1.0], [1.0]]]), np.array([[1.0]])) == pytest.approx([1 / 3] * 3)
    assert distribution.ranks(np.array([[[1.0], [2.0]]]), np.array([[9.0]])) == pytest.approx([0, 0, 1])


def test_rank_ic_averages_dates_with_enough_windows():
    forecast = np.array([[101.0], [102.0], [103.0], [101.0], [100.0]])
    truth = np.array([[10.0], [20.0], [15.0], [9.0], [9.5]])
    dates = np.array([0, 0, 0, 1, 1])
    assert distribution.information(forecast, truth, dates, least_dates=1).rank_ic == pytest.approx(0.5)
    both = distribution.information(forecast, truth, dates, least=2, least_dates=2)
    assert both.rank_ic == pytest.approx((0.5 - 1.0) / 2)
    assert distribution.information(forecast, truth, dates, least=4, least_dates=1) == (None, None)
    assert distribution.information(forecast, truth, dates) == (None, None)  # one date is too few
    assert distribution.information(np.full((3, 1), 100.0), truth[:3], dates[:3], least_dates=1) == (0.0, 0.0)


def test_swapped_moves_answers_in_volatilities():
    samples = np.array([[[101.0]], [[104.0]], [[100.0]]])
    given = distribution.swapped(samples, np.array([1.0, 2.0, 4.0]), 1)
    assert given.ravel().tolist() == [100.0, 102.0, 108.0]
