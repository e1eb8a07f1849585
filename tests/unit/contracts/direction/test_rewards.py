"""Rewards of directions: points computed by hand, and that gaming any of them pays less than a plain honest answer."""

import pickle

import numpy as np
import pytest

from stonk_pipeline.contracts.direction.question import answer, parse
from stonk_pipeline.contracts.direction.reasoning import conclusion, items, sentences
from stonk_pipeline.contracts.direction.rewards import (
    COMPONENTS,
    Outcome,
    confidence,
    data_use,
    direction,
    diversity,
    form,
    magnitude,
    outcome,
    running_share,
    score_answer,
    total,
)
from stonk_pipeline.contracts.direction.sections import STAGE_ONE, STAGE_TWO, RewardShape
from stonk_pipeline.schema import Call, Decision, Movement, Unreadable, Window

QUESTION = '''Stock: ZZTOP
Name of the company, quoted:
"""
- Quaint Holdings 77
"""
Figures of the company, quoted:
"""
- Revenue 1.2B
- EPS 3.4
- Sector Energy
"""
Closes, oldest first: [95.11, 96.22, 94.33, 97.44, 98.55, 100.00]
Change on the last day: +1.47%
Volatility of a day: 1.37%
Indicators: SMA 97.01, EMA 96.02, MOM 4.89, RSI 55, ADX 23, BBANDS 101.50 97.25 93.00
News, oldest first, hours before the close, quoted:
"""
- [5 h] the company wins a large order from a carmaker
- [2 h] $ spy webcast
"""
Will the close 1 trading day ahead be up or down from the last close?'''
ROSE = Outcome(change=1.0, volatility=1.4, question=QUESTION)
FELL = Outcome(change=-1.0, volatility=1.4, question=QUESTION)
FLAT = Outcome(change=0.01, volatility=1.4, question=QUESTION, flat=True)
HONEST = (
    "The close of 100.00 is above the SMA of 97.01, so the trend points up. "
    "An RSI of 55 leaves room for a further rise. "
    "A large order from a carmaker supports demand, and I expect a rise."
)
STAGES = {"one": STAGE_ONE, "two": STAGE_TWO}


def call(side="up", change=1.0, sure=0.6, thinking=HONEST):
    return parse(answer(thinking, side, change, sure))


def test_figures_of_a_company_can_be_cited_by_name_and_value_and_those_of_headlines_and_names_cannot():
    question = QUESTION.replace("a large order", "an order worth 42 million")
    figures = {item.key for item in items(question) if item.value is not None}
    assert {"revenue 1.2", "eps 3.4", "sma 97.01", "rsi 55"} <= figures
    assert not {key for key in figures if key.split()[1] in ("42", "5", "2", "77")}
    words = [item.key for item in items(question) if item.value is None]
    assert words == ["quoted the company wins an order worth 42 million from a carmaker", "quoted $ spy webcast"]


@pytest.mark.parametrize("name", STAGES)
def test_weights_sum_to_one_and_a_perfect_answer_gets_it(name):
    assert sum(STAGES[name].model_dump().values()) == pytest.approx(1.0)
    assert total(call(sure=1.0), ROSE, STAGES[name]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("side", "truth", "expected"),
    [("up", ROSE, 1.0), ("down", ROSE, 0.0), ("down", FELL, 1.0), ("up", FLAT, 0.5), ("down", FLAT, 0.5)],
)
def test_direction_is_the_side(side, truth, expected):
    assert direction(call(side), truth) == expected


@pytest.mark.parametrize(
    ("side", "change", "expected"),
    [
        ("up", 1.0, 1.0),
        ("up", 0.0, 1 - 1 / 2.1),
        ("up", 2.05, 0.5),
        ("up", 3.1, 0.0),
        ("up", 90.0, 0.0),
        ("down", 1.0, 0.0),
        ("down", 0.0, 0.0),
    ],
)
def test_magnitude_is_closeness_in_volatilities_on_the_right_side(side, change, expected):
    assert magnitude(call(side, change), ROSE) == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("chance", [0.5, 0.55, 0.6, 0.75, 0.9, 1.0])
def test_confidence_pays_most_for_the_true_probability(chance):
    stated = np.linspace(0.5, 1.0, 51)
    expected = [
        chance * confidence(Call("up", 1, c, ""), ROSE) + (1 - chance) * confidence(Call("up", 1, c, ""), FELL)
        for c in stated
    ]
    assert stated[int(np.argmax(expected))] == pytest.approx(chance, abs=0.011)


