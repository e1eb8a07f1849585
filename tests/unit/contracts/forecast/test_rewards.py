"""Rewards: points computed by hand, and the properties that keep a policy honest."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonk_pipeline.contracts.forecast.question import REASONS, answer, parse
from stonk_pipeline.contracts.forecast.rewards import COMPONENTS, Outcome, direction, form, outcome, skill, trading
from stonk_pipeline.contracts.forecast.sections import RewardWeights
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from stonk_pipeline.training.lesson import Reward
from tests.marking import forecast_lesson, marks_of, spelled

TRUTH = Outcome(last=100.0, values=(101.0, 102.0), volatility=1.0, cost=0.05)
"""Up by 2 in two days; the spread is sqrt(2), persistence has an error of 1.5."""
ROOT = math.sqrt(2)

moves = st.lists(st.floats(-20, 20), min_size=3, max_size=3).map(lambda steps: tuple(100 + step for step in steps))
outcomes = st.builds(Outcome, last=st.just(100.0), values=moves, volatility=st.floats(0.05, 5), cost=st.floats(0, 0.5))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((100, 100), 0.0),  # persistence
        ((101, 102), 1.0),  # perfect: 1.5 / sqrt(2), clipped
        ((101, 101), 1 / ROOT),  # errors 0 and 1: half a point is left of 1.5
        ((100, 101), 0.5 / ROOT),
        ((102, 104), 0.0),  # twice too far is as bad as nothing
        ((99.5, 99.5), -0.5 / ROOT),
        ((99, 98), -1.0),  # the mirror image: -1.5 / sqrt(2), clipped
        ((1e9, 1e9), -1.0),
    ],
)
def test_skill_is_the_gain_over_persistence_in_volatility_units(values, expected):
    assert skill(Forecast(values), TRUTH) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("forecast", "came", "expected"),
    [
        ((99, 101), (99, 103), 1.0),
        ((101, 99), (99, 103), -1.0),  # the last day counts, not the first
        ((99, 99), (101, 98), 1.0),
        ((101, 100), (99, 103), 0.0),  # a flat forecast
        ((99, 101), (103, 100), 0.0),  # nothing moved
    ],
)
def test_direction_compares_the_signs_of_the_moves_to_the_last_day(forecast, came, expected):
    assert direction(Forecast(forecast), Outcome(100.0, came, 1.0, 0.0)) == expected


@pytest.mark.parametrize(
    ("last_day", "came", "cost", "expected"),
    [
        (100, 102, 0.05, 0.0),  # stays out and pays nothing
        (100 + ROOT, 102, 0.0, 2 / (2 * ROOT)),  # one share
        (150, 102, 0.0, 2 / (2 * ROOT)),  # no more than one share
        (100 + ROOT, 102, 0.05, 1.9 / (2 * ROOT)),  # the cost is paid twice
        (100 + ROOT / 2, 102, 0.05, 0.95 / (2 * ROOT)),  # half a share, half the cost
        (100 - ROOT, 102, 0.05, -2.1 / (2 * ROOT)),  # short of what rose
        (100 - ROOT, 98, 0.05, 1.9 / (2 * ROOT)),
        (100 + ROOT, 100, 0.05, -0.1 / (2 * ROOT)),  # nothing moved, costs are left
        (100 + ROOT, 200, 0.0, 1.0),  # a jump counts no more than two standard deviations
    ],
)
def test_trading_is_the_profit_of_holding_to_the_last_day(last_day, came, cost, expected):
    truth = Outcome(100.0, (100.0, came), 1.0, cost)
    assert trading(Forecast((100.0, last_day)), truth) == pytest.approx(expected)


def test_form_pays_for_any_readable_answer():
    assert form(Forecast((1.0, 1e9)), TRUTH) == 1.0


def test_components_are_the_weights_of_the_settings():
    assert list(COMPONENTS) == list(RewardWeights.model_fields)


@pytest.mark.parametrize("name", COMPONENTS)
@given(values=moves, truth=outcomes)
def test_components_stay_within_minus_one_and_one(name, values, truth):
    assert -1.0 <= COMPONENTS[name](Forecast(values), truth) <= 1.0


@pytest.mark.parametrize("name", COMPONENTS)
@given(values=moves, truth=outcomes, reason=st.sampled_from(sorted(REASONS)))
def test_components_give_an_unreadable_answer_their_worst(name, values, truth, reason):
    unreadable = COMPONENTS[name](Unreadable(reason), truth)
    assert unreadable == -1.0
    assert unreadable <= COMPONENTS[name](Forecast(values), truth)


@given(truth=outcomes)
def test_skill_of_persistence_is_zero(truth):
    assert skill(Forecast((truth.last,) * 3), truth) == 0.0


@given(truth=outcomes, others=st.lists(moves, min_size=1, max_size=20))
def test_skill_of_the_perfect_forecast_is_the_best(truth, others):
    perfect = skill(Forecast(truth.values), truth)
    assert all(skill(Forecast(values), truth) <= perfect for values in others)


@given(truth=outcomes, one=moves, other=moves)
def test_skill_falls_with_the_error(truth, one, other):
    def error(values):
        return sum(abs(a - b) for a, b in zip(values, truth.values, strict=True))

    good, bad = sorted((one, other), key=error)
    assert skill(Forecast(good), truth) >= skill(Forecast(bad), truth) - 1e-12


@given(truth=outcomes, shares=st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_skill_is_linear_in_the_error_of_forecasts_within_one_spread(truth, shares):
    """A forecast that is no further from the last close than one spread is never clipped, whatever comes."""
    values = tuple(truth.last + share * truth.spread for share in shares)
    flat = np.abs(np.subtract(truth.last, truth.values)).mean()
    own = np.abs(np.subtract(values, truth.values)).mean()
    assert skill(Forecast(values), truth) == pytest.approx((flat - own) / truth.spread, abs=1e-9)


def best_constant(reward, outcomes, candidates):
    """The candidate move with the highest mean reward over all outcomes."""
    return max(candidates, key=lambda move: sum(reward(100 + move, 100 + came) for came in outcomes))


def test_skill_is_best_on_average_for_the_median_of_a_skewed_distribution():
    rng = np.random.default_rng(3)
    outcomes = 0.4 * rng.lognormal(sigma=1.2, size=1001) - 0.2
    candidates = np.linspace(-1, 1, 81)
    median, mean = np.median(outcomes), outcomes.mean()
    assert mean - median > 0.3  # skewed enough to tell them apart

    def rewarded(values, came):
        return skill(Forecast((values,)), Outcome(100.0, (came,), 1.0, 0.0))

    def relative(values, came):
        return 1 - abs(values - came) / abs(100.0 - came)

    assert best_constant(rewarded, outcomes, candidates) == pytest.approx(median, abs=0.025)
    # What the reward must not be: divided by the error of persistence on this very window, it pays for timid answers.
    assert best_constant(relative, outcomes, candidates) < median - 0.1


@given(values=moves, truth=outcomes, thought=st.text(st.characters(exclude_characters="<>")))
def test_components_see_the_values_alone(values, truth, thought):
    plain, wordy = (parse(answer(text, values, 2), 3) for text in ("", thought + " reward: 1.0, correct!"))
    assert isinstance(plain, Forecast)
    assert all(component(plain, truth) == component(wordy, truth) for component in COMPONENTS.values())


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_survive_pickling(name):
    component = pickle.loads(pickle.dumps(COMPONENTS[name]))
    truth = pickle.loads(pickle.dumps(TRUTH))
    assert component(Forecast((101.0, 101.5)), truth) == COMPONENTS[name](Forecast((101.0, 101.5)), TRUTH)


@pytest.mark.parametrize("name", COMPONENTS)
def test_reward_scores_each_answer_against_its_own_outcome_also_after_pickling(name, tmp_path):
    texts = [answer("up", (101.0, 103.0), 1), "no idea", answer("down", (49.0, 48.0), 1), answer("zero", (0.0, 1.0), 1)]
    fall = Outcome(50.0, (50.0, 48.0), 2.0, 0.025)
    truths = [replace(truth, lowest=0.0, highest=1000.0) for truth in (fall, TRUTH)]
    marks = marks_of(forecast_lesson(truths), tmp_path)
    reward, ids, case = Reward(name, marks), spelled(texts), [1, 1, 0, 0]
    expected = [
        COMPONENTS[name](Forecast((101.0, 103.0)), TRUTH),
        -1.0,
        COMPONENTS[name](Forecast((49.0, 48.0)), fall),
        -1.0,  # a price of zero
    ]
    assert reward(completion_ids=ids, case=case, prompts=["ignored"] * 4, completions=["ignored"] * 4) == expected
    assert pickle.loads(pickle.dumps(reward))(completion_ids=ids, case=case) == expected
    assert reward.__name__ == name


@given(
    prices=st.lists(st.floats(10, 200), min_size=7, max_size=7),
    volatility=st.floats(0.1, 10),
    offset=st.floats(-100, 100),
    unit=st.floats(0.1, 50),
    cost_bps=st.floats(0, 100),
)
def test_outcome_gives_the_same_rewards_on_every_scale(prices, volatility, offset, unit, cost_bps):
    last, came, forecast = prices[0], prices[1:4], prices[4:]
    scales = {"raw": (0.0, 1.0), "rebased": (0.0, last / 100), "standard": (offset, unit)}
    rewards = {}
    for name, (shift, scale) in scales.items():

        def scaled(values, shift=shift, scale=scale):
            return tuple((value - shift) / scale for value in values)

        window = Window("A", "2020-01-01", scaled([last]), {}, {}, volatility / scale, shift, scale)
        truth = outcome(window, Target("2020-01-02", "2020-01-06", scaled(came)), cost_bps)
        assert truth.cost * scale == pytest.approx(cost_bps / 1e4 * last)
        # Directions aside where rounding decides the sign of a move.
        names = [name for name in COMPONENTS if name != "direction" or min(abs(last - p) for p in prices[1:]) > 1e-6]
        rewards[name] = [COMPONENTS[component](Forecast(scaled(forecast)), truth) for component in names]
    assert rewards["rebased"] == pytest.approx(rewards["raw"], abs=1e-9)
    assert rewards["standard"] == pytest.approx(rewards["raw"], abs=1e-9)
