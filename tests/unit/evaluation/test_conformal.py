"""Calibration against plain loops, what it promises, and that it sees nothing that was not known yet."""

import math

import numpy as np
import pytest

from stonk_pipeline.contracts.forecast.scores.calibrate import calibrate, calibrate_answers
from stonk_pipeline.evaluation import conformal, distribution
from stonk_pipeline.evaluation.quantiles import LEVELS, crps_of, crps_of_all
from stonk_pipeline.schema import Forecast, Target, Window


def test_radius_equals_plain_loops():
    rng = np.random.default_rng(0)
    median, truth, size = rng.normal(100, 1, (41, 3)), rng.normal(100, 2, (41, 3)), rng.uniform(0.5, 2.0, 41)
    errors = conformal.relative_errors(median, truth, size)
    for level in conformal.NOMINAL:
        found = conformal.radius(errors, level)
        for day in range(3):
            far = sorted(abs(truth[i, day] - median[i, day]) / size[i] for i in range(41))
            assert found[day] == pytest.approx(far[min(math.ceil(round(42 * level, 6)), 41) - 1])


def test_radius_of_few_windows_is_the_largest_error():
    assert conformal.radius(np.array([[1.0], [0.5], [3.0]]), 0.95).tolist() == [3.0]


def test_calibrated_intervals_cover_what_they_say_where_windows_are_exchangeable():
    rng = np.random.default_rng(1)
    size = rng.uniform(0.5, 2.0, 8000)
    truth = 100 + size[:, None] * rng.standard_t(3, (8000, 2))
    median = 100 + size[:, None] * rng.normal(0, 0.3, (8000, 2))
    errors = conformal.relative_errors(median[:4000], truth[:4000], size[:4000])
    radii = {level: conformal.radius(errors, level) for level in conformal.NOMINAL}
    ends = conformal.intervals(median[4000:], size[4000:], radii)
    for level in conformal.NOMINAL:
        assert conformal.coverage(ends[level], truth[4000:]) == pytest.approx(level, abs=0.02)


def test_rolling_radii_rest_on_what_had_ended_by_the_decision_date():
    days = np.array([f"2024-01-{day:02d}" for day in range(1, 21)])
    known = conformal.Known(np.ones((9, 1)), np.array(["2023-12-01"] * 9), np.array(["2023-12-15"] * 9))
    errors = np.linspace(2, 3, 10)[:, None]
    asked = conformal.Known(errors, days[:10], days[5:15])
    found = conformal.rolling(known, asked, (0.9,))[0.9][:, 0]
    for place in range(10):
        so_far = [1.0] * 9 + [errors[i, 0] for i in range(10) if days[5 + i] <= days[place]]
        assert found[place] == sorted(so_far)[min(math.ceil((len(so_far) + 1) * 0.9), len(so_far)) - 1]
    assert found[4] == 1.0
    assert found[5] == 2.0, "an outcome counts from the day on whose close it ended"


def test_quantiles_of_intervals_rise_and_have_the_median_in_the_middle():
    radii = {level: np.array([2 * level, 3 * level]) for level in conformal.NOMINAL}
    ends = conformal.intervals(np.array([[100.0, 101.0]]), np.array([0.5]), radii)
    found = conformal.quantiles(ends)[:, 0]
    assert found.shape == (len(LEVELS), 2)
    assert (np.diff(found, axis=0) > 0).all()
    assert found[LEVELS.index(0.5)].tolist() == [100.0, 101.0]
    assert found[LEVELS.index(0.05)].tolist() == pytest.approx([100 - 0.9, 101 - 1.35])
    assert found[LEVELS.index(0.75)].tolist() == pytest.approx([100 + 0.5, 101 + 0.75])


def test_crps_of_all_is_the_mean_of_the_single_ones():
    rng = np.random.default_rng(2)
    quantiles, truth = np.sort(rng.normal(0, 1, (len(LEVELS), 4, 3)), axis=0), rng.normal(0, 1, (4, 3))
    singles = [crps_of(quantiles[:, i, j], truth[i, j]) for i in range(4) for j in range(3)]
    assert crps_of_all(quantiles, truth) == pytest.approx(np.mean(singles))


def part(first, count, seed):
    """One window a day, whose two closes come on the two days after."""
    rng = np.random.default_rng(seed)
    day = [
        f"{2020 + (first + i) // 300}-{1 + (first + i) % 300 // 28:02d}-{1 + (first + i) % 28:02d}"
        for i in range(count + 2)
    ]
    windows = [Window("A", day[i], (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0) for i in range(count)]
    targets = [Target(day[i + 1], day[i + 2], tuple(rng.normal(100, 1, 2))) for i in range(count)]
    return (windows, targets), rng.normal(100, 0.5, (count, 2))


def test_calibrate_does_not_see_what_came_later():
    calibration, known = part(0, 60, 0)
    (windows, targets), median = part(80, 30, 1)
    expected = calibrate(calibration, (windows, targets), known, median).intervals
    poisoned = [*targets[:10], *(Target(one.start, one.end, (1e6, -1e6)) for one in targets[10:])]
    found = calibrate(calibration, (windows, poisoned), known, median).intervals
    for level in conformal.NOMINAL:
        assert found[level][:12].tolist() == expected[level][:12].tolist()
        assert found[level][-1].tolist() != expected[level][-1].tolist() or level < 0.3, "it learns from what ended"


def test_kept_calibration_rests_on_all_outcomes_and_tells_what_was_measured():
    calibration, known = part(0, 60, 0)
    test, median = part(80, 30, 1)
    found = calibrate(calibration, test, known, median)
    truth = np.array([target.values for target in test[1]])
    assert (found.kept.windows, found.kept.tested, found.kept.until) == (90, 30, test[1][-1].end)
    for level in distribution.LEVELS:
        assert found.kept.coverage[str(level)] == conformal.coverage(found.intervals[level], truth)
    errors = np.vstack([np.abs(np.array([t.values for t in calibration[1]]) - known), np.abs(truth - median)])
    assert found.kept.radii["0.8"] == pytest.approx(conformal.radius(errors, 0.8))


def test_an_unreadable_answer_is_calibrated_as_persistence_which_is_what_it_counts_as():
    calibration, _ = part(0, 40, 0)
    test, _ = part(60, 20, 1)
    flat = [[Forecast((100.0, 100.0))] * 3] * 40, [[Forecast((100.0, 100.0))] * 3] * 20
    found = calibrate_answers(calibration, test, {"base": flat})
    assert found["base"].kept == found["random_walk"].kept
