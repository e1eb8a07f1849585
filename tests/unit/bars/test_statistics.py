"""Statistics of windows against the same statistics computed one window at a time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from preprocessing.statistics import window_statistics
from stonk_pipeline.schema import STATISTICS


def one(*closes: float) -> dict[str, float]:
    return {name: float(value[0]) for name, value in window_statistics(np.array([closes])).items()}


def test_window_statistics_has_the_names_of_the_contract_in_its_order():
    values = window_statistics(np.random.default_rng(0).normal(size=(7, 10)))
    assert tuple(values) == STATISTICS
    assert all(value.shape == (7,) for value in values.values())


def test_window_statistics_of_a_small_example():
    values = one(101.0, 99.0, 103.0, 102.0, 100.0)
    expected = {
        "min": 99.0,
        "min_timestep": 2.0,
        "max": 103.0,
        "max_timestep": 3.0,
        "mean": 101.0,
        "median": 101.0,
        "median_timestep": 1.0,
        "trend_slope": 0.1,
        "trend_strength": 0.01,
        "trend_direction": 1.0,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_window_statistics_equals_numpy_and_pandas_for_each_window():
    closes = np.random.default_rng(3).normal(100, 3, size=(40, 10))
    values = window_statistics(closes)
    time = np.arange(10)
    for row, window in enumerate(closes):
        assert values["trend_slope"][row] == pytest.approx(np.polyfit(time, window, 1)[0])
        assert values["trend_strength"][row] == pytest.approx(np.corrcoef(time, window)[0, 1] ** 2)
        assert values["trend_direction"][row] == np.sign(np.polyfit(time, window, 1)[0])
        for lag in (1, 2, 3):
            assert values[f"lag_{lag}"][row] == pytest.approx(pd.Series(window).autocorr(lag))


def test_window_statistics_of_a_straight_line():
    rising, falling = one(*np.arange(10.0)), one(*-np.arange(10.0))
    assert (rising["trend_slope"], rising["trend_strength"], rising["trend_direction"]) == pytest.approx((1, 1, 1))
    assert (falling["trend_slope"], falling["trend_strength"], falling["trend_direction"]) == pytest.approx((-1, 1, -1))
    assert [rising[f"lag_{k}"] for k in (1, 2, 3)] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("price", [0.1, 33.3, 100.0, 1e-9])
def test_window_statistics_of_constant_closes(price):
    values = one(*[price] * 10)
    assert (values["trend_slope"], values["trend_strength"], values["trend_direction"]) == (0, 0, 0)
    assert all(np.isnan(values[f"lag_{k}"]) for k in (1, 2, 3))
    assert (values["min_timestep"], values["max_timestep"], values["median_timestep"]) == (1, 1, 1)


def test_window_statistics_finds_no_trend_in_a_symmetric_window():
    # In floating point its covariance with time is 1e-16, not zero.
    values = one(95.3, 96.2, 101.7, 101.5, 101.2, 101.2, 101.5, 101.7, 96.2, 95.3)
    assert (values["trend_slope"], values["trend_strength"], values["trend_direction"]) == (0, 0, 0)


@given(arrays(np.float64, (3, 10), elements=st.floats(1e-3, 1e6)))
def test_window_statistics_stays_within_its_bounds(closes):
    values = window_statistics(closes)
    assert ((values["trend_strength"] >= 0) & (values["trend_strength"] <= 1)).all()
    assert np.isin(values["trend_direction"], (-1, 0, 1)).all()
    assert (values["min"] <= values["median"]).all()
    assert (values["median"] <= values["max"]).all()
    for name in ("min_timestep", "max_timestep", "median_timestep"):
        assert ((values[name] >= 1) & (values[name] <= 10)).all()
    for lag in (1, 2, 3):
        assert (np.isnan(values[f"lag_{lag}"]) | (np.abs(values[f"lag_{lag}"]) <= 1)).all()


@given(arrays(np.float64, (6, 10), elements=st.floats(1.0, 1e3)), st.integers(0, 5))
def test_window_statistics_of_a_window_does_not_depend_on_its_neighbours(closes, row):
    alone, together = window_statistics(closes[row : row + 1]), window_statistics(closes)
    for name in STATISTICS:
        np.testing.assert_array_equal(alone[name][0], together[name][row], err_msg=name)