def test_confidence_slides_from_a_small_penalty_to_a_large_one():
    wrong = [confidence(Call("up", 1, c, ""), FELL) for c in np.linspace(0.5, 1.0, 11)]
    assert wrong[0] == pytest.approx(-0.2)
    assert wrong[-1] == pytest.approx(-1.5)
    assert (np.diff(wrong) < 0).all()
    strict = RewardShape(penalty_unsure=0.0, penalty_sure=3.0)
    assert confidence(Call("up", 1, 1.0, ""), FELL, strict) == pytest.approx(-3.0)


def test_a_flat_day_counts_half_for_either_side():
    for name, component in COMPONENTS.items():
        sides = [component(Call(side, 0.0, 0.7, ""), Outcome(0.0, 1.4, QUESTION, flat=True)) for side in ("up", "down")]
        assert sides[0] == sides[1], name
    assert confidence(call(sure=0.7), FLAT) == pytest.approx(
        (confidence(call(sure=0.7), ROSE) + confidence(call(sure=0.7), FELL)) / 2
    )


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("truth", [ROSE, FELL, FLAT])
def test_unreadable_is_worse_than_any_readable_answer(name, truth):
    worst = total(Unreadable("no answer"), truth, STAGES[name])
    for side in ("up", "down"):
        for sure in (0.5, 1.0):
            assert total(call(side, 99.0, sure, ""), truth, STAGES[name]) > worst
    assert all(component(Unreadable("x"), truth) <= -1.0 for component in COMPONENTS.values())


GAMED = {
    "nothing": "",
    "no reason": "It will go up.",
    "number dropping": "RSI 55, SMA 97.01, EMA 96.02, MOM 4.89, ADX 23, close 100.00: up.",
    "number dropping, by sentence": "RSI 55 so up. SMA 97.01 so up. EMA 96.02 so up.",
    "list in a frame": "I look at RSI 55 EMA 96.02 SMA 97.01 close 100.00 volatility 1.37 and so I expect up.",
    "the same frame again": "I read the RSI of 55 as a sign of rise. I read the SMA of 97.01 as a sign of rise. "
    "I read the EMA of 96.02 as a sign of rise.",
    "the prompt again": QUESTION + "\nSo up.",
    "lines of the prompt": "Indicators: SMA 97.01, EMA 96.02, MOM 4.89, RSI 55, ADX 23. So I expect a rise.",
    "the headline again": "the company wins a large order from a carmaker, so up.",
    "figures from nowhere": "The P/E of 12.7 is low for this company, so I expect a rise. "
    "A yield of 4.4 supports a rise too.",
    "figures without names": "After 55 and 97.01 and with 96.02 as the base of it all I expect a rise.",
    "wrong names": "The EMA of 55 is weak but the RSI of 97.01 is very strong, so I expect a rise.",
    "reasons for the other side": "An RSI of 55 leaves room to the downside, so a fall is near. "
    "The close of 100.00 far above the SMA of 97.01 should decline. I expect a fall.",
    "other side, turned at the end": "An RSI of 55 leaves room to the downside, so a fall is near. "
    "The close of 100.00 far above the SMA of 97.01 should decline. So up.",
    "denied": "The close of 100.00 above its SMA of 97.01 does not support a rise.",
    "both ways": "An RSI of 55 may well mean a rise in the days ahead. An RSI of 55 may well mean a fall. "
    "I expect a fall.",
    "the format explained": "<b>reasoning</b> up 2.5% confidence 75%",
}
CAUGHT_LATER = ("the same frame again",)
"""Earns for its first sentence alone."""


@pytest.mark.parametrize("name", GAMED)
def test_gamed_reasoning_earns_nothing_and_less_than_an_honest_plain_answer(name):
    gamed, honest = call(thinking=GAMED[name]), call()
    assert data_use(honest, ROSE) == 1.0
    assert data_use(gamed, ROSE) <= (1 / 3 if name in CAUGHT_LATER else 0.0) + 1e-9
    for weights in STAGES.values():
        for truth in (ROSE, FELL, FLAT):
            assert total(gamed, truth, weights) < total(honest, truth, weights)
    assert score_answer(gamed, ROSE).reasoning < score_answer(honest, ROSE).reasoning == pytest.approx(0.4)


