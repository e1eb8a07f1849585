"""CRPS against an independent library, and the random walk that it is compared with."""

import numpy as np
import pytest
import scoringrules

from stonk_pipeline.evaluation import distribution


@pytest.mark.parametrize("answers", [2, 3, 8, 64])
def test_crps_equals_the_fair_estimator_of_scoringrules(answers):
    rng = np.random.default_rng(answers)
    samples, truth = rng.normal(100, 2, (50, answers, 4)).round(1), rng.normal(100, 3, (50, 4)).round(1)
    expected = scoringrules.crps_ensemble(truth, np.moveaxis(samples, 1, -1), estimator="fair").mean(axis=1)
    assert distribution.crps(samples, truth) == pytest.approx(expected)


def test_crps_of_a_normal_equals_scoringrules():
    rng = np.random.default_rng(0)
    mean, deviation, truth = rng.normal(100, 2, (50, 4)), rng.uniform(0.1, 4, (50, 4)), rng.normal(100, 5, (50, 4))
    expected = scoringrules.crps_normal(truth, mean, deviation).mean(axis=1)
    assert distribution.crps_normal(mean, deviation, truth) == pytest.approx(expected)


def test_many_paths_of_a_random_walk_score_as_its_closed_form():
    """A model whose answers are a random walk of known volatility has no CRPS skill; over persistence it had 26 %."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 1.0, (4000, 9, 10)).cumsum(axis=2)
    truth, samples = 100 + steps[:, 0], 100 + steps[:, 1:]
    deviation = distribution.walk_deviation(np.ones(4000), 10)
    walk = distribution.crps_normal(np.full((4000, 10), 100.0), deviation, truth).mean()
    assert distribution.crps(samples, truth).mean() == pytest.approx(walk, rel=0.02)
    assert 1 - distribution.crps(samples, truth).mean() / np.abs(truth - 100).mean() > 0.2
    for level in distribution.LEVELS:
        assert distribution.coverage_normal(np.full((4000, 10), 100.0), deviation, truth, level) == pytest.approx(
            level, abs=0.02
        )
