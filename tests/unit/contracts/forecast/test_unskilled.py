"""What the tiny model is built from and a warm-up teaches: answers in the form that quote rightly and know nothing."""

import re

import numpy as np
import pytest

from stonk_pipeline.contracts.forecast import question, unskilled
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.contracts.forecast.unskilled import unskilled_answer
from stonk_pipeline.periods import WEEK
from stonk_pipeline.schema import Forecast, Window
from stonk_pipeline.text.form import thinking

TENTHS = PromptConfig(decimals=1)
THOUGHT = re.compile(
    r"The close is ([+-]\d+\.\d) from its EMA after a move of ([+-]\d+\.\d)\. "
    r"I expect ([+-]\d+\.\d) in (\d+) days, half of it by day (\d+)\."
)


def a_window(ema=97.0, before=101.5):
    return Window("A", "2024-01-02", (99.0, before, 100.0), {"ema": ema}, {}, 1.2, 0.0, 1.0)


@pytest.mark.parametrize("horizon", [2, 5, 10, 15])
def test_course_has_made_half_of_the_move_on_its_day_and_all_of_it_on_the_last(horizon):
    for half in range(1, max(1, round(unskilled.LATEST_HALF * horizon)) + 1):
        shares = unskilled._course(half, horizon)
        assert shares.shape == (horizon,)
        assert (np.diff(shares, prepend=0.0) > 0).all()
        assert shares[-1] == pytest.approx(1.0)
        assert shares[half - 1] == pytest.approx(0.5)


def test_unskilled_answer_quotes_the_question_and_keeps_its_own_word():
    rng = np.random.default_rng(0)
    for ema, before, gap, step in ((97.04, 101.5, "+3.0", "-1.5"), (103.26, 100.0, "-3.3", "+0.0")):
        window = a_window(ema, before)
        text = unskilled_answer(window, 10, TENTHS, rng)
        answer = question.read(text, window, 10)
        assert isinstance(answer, Forecast)
        found = THOUGHT.fullmatch(thinking(text))
        assert found is not None, text
        assert found.groups()[:2] == (gap, step)
        assert question.differences(window, TENTHS) == pytest.approx((float(gap), float(step)))
        assert found[4] == "10"
        assert answer.values[-1] - 100.0 == pytest.approx(float(found[3]), abs=0.06)  # both are rounded


def test_unskilled_answer_for_a_single_day_can_be_read():
    text = unskilled_answer(a_window(), 1, TENTHS, np.random.default_rng(0))
    answer = question.read(text, a_window(), 1)
    assert isinstance(answer, Forecast)
    assert (
        thinking(text)
        == f"The close is +3.0 from its EMA after a move of -1.5. I expect {answer.values[0] - 100:+.1f} in 1 day."
    )


def test_unskilled_answers_follow_none_of_the_facts_that_they_quote():
    rng = np.random.default_rng(1)
    facts, moves, halves = [], [], []
    for _ in range(4000):
        gap, step = rng.normal(0, 4), rng.normal(0, 1.2)
        text = unskilled_answer(a_window(100 - gap, 100 - step), 10, TENTHS, rng)
        found = THOUGHT.fullmatch(thinking(text))
        assert found is not None
        facts.append((gap, step))
        moves.append(float(found[3]))
        halves.append(int(found[5]))
    for values in (np.array(moves), np.array(halves, dtype=float)):
        for fact in np.array(facts).T:
            assert abs(np.corrcoef(values, fact)[0, 1]) < 0.05
    assert abs(np.mean(moves)) < 0.2
    assert np.std(moves) == pytest.approx(1.2 * np.sqrt(10), rel=0.05)  # as a random walk's
    assert set(halves) == set(range(1, 8))


@pytest.mark.parametrize(
    ("last", "offset", "unit", "decimals"),
    [
        (0.02, 0.0, 1.0, 2),  # raw: a stock of two cents
        (4000.0, 0.0, 1.0, 0),
        (-1.3, 50.0, 20.0, 2),  # standard: below the mean of its training part
        (100.0, 0.0, 0.41, 1),
    ],
)
def test_unskilled_answers_can_be_read_on_every_scale(last, offset, unit, decimals):
    rng = np.random.default_rng(2)
    wild = Window("A", "2024-01-02", (last, last, last), {"ema": last}, {}, abs(last), offset, unit)
    for _ in range(300):
        text = unskilled_answer(wild, 10, PromptConfig(decimals=decimals), rng)
        assert isinstance(question.read(text, wild, 10), Forecast), text


def test_unskilled_answers_cite_what_the_question_shows_and_in_its_words():
    rng = np.random.default_rng(3)
    weekly = Window("A", "2024-01-02", (99.0, 101.5, 100.0), {"ema": 97.0}, {}, 1.2, 0.0, 1.0, WEEK)
    shown = unskilled_answer(weekly, 10, TENTHS, rng)
    assert re.search(r"from its EMA .* in 10 weeks, half of it by week \d", thinking(shown))
    hidden = unskilled_answer(weekly, 10, PromptConfig(decimals=1, indicators=False, name_period=False), rng)
    assert re.fullmatch(r"The last move was -1\.5\. I expect \S+ in 10 days, half of it by day \d\.", thinking(hidden))
    missing = Window("A", "2024-01-02", (99.0, 101.5, 100.0), {"ema": float("nan")}, {}, 1.2, 0.0, 1.0)
    assert "nan" not in unskilled_answer(missing, 10, TENTHS, rng)
