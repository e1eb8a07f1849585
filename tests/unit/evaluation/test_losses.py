"""Losses of any contract under the one rule: skills, intervals, gains, and the verdict on later questions."""

from dataclasses import replace

import numpy as np
import pytest

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation.losses import FEWEST_BLOCKS, Losses
from stonk_pipeline.evaluation.significance import SPANS
from stonk_pipeline.evaluation.verdict import Verdict, gain, judge, unread

CONFIG = ComparisonConfig(resamples=300)
DAYS = [str(day) for day in np.datetime64("2021-01-01") + np.arange(203)]


def losses(shift: float, seed: int = 0, questions: int = 600) -> Losses:
    """Losses that are smaller than the baseline's by so much, with outcomes three days ahead."""
    rng = np.random.default_rng(seed)
    baseline = 1.0 + rng.random(questions)
    place = np.sort(rng.integers(0, 200, questions))
    dates, ends = tuple(DAYS[day] for day in place), tuple(DAYS[day + 3] for day in place)
    return Losses(baseline - shift + rng.normal(0, 0.2, questions), baseline, "nothing", dates, ends)


@pytest.mark.parametrize(
    ("shift", "finding"),
    [(0.2, "evidence of skill"), (0.0, "no evidence of skill"), (-0.2, "worse than the baseline")],
)
def test_judge_follows_the_interval_and_its_p_value_agrees(shift, finding):
    given = losses(shift)
    ruling = judge(given, CONFIG, 0)
    assert ruling.finding == finding
    assert ruling.skill == pytest.approx(1 - given.own.sum() / given.baseline.sum())
    assert ruling.low < ruling.skill < ruling.high
    assert (ruling.p_value < 0.05) == (finding != "no evidence of skill")
    assert ruling.dates == len(set(given.dates))
    assert ruling.blocks == pytest.approx(ruling.dates / (SPANS * given.clusters.span))


def test_judge_shows_the_numbers_of_a_table_where_there_is_one():
    ruling = judge(losses(0.2), CONFIG, 0, known=(-0.3, -0.4, -0.2))
    assert (ruling.finding, ruling.skill, ruling.low, ruling.high) == ("worse than the baseline", -0.3, -0.4, -0.2)
    assert ruling.p_value == judge(losses(0.2), CONFIG, 0).p_value


def test_judge_of_few_dates_says_so():
    assert judge(losses(0.2).take(range(30)), CONFIG, 0).finding == "too little data to tell"


def test_limits_of_an_interval_are_there_from_four_blocks_of_dates_on():
    given, block = losses(0.2), losses(0.2).clusters.block
    for blocks, there in ((1, False), (FEWEST_BLOCKS - 1, False), (FEWEST_BLOCKS + 1, True)):
        some = given.take([row for row, day in enumerate(given.dates) if day < DAYS[int(blocks * block)]])
        low, high = some.limits(CONFIG, 0)
        ends = tuple([float(end)] for end in some.interval(CONFIG, 0))
        assert (low, high) == (ends if there else ([None], [None]))
    assert judge(some.take(range(30)), CONFIG, 0).low is None


def test_several_models_at_once_have_the_intervals_that_each_has_alone():
    first, second = losses(0.2, 0), losses(0.0, 0)
    both = replace(first, own=np.column_stack([first.own, second.own]), baseline=first.baseline[:, None])
    for place, alone in enumerate((first, second)):
        assert both.skill()[place] == pytest.approx(float(alone.skill()), abs=1e-12)
        for end, of_both in zip(alone.interval(CONFIG, 0), both.interval(CONFIG, 0), strict=True):
            assert of_both[place] == pytest.approx(float(end), abs=1e-12)


def test_gain_is_the_difference_of_two_skills():
    after, before = losses(0.2), losses(0.05)
    (found,), (low,), (high,) = gain(after, before, CONFIG, 0)
    assert found == pytest.approx(float(after.skill() - before.skill()))
    assert 0 < low < found < high
    assert [value for (value,) in gain(after, after, CONFIG, 0)] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_take_keeps_questions_dates_and_outcomes_together():
    some = losses(0.1).take([5, 3])
    whole = losses(0.1)
    assert some.own.tolist() == [whole.own[5], whole.own[3]]
    assert some.dates == (whole.dates[5], whole.dates[3])
    assert some.ends == (whole.ends[5], whole.ends[3])


def test_unread_judges_later_questions_alone_and_all_of_them_only_once():
    ruling = judge(losses(0.2), CONFIG, 0).model_dump(exclude={"p_value"})
    whole = Verdict(model="m", sentence="", **ruling)
    later = whole.model_copy(update={"model": "later"})
    asked: list[list[int]] = []

    def again(places: list[int]) -> Verdict:
        asked.append(places)
        return later

    assert unread(whole, ["2021-01-01", "2021-01-03"], "2021-01-02", again) == (1, later)
    assert unread(whole, ["2021-01-03"], "2021-01-02", again) == (1, whole)
    assert unread(whole, ["2021-01-01"], "2021-01-02", again) == (0, None)
    assert asked == [[1]]


def test_a_verdict_writes_baseline_and_p_value_only_where_it_has_them():
    ruling = judge(losses(0.2), CONFIG, 0)
    plain = Verdict(model="m", sentence="", **ruling.model_dump(exclude={"p_value"}))
    assert set(plain.model_dump()) & {"baseline", "p_value"} == set()
    assert Verdict.model_validate_json(plain.model_dump_json()) == plain
    full = Verdict(model="m", sentence="", baseline="majority", **ruling.model_dump())
    assert list(full.model_dump())[3] == "baseline"
    assert Verdict.model_validate_json(full.model_dump_json()) == full
    old = plain.model_dump() | {"finding": "worse than persistence"}
    assert Verdict.model_validate(old).finding == "worse than the baseline"
