"""Rejection sampling's choice, and that it is not a choice of the quietest windows."""

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonk_pipeline.contracts.forecast.rejection import nothing_kept
from stonk_pipeline.contracts.forecast.sections import SamplingConfig
from stonk_pipeline.contracts.forecast.selection import (
    PERIODS,
    VOLATILITY_BANDS,
    Candidate,
    balance,
    cells,
    judge,
    window_skill,
)
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

HORIZON = 5


def a_window(stock="A", date="2020-01-01", volatility=1.0):
    return Window(stock, date, (99.0, 100.0), {}, {}, volatility, 0.0, 1.0)


def a_target(*values):
    return Target("2020-01-02", "2020-01-08", values)


def judge_one(answers, target, **options):
    """Reasons for the answers to one window on which persistence is expected to be 4 off, in their order."""
    settings = {"min_skill": 0.1, "keep_per_window": 2} | options
    texts = [f"text {number}" for number in range(len(answers))]
    window = a_window(volatility=4 * math.sqrt(math.pi / 2))
    judged = judge([window], [target], [texts], [answers], **settings)
    assert [candidate.completion for candidate in judged] == texts
    return [candidate.reason for candidate in judged]


UNIT = (math.sqrt(2 / math.pi) + math.sqrt(4 / math.pi)) / 2
"""Expected error of persistence over two days at a volatility of 1."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((102.0, 104.0), 1.0),
        ((102.0 + UNIT, 104.0 - UNIT), 0.0),
        ((102.0, 104.0 + UNIT), 0.5),
        ((102.0 - 2 * UNIT, 104.0 - 2 * UNIT), -1.0),
        ((0.0, 0.0), -10.0),  # no worse than that
    ],
)
def test_window_skill_compares_with_the_error_that_persistence_is_expected_to_have(values, expected):
    assert window_skill(Forecast(values), a_window(), a_target(102.0, 104.0)) == pytest.approx(expected)
    assert window_skill(Unreadable("no answer"), a_window(), a_target(102.0, 104.0)) == 0.0


def test_window_skill_of_persistence_is_nothing_on_average():
    rng = np.random.default_rng(0)
    walks = 100 + 1.7 * rng.standard_normal((20_000, HORIZON)).cumsum(axis=1)
    flat, window = Forecast((100.0,) * HORIZON), a_window(volatility=1.7)
    skills = [window_skill(flat, window, a_target(*walk)) for walk in walks.tolist()]
    assert np.mean(skills) == pytest.approx(0, abs=0.02)


def test_window_skill_does_not_hang_on_how_far_the_price_went():
    for move in (0.0, 1.0, -5.0, 20.0):
        target = a_target(100 + move / 2, 100 + move)
        off = Forecast((target.values[0] + 0.5, target.values[1] - 0.5))
        assert window_skill(off, a_window(), target) == pytest.approx(1 - 0.5 / UNIT)


def test_judge_keeps_the_best_above_the_margin():
    answers = [Forecast((value,)) for value in (100.0, 101.0, 104.0, 103.0, 100.4, 90.0)]
    reasons = judge_one(answers, a_target(104.0))
    assert reasons == ["below the margin", "not among the best", "", "", "not among the best", "below the margin"]
    assert judge_one(answers, a_target(104.0), keep_per_window=1).count("") == 1
    assert judge_one(answers, a_target(104.0), min_skill=-100.0, keep_per_window=9) == [""] * 6
    assert judge_one(answers, a_target(104.0), min_skill=0.9, keep_per_window=9).count("") == 1


def test_judge_keeps_what_is_just_at_the_margin():
    assert judge_one([Forecast((102.0,))], a_target(104.0), min_skill=0.5) == [""]


def test_judge_keeps_each_forecast_once():
    answers = [Forecast((103.0,)), Forecast((104.0,)), Forecast((103.0,)), Forecast((104.0,)), Forecast((102.0,))]
    assert judge_one(answers, a_target(104.0), keep_per_window=3) == ["", "", "duplicate", "duplicate", ""]


def test_judge_hands_on_the_parsers_reasons():
    answers = [Unreadable("no answer"), Forecast((104.0,)), Unreadable("wrong length")]
    assert judge_one(answers, a_target(104.0), min_skill=-1.0) == ["no answer", "", "wrong length"]


@given(
    values=st.lists(
        st.lists(st.sampled_from([90.0, 100.0, 101.0, 102.0, None]), min_size=3, max_size=3), min_size=1, max_size=8
    ),
    min_skill=st.sampled_from([-5.0, 0.0, 0.4]),
    keep=st.integers(1, 3),
    most=st.integers(1, 12),
)
def test_judge_and_balance_account_for_every_answer(values, min_skill, keep, most):
    windows = [a_window(date=f"2020-01-{day + 1:02d}", volatility=day + 1.0) for day in range(len(values))]
    targets = [a_target(103.0)] * len(values)
    answers = [[Unreadable("no answer") if value is None else Forecast((value,)) for value in row] for row in values]
    texts = [[str(value) for value in row] for row in values]
    judged = judge(windows, targets, texts, answers, min_skill=min_skill, keep_per_window=keep)
    chosen = balance(windows, judged, max_examples=most, seed=0)
    places = [(window, sample) for window in range(len(values)) for sample in range(3)]
    for candidates in (judged, chosen):
        assert [(candidate.window, candidate.sample) for candidate in candidates] == places
    known = {"", "no answer", "below the margin", "duplicate", "not among the best", "surplus of its cell"}
    assert {candidate.reason for candidate in chosen} <= known
    kept = [candidate for candidate in chosen if not candidate.reason]
    assert all(candidate.skill >= min_skill and candidate.values for candidate in kept)
    assert all(count <= keep for count in Counter(candidate.window for candidate in kept).values())
    assert len({(candidate.window, candidate.values) for candidate in kept}) == len(kept)
    assert len(kept) <= most
    assert bool(kept) == any(not candidate.reason for candidate in judged)
    # Balancing only takes away.
    assert all(new.reason == old.reason or not old.reason for new, old in zip(chosen, judged, strict=True))


def test_cells_cut_dates_and_each_stocks_volatility_into_equal_parts():
    days = [str(day.date()) for day in pd.bdate_range("2020-01-01", periods=120)]
    windows = [a_window(stock, day, 1.0 + 100 * (stock == "B") + i) for i, day in enumerate(days) for stock in "AB"]
    found = cells(windows)
    assert Counter(stock for stock, _, _ in found) == {"A": 120, "B": 120}
    assert Counter(period for _, period, _ in found) == dict.fromkeys(range(PERIODS), 60)
    # B is wilder than A on every day, and is still spread over all bands.
    for stock in "AB":
        bands = Counter(band for name, _, band in found if name == stock)
        assert bands == dict.fromkeys(range(VOLATILITY_BANDS), 40)
    periods = [period for _, period, _ in found]
    assert periods == sorted(periods)


def kept_candidates(sizes):
    """Windows of three stocks on one day each, and for each as many kept answers as `sizes` says."""
    windows = [a_window(stock) for stock in sizes]
    judged = [
        Candidate(place, sample, "", (100.0,), 0.9 - 0.01 * ((sample * 7) % 50), "")
        for place, size in enumerate(sizes.values())
        for sample in range(size)
    ]
    return windows, judged


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ({"A": 40, "B": 5, "C": 3}, 100, {"A": 10, "B": 5, "C": 3}),  # twice the median of 5
        ({"A": 4, "B": 5, "C": 3}, 100, {"A": 4, "B": 5, "C": 3}),  # nothing to even out
        ({"A": 40, "B": 40, "C": 40}, 30, {"A": 10, "B": 10, "C": 10}),
        ({"A": 40, "B": 6, "C": 2}, 10, {"A": 4, "B": 4, "C": 2}),  # the largest give first
        ({"A": 7}, 7, {"A": 7}),
    ],
)
def test_balance_caps_the_cells(sizes, most, expected):
    windows, judged = kept_candidates(sizes)
    chosen = balance(windows, judged, max_examples=most, seed=0)
    kept = [candidate for candidate in chosen if not candidate.reason]
    assert Counter(windows[candidate.window].stock for candidate in kept) == expected


def test_balance_drops_answers_whatever_their_skill():
    windows, judged = kept_candidates({"A": 200, "B": 10, "C": 10})
    kept = np.array([not candidate.reason for candidate in balance(windows, judged, max_examples=100, seed=0)])
    skills = np.array([candidate.skill for candidate in judged])
    assert kept[:200].sum() == 20
    assert abs(skills[:200][kept[:200]].mean() - skills[:200].mean()) < 0.05


def test_balance_keeps_to_max_examples_also_where_there_are_more_cells():
    windows, judged = kept_candidates({letter: 2 for letter in "ABCDEFGH"})
    kept = [candidate for candidate in balance(windows, judged, max_examples=5, seed=0) if not candidate.reason]
    assert len(kept) == 5
    assert len({candidate.window for candidate in kept}) == 5


def test_balance_of_nothing_is_nothing():
    judged = [Candidate(0, 0, "", None, 0.0, "no answer")]
    assert balance([a_window()], judged, max_examples=5, seed=0) == judged


def test_balance_gives_the_same_choice_again():
    windows, judged = kept_candidates({"A": 30, "B": 30, "C": 2})
    assert balance(windows, judged, max_examples=20, seed=0) == balance(windows, judged, max_examples=20, seed=0)


def test_judge_chooses_neither_quiet_windows_nor_large_moves_alone():
    """Answers are random walks of each window's own volatility, as an unskilled model gives them."""
    rng = np.random.default_rng(5)
    days = [str(day.date()) for day in pd.bdate_range("2018-01-01", periods=300)]
    windows, targets, answers = [], [], []
    for day in days:
        for stock in "ABC":
            volatility = float(rng.lognormal(0.0, 0.6))
            walks = 100 + volatility * rng.standard_normal((9, HORIZON)).cumsum(axis=1)
            windows.append(a_window(stock, day, volatility))
            targets.append(a_target(*walks[0].tolist()))
            answers.append([Forecast(tuple(walk)) for walk in walks[1:].tolist()])
    texts = [[""] * 8] * len(windows)
    judged = judge(windows, targets, texts, answers, min_skill=0.3, keep_per_window=1)
    kept = [candidate.window for candidate in judged if not candidate.reason]
    balanced = [c.window for c in balance(windows, judged, max_examples=len(kept) // 2, seed=0) if not c.reason]
    truth = np.array([target.values for target in targets])
    values = np.array([[answer.values for answer in row] for row in answers])
    errors = np.abs(values - truth[:, None]).mean(axis=2).min(axis=1)
    volatility = np.array([window.volatility for window in windows])
    move = np.abs(truth[:, -1] - 100) / volatility
    assert 300 < len(kept) < len(windows)
    for chosen in (kept, balanced):
        assert 0.8 * move.mean() < move[chosen].mean() < move.mean()
        assert volatility[chosen].mean() == pytest.approx(volatility.mean(), rel=0.1)
        # Small moves and large ones are there as often as they happen, within a third.
        for share in (0.1, 0.25, 0.75, 0.9):
            assert (move[chosen] < np.quantile(move, share)).mean() == pytest.approx(share, rel=0.33)

    # Two plain rules instead. As many answers, those with the smallest errors: the quiet windows.
    plain = np.argsort(errors)[: len(kept)]
    assert volatility[plain].mean() < 0.85 * volatility.mean()
    # The ratio to the error that persistence did make: hardly a window in which little happened.
    ratio = errors / np.abs(truth - 100).mean(axis=1)
    assert (move[ratio < 0.7] < np.quantile(move, 0.1)).mean() < 0.03


@pytest.mark.parametrize(
    ("reasons", "remedy"),
    [
        (
            {"no thinking": 7, "no answer": 1},
            r"could be read \(most often: .*<think>.*raise sampling.max_tokens \(256\)",
        ),
        ({"below the margin": 1, "no thinking": 7}, r"a skill of 0.3: .* Lower sampling.min_skill"),
    ],
)
def test_nothing_kept_advises_by_what_was_wrong(tmp_path, reasons, remedy):
    message = nothing_kept({"answers": 8, "reasons": reasons}, SamplingConfig(), tmp_path / "rejected.csv")
    assert re.search(remedy, message) and "rejected.csv" in message
