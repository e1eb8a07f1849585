"""Scores against plain loops, baselines against closed forms."""

import numpy as np
import pytest

from stonk_pipeline.evaluation import baselines, metrics
from stonk_pipeline.schema import Forecast, Unreadable, Window


def window(context=(99.0, 101.0, 100.0), *, stock="AAA", date="2024-01-02", offset=0.0, unit=1.0) -> Window:
    return Window(stock, date, tuple(context), {}, {}, 1.0, offset, unit)


def test_percent_scale_leaves_the_rebased_scale_alone():
    offset, unit = metrics.percent_scale([window(unit=0.37)])
    assert offset[0, 0] == 0.0
    assert unit[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(("offset", "unit", "values"), [(0.0, 1.0, (50.0, 52.0)), (48.0, 4.0, (0.5, 1.0))])
def test_percent_scale_reads_raw_and_standardised_prices_as_percent_of_the_last_close(offset, unit, values):
    given = window((49.0, values[0]), offset=offset, unit=unit)
    add, times = metrics.percent_scale([given])
    assert (add + times * np.array([values]))[0] == pytest.approx([100.0, 104.0])


def test_fill_unreadable_counts_an_unreadable_answer_as_persistence():
    flat = baselines.persistence([window()], 2)
    values, readable = metrics.fill_unreadable([[Forecast((101.0, 102.0)), Unreadable("no answer")]], flat)
    assert values.tolist() == [[[101.0, 102.0], [100.0, 100.0]]]
    assert readable.tolist() == [[True, False]]


def test_median_forecast_is_taken_day_by_day():
    samples = np.array([[[1.0, 9.0], [2.0, 8.0], [6.0, 7.0]]])
    assert metrics.median_forecast(samples).tolist() == [[2.0, 8.0]]


def test_errors_equal_plain_loops():
    rng = np.random.default_rng(1)
    samples, truth = rng.normal(100, 2, (5, 3, 4)), rng.normal(100, 2, (5, 4))
    for i in range(5):
        absolute = [[abs(samples[i, s, h] - truth[i, h]) for h in range(4)] for s in range(3)]
        squared = [(samples[i, 0, h] - truth[i, h]) ** 2 for h in range(4)]
        assert metrics.mae(samples[:, 0], truth)[i] == pytest.approx(sum(absolute[0]) / 4)
        assert metrics.mse(samples[:, 0], truth)[i] == pytest.approx(sum(squared) / 4)
        assert metrics.single_mae(samples, truth)[i] == pytest.approx(sum(map(sum, absolute)) / 12)


def test_skill_is_a_ratio_of_means():
    loss, reference = np.array([1.0, 4.0]), np.array([0.1, 9.9])
    total = base = 0.0
    for own, other in zip(loss, reference, strict=True):
        total, base = total + own, base + other
    assert metrics.skill(loss, reference) == pytest.approx(1 - total / base)


def test_skill_of_persistence_against_itself_is_zero_even_where_nothing_moved():
    assert metrics.skill(np.zeros(3), np.zeros(3)) == 0.0
    assert np.isfinite(metrics.skill(np.ones(3), np.zeros(3)))


def test_direction_accuracy_counts_no_move_as_a_coin():
    truth = np.array([[101.0], [99.0], [103.0], [98.0]])
    assert metrics.direction_accuracy(np.full((4, 1), 100.0), truth) == 0.5
    assert metrics.direction_accuracy(np.array([[101.0], [98.0], [99.0], [100.0]]), truth) == pytest.approx(2.5 / 4)
    assert metrics.direction_accuracy(np.full((4, 1), 101.0), truth) == metrics.up_share(truth)


def test_straight_lines_sees_through_rounding_and_spares_paths():
    days = np.arange(1, 11)
    lines = np.round(np.stack([100 + slope * days for slope in (0.0, 0.123, -1.0, 0.337)]), 2)
    walks = np.round(100 + np.random.default_rng(2).normal(0, 1.5, (50, 10)).cumsum(axis=1), 2)
    assert metrics.straight_lines(lines, 2).all()
    assert not metrics.straight_lines(walks, 2).any()
    assert not metrics.straight_lines(lines[:, :2], 2).any()