PLAIN = "The close of 100.00 is above its SMA of 97.01, so I expect a rise."


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("sure", [0.5, 0.99])
def test_one_confidence_for_everything_earns_less_than_an_honest_one(name, sure):
    """Days of which some are known at 55 %, some at 75 %: saying so pays more than one figure for all."""

    def mean(stated):
        return np.mean(
            [
                chance * total(call(sure=stated or chance, thinking=PLAIN), ROSE, STAGES[name])
                + (1 - chance) * total(call(sure=stated or chance, thinking=PLAIN), FELL, STAGES[name])
                for chance in (0.55, 0.75)
            ]
        )

    assert mean(sure) < mean(None)


def test_data_use_counts_each_item_once_and_some_a_sentence():
    one = "The close of 100.00 is above its SMA of 97.01 and its EMA of 96.02, so the trend may well rise."
    assert data_use(call(thinking=one), ROSE) == pytest.approx(2 / 3)  # of three figures two count
    assert (
        data_use(call(thinking="Close 100.00 is above SMA 97.01 and EMA 96.02, so it may rise."), ROSE) == 0.0
    )  # and want some words
    two = "The close of 100.00 is above its SMA of 97.01, so I expect a rise."
    assert data_use(call(thinking=two), ROSE) == pytest.approx(2 / 3)
    again = two + " Being over an SMA of 97.01 is what strong stocks do before they gain."
    assert data_use(call(thinking=again), ROSE) == pytest.approx(2 / 3)
    fact = "Earnings of 3.4 (EPS) look solid to me, so the shares should climb."
    assert data_use(call(thinking=fact), ROSE) == pytest.approx(1 / 3)
    other = Outcome(1.0, 1.4, QUESTION.replace("97.01", "91.00"))
    assert data_use(call(thinking=two), other) == pytest.approx(1 / 3)  # of another prompt


def test_items_of_a_prompt_are_named_figures_and_quoted_lines():
    keys = {item.key for item in items(QUESTION)}
    assert {"rsi 55", "bbands 93", "revenue 1.2", "close 95.11"} <= keys
    assert "quoted the company wins a large order from a carmaker" in keys
    assert items("Stock: T 5\nLast close: 2021-03-04\nUp or down?") == ()


@pytest.mark.parametrize(
    ("thinking", "side"),
    [
        ("I expect a rise after the fall.", "up"),
        ("It fell, it fell again. So it should rise.", "up"),
        ("I do not expect a rise.", "down"),
        ("Up, up, up. I expect a drop.", "down"),
        ("Nothing to say.", None),
        ("", None),
    ],
)
def test_conclusion_is_where_a_reasoning_leads(thinking, side):
    found = conclusion(sentences(thinking, QUESTION))
    assert found == side


def test_diversity_costs_the_side_that_is_called_too_often():
    def penalty(side, share, market=0.5):
        return diversity(call(side), Outcome(1.0, 1.4, QUESTION, called_up=share, market_up=market))

    assert [penalty("up", share) for share in (0.2, 0.5, 0.8, 0.9, 1.0)] == [0.0, 0.0, 0.0, -0.5, -1.0]
    assert [penalty("down", share) for share in (0.0, 0.1, 0.2, 1.0)] == [-1.0, -0.5, 0.0, 0.0]
    assert penalty("up", 0.9, market=0.7) == 0.0
    assert penalty("up", 0.5, market=0.1) == -0.5


def test_running_share_forgets_slowly():
    share = 0.5
    for _ in range(60):
        share = running_share(share, [call("up"), call("up"), call("down"), Unreadable("x")])
    assert share == pytest.approx(2 / 3, abs=0.01)
    assert running_share(0.3, [Unreadable("x")]) == 0.3


def test_outcome_takes_its_scale_from_the_decision():
    window = Window("A", "2021-03-04", (99.0, 100.0), {}, {}, 1.5, 0.0, 2.0)
    made = outcome(Decision(window), Movement("2021-03-10", -0.01, "flat"), QUESTION, 4)
    assert (made.volatility, made.change, made.flat, made.question) == (pytest.approx(3.0), -0.01, True, QUESTION)


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_survive_pickling(name):
    component, truth, answered = pickle.loads(pickle.dumps((COMPONENTS[name], ROSE, call())))
    assert component(answered, truth) == COMPONENTS[name](call(), ROSE)


def test_form_wants_a_reasoning():
    assert [form(call(thinking=text), ROSE) for text in (HONEST, "", "up")] == [1.0, 0.0, 0.0]
