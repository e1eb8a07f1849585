"""Calibration against plain loops, what it promises, and that it sees validation windows alone."""

import math

import numpy as np
import pytest

from stonk_pipeline.contracts.forecast.scores.stage import calibrate
from stonk_pipeline.evaluation import conformal, distribution
from stonk_pipeline.schema import Forecast, Target, Window


def weibull(values, p):
    """The quantile at rank p * (S + 1), between the extremes, by hand."""
    ordered, rank = sorted(values), p * (len(values) + 1)
    if rank <= 1 or rank >= len(ordered):
        return ordered[0] if rank <= 1 else ordered[-1]
    below = int(rank)
    return ordered[below - 1] + (rank - below) * (ordered[below] - ordered[below - 1])


def test_margins_equal_plain_loops():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(100, 1, (41, 6, 3)), rng.normal(100, 2, (41, 3))
    size = rng.uniform(0.5, 2.0, 41)
    found = conformal.margins(samples, truth, size)
    for level in distribution.LEVELS:
        for day in range(3):
            outside = []
            for window in range(41):
                low = weibull(samples[window, :, day], (1 - level) / 2)
                high = weibull(samples[window, :, day], (1 + level) / 2)
                outside.append(max(low - truth[window, day], truth[window, day] - high) / size[window])
            place = math.ceil(round(42 * level, 6))
            assert found[level][day] == pytest.approx(sorted(outside)[min(place, 41) - 1])


def test_margins_of_few_windows_are_the_largest_distance():
    samples, truth = np.full((3, 2, 1), 100.0), np.array([[101.0], [99.5], [103.0]])
    assert conformal.margins(samples, truth, np.ones(3))[0.95].tolist() == [3.0]


def test_calibrated_intervals_cover_what_they_say_where_windows_are_exchangeable():
    rng = np.random.default_rng(1)
    size = rng.uniform(0.5, 2.0, 8000)
    truth = 100 + size[:, None] * rng.normal(0, 1, (8000, 2))
    for spread in (0.3, 3.0):  # far too sure, and far too unsure
        samples = 100 + size[:, None, None] * rng.normal(0, spread, (8000, 8, 2))
        known, asked = slice(0, 4000), slice(4000, 8000)
        by_level = conformal.margins(samples[known], truth[known], size[known])
        ends = conformal.calibrated(samples[asked], size[asked], by_level)
        for level in distribution.LEVELS:
            assert conformal.coverage(ends[level], truth[asked]) == pytest.approx(level, abs=0.02)
        raw = distribution.coverage(samples[asked], truth[asked], 0.8)
        assert raw < 0.5 if spread < 1 else raw > 0.9


def test_calibrated_intervals_never_turn_round():
    samples = np.array([[[99.0], [101.0]]])
    ends = conformal.calibrated(samples, np.ones(1), {0.8: np.array([-5.0])})[0.8]
    assert ends.tolist() == [[[100.0], [100.0]]]


def windows_and_answers(count, seed):
    rng = np.random.default_rng(seed)
    windows = [Window("A", str(day), (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0) for day in range(count)]
    targets = [Target("", "", tuple(rng.normal(100, 1, 2))) for _ in range(count)]
    answers = [[Forecast(tuple(rng.normal(100, 0.5, 2))) for _ in range(4)] for _ in range(count)]
    return (windows, targets), answers


def test_calibrate_does_not_see_the_test_windows():
    """The margin of a window follows from validation; poisoning other test windows or any outcome changes nothing."""
    calibration, known = windows_and_answers(60, 0)
    test, answers = windows_and_answers(30, 1)
    expected = calibrate(calibration, known, test[0], answers)
    poisoned = [answers[0], *[[Forecast((1e6, 1e6))] * 4 for _ in answers[1:]]]
    found = calibrate(calibration, known, test[0], poisoned)
    for level in distribution.LEVELS:
        assert found[level][0].tolist() == expected[level][0].tolist()
    worse = [Target("", "", tuple(2 * value for value in target.values)) for target in calibration[1]]
    assert calibrate((calibration[0], worse), known, test[0], answers)[0.8][0].tolist() != expected[0.8][0].tolist()
