"""Scores of called directions against independent formulas, the verdict's rule, and the gate to stage II."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, confusion_matrix

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.contracts.direction.scores.calls import (
    Caller,
    Cases,
    baselines,
    by_group,
    cases,
    combine,
    expected_calibration_error,
    reliability,
    score,
)
from stonk_pipeline.contracts.direction.scores.gate import GateFigures, leakage_alarm, loss_figures, transition
from stonk_pipeline.contracts.direction.scores.verdict import gain_of, give_verdict
from stonk_pipeline.contracts.direction.sections import GateConfig
from stonk_pipeline.schema import Call, Decision, Movement, Unreadable, Window

COMPARISON = ComparisonConfig(resamples=300)


def made(count=600, stocks=3, seed=0, drift=0.0):
    """Cases of a walk, one decision a stock and day."""
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64("2021-01-01"), np.datetime64("2021-01-01") + count // stocks + 1)
    came = rng.normal(drift, 1.0, count)
    place = np.arange(count) // stocks
    return Cases(
        came=came,
        moved=np.abs(came) >= 0.05,
        yesterday=rng.normal(0, 1, count),
        volatility=np.full(count, 1.0),
        stocks=tuple(f"S{number}" for number in np.arange(count) % stocks),
        dates=tuple(str(days[day]) for day in place),
        ends=tuple(str(days[day + 1]) for day in place),
    )


def informed(known, share, seed=1):
    """A caller that is right about so often, and says so."""
    rng = np.random.default_rng(seed)
    right = rng.random(len(known.came)) < share
    up = np.where((known.came > 0) == right, share, 1 - share)
    return Caller("model", up, np.where(up > 0.5, 0.5, -0.5))


KNOWN = made()


def test_scores_agree_with_scikit_learn_and_definitions():
    rng = np.random.default_rng(3)
    up = rng.choice([0.1, 0.3, 0.45, 0.6, 0.85, 0.99], len(KNOWN.came))
    row = score(Caller("x", up, rng.normal(0, 1, len(up))), KNOWN)
    truth, p = KNOWN.came[KNOWN.moved] > 0, up[KNOWN.moved]
    assert row.accuracy == pytest.approx(accuracy_score(truth, p > 0.5))
    assert row.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, p > 0.5))
    assert row.brier == pytest.approx(np.mean((p - truth) ** 2)) == brier_score_loss(truth, p)
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(p[truth], p[~truth])]
    assert row.roc_auc == pytest.approx(np.mean(pairs))
    table = confusion_matrix(truth, p > 0.5)
    assert [row.confusion[came][called] for came in ("down", "up") for called in ("down", "up")] == list(table.ravel())
    assert sum(row.confusion["flat"].values()) == (~KNOWN.moved).sum() == row.decisions - row.moved


def test_calibration_error_is_the_weighted_gap_by_an_independent_count():
    rng = np.random.default_rng(4)
    up, rose = np.round(rng.uniform(0, 1, 500), 2), rng.random(500) < 0.5
    gaps = 0.0
    for percent in range(50, 100, 5):
        top = percent + 5 if percent < 95 else 101
        rows = [i for i in range(500) if percent <= round(100 * max(up[i], 1 - up[i])) < top]
        if rows:
            sure = sum(max(up[i], 1 - up[i]) for i in rows)
            hit = sum(0.5 if up[i] == 0.5 else (up[i] > 0.5) == rose[i] for i in rows)
            gaps += abs(sure - hit) / 500
    assert expected_calibration_error(reliability(up, rose)) == pytest.approx(gaps)
    assert sum(piece.calls for piece in reliability(up, rose)) == 500


def test_calibration_error_of_a_calibrated_caller_is_small_and_of_a_sure_one_large():
    known = made(6000)
    assert score(informed(known, 0.6), known).ece < 0.03
    sure = informed(known, 0.6)._replace(up=np.where(informed(known, 0.6).up > 0.5, 0.99, 0.01))
    assert score(sure, known).ece == pytest.approx(0.39, abs=0.03)


def test_baselines_are_the_majority_and_yesterdays_sign():
    known = made(drift=0.3)
    majority, yesterday = (score(caller, known) for caller in baselines(known))
    rose = known.came[known.moved] > 0
    assert majority.accuracy == pytest.approx(max(rose.mean(), 1 - rose.mean()))
    assert majority.brier == pytest.approx(rose.mean() * (1 - rose.mean()))
    assert majority.change_skill == 0.0
    assert yesterday.accuracy == pytest.approx(np.mean((known.yesterday[known.moved] > 0) == rose))
    falling = score(baselines(made(drift=-0.5))[0], made(drift=-0.5))
    assert falling.accuracy > 0.6


def test_combine_averages_probabilities_and_counts_unreadable_as_a_coin():
    up, down = Call("up", 2.0, 0.8, ""), Call("down", 1.0, 0.6, "")
    found = combine("m", [[up, down, up], [up, Unreadable("no answer")], [Unreadable("x"), Unreadable("x")]])
    assert found.up == pytest.approx([(0.8 + 0.4 + 0.8) / 3, 0.65, 0.5])
    assert found.change == pytest.approx([2.0, 1.0, 0.0])
    assert found.unreadable == pytest.approx(3 / 7)
    assert combine("m", [[Call("up", 1, 0.6, ""), Call("down", 1, 0.6, "")]]).up[0] == 0.5


def test_score_of_a_coin_and_of_one_side_alone():
    coin = score(Caller("coin", np.full(600, 0.5), np.zeros(600)), KNOWN)
    assert (coin.accuracy, coin.balanced_accuracy, coin.roc_auc, coin.up_share) == (0.5, 0.5, 0.5, 0.5)
    assert coin.brier == 0.25
    rising = KNOWN._replace(came=np.abs(KNOWN.came) + 0.1, moved=np.ones(600, dtype=bool))
    alone = score(Caller("coin", np.full(600, 0.6), np.zeros(600)), rising)
    assert (alone.accuracy, alone.balanced_accuracy, alone.roc_auc) == (1.0, None, None)
    with pytest.raises(ValueError, match="flat_percent"):
        score(Caller("coin", np.full(600, 0.6), np.zeros(600)), KNOWN._replace(moved=np.zeros(600, dtype=bool)))


def test_errors_of_the_change_are_in_percent_and_in_volatilities():
    known = KNOWN._replace(volatility=np.full(600, 2.0))
    row = score(Caller("x", np.full(600, 0.6), known.came + 0.5), known)
    assert (row.mae, row.mae_in_volatility) == (pytest.approx(0.5), pytest.approx(0.25))
    assert row.change_skill == pytest.approx(1 - 0.5 / np.abs(known.came).mean())


def test_groups_add_up_to_the_whole():
    caller = informed(KNOWN, 0.7)
    groups = by_group(caller, KNOWN)
    for by in ("stock", "month"):
        part = [group for group in groups if group.by == by]
        assert sum(group.decisions for group in part) == KNOWN.moved.sum()
        whole = sum(group.accuracy * group.decisions for group in part) / KNOWN.moved.sum()
        assert whole == pytest.approx(score(caller, KNOWN).accuracy)
    assert {group.group for group in groups if group.by == "stock"} == {"S0", "S1", "S2"}


def test_cases_take_moves_from_examples():
    window = Window("A", "2021-03-04", (98.0, 100.0), {}, {}, 1.5, 0.0, 2.0)
    movements = [Movement("2021-03-05", 1.0, "up"), Movement("2021-03-05", 0.01, "flat")]
    found = cases(Examples([Decision(window)] * 2, movements), 4)
    assert list(found.moved) == [True, False]
    assert found.yesterday == pytest.approx(100 * 2 / 98)
    assert found.volatility == pytest.approx(3.0)


# The verdict


def test_give_verdict_tells_skill_from_luck():
    known = made(1200)
    skilled = give_verdict(informed(known, 0.65), known, COMPARISON, seed=0)
    assert skilled.finding == "evidence of skill"
    assert skilled.p_value < 0.01
    assert skilled.warnings == ()
    coin = give_verdict(Caller("m", np.random.default_rng(5).random(1200), np.zeros(1200)), known, COMPARISON, seed=0)
    assert coin.finding == "no evidence of skill"
    contrary = informed(known, 0.65)
    bad = give_verdict(contrary._replace(up=1 - contrary.up), known, COMPARISON, seed=0)
    assert bad.finding == "worse than the baseline"
    few = made(30)
    assert give_verdict(informed(few, 0.9), few, COMPARISON, seed=0).finding == "too little data to tell"


def test_give_verdict_wants_more_than_the_market_always_gives():
    rising = made(1200, drift=0.6)
    always = Caller("m", np.full(1200, 0.75), np.full(1200, 0.5))
    found = give_verdict(always, rising, COMPARISON, seed=0)
    assert score(always, rising).accuracy > 0.7
    assert (found.finding, found.skill, found.baseline) == ("no evidence of skill", 0.0, "majority")
    assert len(found.warnings) == 2  # one side, and the same for every decision


def test_gain_of_is_the_difference_in_accuracy_with_its_interval():
    known = made(1200)
    better, base = informed(known, 0.65), informed(known, 0.5, seed=9)
    gain, low, high = gain_of(better, base, known, COMPARISON, seed=0)
    assert gain == pytest.approx(score(better, known).accuracy - score(base, known).accuracy)
    assert 0 < low < gain < high
    assert gain_of(base, base, known, COMPARISON, seed=0) == (0.0, 0.0, 0.0)


# The gate

GOOD = GateFigures(
    reward=0.75,
    accuracy=0.85,
    balanced_accuracy=0.84,
    reasoning=0.25,
    loss=0.02,
    loss_spread=0.01,
    decisions=300,
    real_data=False,
)
FAILING = [
    ({"reward": 0.7}, "mean reward"),  # above, not at
    ({"accuracy": 0.8}, "accuracy"),
    ({"reasoning": 0.19}, "reasoning"),
    ({"loss": 0.11}, "loss"),
    ({"loss_spread": 0.06}, "spread of the loss"),
    ({"reward": None}, "mean reward"),
    ({"loss": None}, "loss"),
    ({"accuracy": float("nan")}, "accuracy"),
]


@pytest.mark.parametrize("mode", ["report", "strict"])
def test_transition_goes_on_when_every_condition_is_met(mode):
    found = transition(GOOD, GateConfig(mode=mode))
    assert found.passed
    assert found.go_on
    assert found.alarm is None
    assert all(check.figure is not None for check in found.checks)


@pytest.mark.parametrize(("change", "name"), FAILING)
def test_transition_names_what_is_not_met(change, name):
    figures = GOOD.model_copy(update=change)
    report, strict = (transition(figures, GateConfig(mode=mode)) for mode in ("report", "strict"))
    assert [check.name for check in report.checks if not check.passed] == [name]
    assert (report.passed, report.go_on, strict.go_on) == (False, True, False)
    assert name in report.sentence
    assert "not run" in strict.sentence


def test_transition_takes_its_conditions_from_the_settings():
    low = GOOD.model_copy(update={"reward": 0.1, "accuracy": 0.5})
    assert transition(low, GateConfig(mode="strict", min_reward=0.0, min_accuracy=0.4)).passed


def test_leakage_alarm_rings_on_real_data_alone():
    real = GOOD.model_copy(update={"real_data": True})
    found = transition(real, GateConfig(mode="strict"))
    assert "Leakage alarm: 85.0% of 300" in found.sentence
    assert (found.passed, found.go_on) == (False, False)
    assert transition(real, GateConfig()).go_on
    assert leakage_alarm(GOOD, GateConfig()) is None
    assert leakage_alarm(real.model_copy(update={"accuracy": 0.6}), GateConfig()) is None
    assert leakage_alarm(real, GateConfig(plausible_accuracy=0.9)) is None


def test_leakage_alarm_does_not_ring_for_who_always_calls_the_frequent_side():
    always_up = GOOD.model_copy(update={"real_data": True, "accuracy": 0.65, "balanced_accuracy": 0.5})
    assert leakage_alarm(always_up, GateConfig()) is None


def test_loss_figures_need_enough_losses():
    gate = GateConfig(last_losses=4)
    assert loss_figures([9.0, 0.1, -0.1, 0.3, -0.3], gate) == (pytest.approx(0.2), pytest.approx(0.05**0.5))
    assert loss_figures([0.1] * 3, gate) == (None, None)
    assert loss_figures([0.1, 0.1, float("nan"), 0.1], gate) == (None, None)
