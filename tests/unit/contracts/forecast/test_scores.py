"""The comparison as a whole, and the verdict's rule."""

import json

import numpy as np
import pandas as pd
import pytest

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.forecast.scores.compare import compare, without_read
from stonk_pipeline.contracts.forecast.scores.examples import pick_examples
from stonk_pipeline.contracts.forecast.scores.results import read_comparison, write_comparison
from stonk_pipeline.contracts.forecast.scores.rows import Row
from stonk_pipeline.contracts.forecast.scores.verdict import give_verdict
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.significance import SPANS
from stonk_pipeline.evaluation.verdict import Ruling, decide
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

CONFIG = ComparisonConfig(resamples=200)
HORIZON = 5


def market(days=160, stocks=3, seed=0, predictable=True):
    """Windows, targets and best forecasts of walks whose drift over the horizon is known, or nothing."""
    rng = np.random.default_rng(seed)
    dates = [str(date.date()) for date in pd.bdate_range("2023-01-02", periods=days + HORIZON)]
    windows, targets, best = [], [], {}
    for stock in range(stocks):
        for i in range(days):
            slope = rng.choice([-1.0, 1.0]) * (1.0 if predictable else 0.0)
            path = 100 + slope * np.arange(1, HORIZON + 1) + rng.normal(0, 1, HORIZON).cumsum()
            unit = 0.2 + stock
            window = Window(f"S{stock}", dates[i], (99.0, 101.0, 100.0), {}, {}, 1.0, 0.0, unit)
            windows.append(window)
            targets.append(Target(dates[i + 1], dates[i + HORIZON], tuple(path)))
            best[window.key] = tuple(100 + slope * np.arange(1, HORIZON + 1))
    return windows, targets, best


def noisy(windows, best, weight, noise, seed, samples=4):
    """Answers that use `weight` of the best possible forecast, blurred."""
    rng = np.random.default_rng(seed)
    return [
        [
            Forecast(tuple(100 + weight * (np.array(best[w.key]) - 100) + rng.normal(0, noise, HORIZON)))
            for _ in range(samples)
        ]
        for w in windows
    ]


def run(windows, targets, best, answers, config=CONFIG, **more):
    rising = [w.context[-1] + 0.0005 * (w.context[-1] + w.price_offset / w.price_unit) for w in windows]
    others = {"drift": np.repeat(np.array(rising)[:, None], HORIZON, axis=1)}
    return compare(windows, targets, answers, others, best, config, seed=0, **more)


@pytest.fixture(scope="module")
def skilled():
    windows, targets, best = market()
    answers = {"base": noisy(windows, best, 0.0, 1.0, 1), "grpo_2nd": noisy(windows, best, 0.8, 1.0, 2)}
    return windows, targets, best, answers, run(windows, targets, best, answers)


def test_compare_scores_equal_plain_loops(skilled):
    windows, targets, _, answers, comparison = skilled
    own = flat = single = 0.0
    for window, target, samples in zip(windows, targets, answers["grpo_2nd"], strict=True):
        for day in range(HORIZON):
            values = sorted(answer.values[day] for answer in samples)
            own += abs((values[1] + values[2]) / 2 - target.values[day])
            single += sum(abs(value - target.values[day]) for value in values) / len(values)
            flat += abs(window.context[-1] - target.values[day])
    row = comparison.row("grpo_2nd")
    assert row.skill == pytest.approx(1 - own / flat)
    assert row.single_skill == pytest.approx(1 - single / flat)
    assert row.mae == pytest.approx(own / len(windows) / HORIZON)
    assert row.skill_low < row.skill < row.skill_high
    assert row.gain == pytest.approx(row.skill - comparison.row("base").skill)
    assert row.gain_low < row.gain < row.gain_high
    assert row.attained == pytest.approx(row.skill / comparison.row("best_possible").skill)


def test_compare_lists_models_then_baselines_and_judges_the_last_model(skilled):
    *_, comparison = skilled
    names = [row.name for row in comparison.rows]
    assert names == ["base", "grpo_2nd", "persistence", "drift", "best_possible"]
    assert comparison.verdict.model == "grpo_2nd"
    assert comparison.verdict.finding == "evidence of skill"
    assert comparison.row("persistence").skill == 0.0
    assert comparison.row("base").gain is None
    assert comparison.block == SPANS * HORIZON


def test_compare_splits_skill_by_day_and_month(skilled):
    windows, _, _, _, comparison = skilled
    days = [point for point in comparison.by_horizon if point.name == "grpo_2nd"]
    assert [point.day for point in days] == [1, 2, 3, 4, 5]
    assert all(point.low <= point.skill <= point.high for point in days)
    months = [point for point in comparison.by_month if point.name == "grpo_2nd"]
    assert sum(point.windows for point in months) == len(windows)
    assert [point.month for point in months] == sorted({window.date[:7] for window in windows})


def test_compare_of_a_random_walk_finds_no_evidence():
    windows, targets, best = market(predictable=False, seed=5)
    answers = {"base": noisy(windows, best, 0.0, 1.0, 1), "grpo_2nd": noisy(windows, best, 0.0, 0.02, 2)}
    comparison = run(windows, targets, best, answers)
    assert comparison.verdict.finding == "no evidence of skill"
    assert comparison.row("grpo_2nd").attained is None
    assert comparison.row("base").skill_high < 0


def test_compare_counts_unreadable_answers_as_persistence():
    windows, targets, best = market(days=80)
    mute = [[Unreadable("no answer"), Unreadable("no answer"), Unreadable("wrong length")] for _ in windows]
    comparison = run(windows, targets, best, {"base": mute})
    row = comparison.row("base")
    assert (row.skill, row.skill_low, row.skill_high, row.unreadable_share) == (0.0, 0.0, 0.0, 1.0)
    assert row.mae == comparison.row("persistence").mae
    assert row.straight_share == 0.0
    assert comparison.unreadable["base"] == {"no answer": 2 * len(windows), "wrong length": len(windows)}
    assert "could not be read" in comparison.verdict.warnings[0]


def test_compare_gives_the_same_percentages_on_every_prompt_scale():
    windows, targets, best = market(days=40)
    answers = {"base": noisy(windows, best, 0.5, 1.0, 1)}
    rebased = run(windows, targets, best, answers)

    def move(values, window):
        return tuple((window.price_unit * np.array(values) - 7.0) / 3.0)

    moved = [
        Window(w.stock, w.date, move(w.context, w), {}, {}, w.price_unit * w.volatility / 3.0, 7.0, 3.0)
        for w in windows
    ]
    standard = run(
        moved,
        [Target(t.start, t.end, move(t.values, w)) for t, w in zip(targets, windows, strict=True)],
        {w.key: move(best[w.key], w) for w in windows},
        {"base": [[Forecast(move(a.values, w)) for a in s] for s, w in zip(answers["base"], windows, strict=True)]},
    )
    for one, other in zip(rebased.rows, standard.rows, strict=True):
        assert one.mae == pytest.approx(other.mae)
        assert one.skill_low == pytest.approx(other.skill_low, abs=1e-9)
    for one, other in zip(rebased.windows, standard.windows, strict=True):
        assert one["gain"] == pytest.approx(other["gain"])


def test_compare_repeats_itself(skilled):
    windows, targets, best, answers, comparison = skilled
    assert run(windows, targets, best, answers) == comparison


def test_compare_refuses_answers_that_do_not_fit():
    windows, targets, best = market(days=10)
    answers = noisy(windows, best, 0.0, 1.0, 1)
    with pytest.raises(StageError, match="answered 29 of 30"):
        run(windows, targets, best, {"base": answers[:-1]})
    with pytest.raises(StageError, match="same number of answers"):
        run(windows, targets, best, {"base": [answers[0][:1], *answers[1:]]})
    with pytest.raises(StageError, match="does not have 5 values"):
        run(windows, targets, best, {"base": [[Forecast((1.0,))] * 4, *answers[1:]]})
    with pytest.raises(StageError, match="nothing to compare"):
        run([], [], best, {"base": []})


def test_write_comparison_can_be_read_back(tmp_path, skilled):
    windows, *_, comparison = skilled
    write_comparison(comparison, tmp_path)
    assert read_comparison(tmp_path) == comparison.model_copy(update={"windows": ()})
    assert json.loads((tmp_path / "verdict.json").read_text())["finding"] == "evidence of skill"
    assert len(pd.read_csv(tmp_path / "windows.csv")) == len(windows)
    assert list(pd.read_csv(tmp_path / "comparison.csv")["name"]) == [row.name for row in comparison.rows]


def test_pick_examples_takes_each_stretch_of_a_stock_once():
    errors = {"mae_grpo_2nd": 1.0, "mae_persistence": 2.0}
    days = [f"2024-03-{day:02d}" for day in range(1, 25)]
    records = [
        {"stock": "AAA", "date": days[i], "target_end": days[min(i + 5, 23)], "gain": float(i), **errors}
        for i in range(20)
    ]
    found = {
        kind: [e for e in pick_examples(records, "grpo_2nd") if e.kind == kind] for kind in ("typical", "best", "worst")
    }
    assert [e.date for e in found["best"]] == [days[19], days[14], days[9]]
    assert [e.date for e in found["worst"]] == [days[0], days[5], days[10]]
    assert len(found["typical"]) == 3


@pytest.mark.parametrize(
    ("low", "high", "dates", "blocks", "finding"),
    [
        (0.01, 0.2, 200, 20, "evidence of skill"),
        (0.0, 0.2, 200, 20, "no evidence of skill"),
        (-0.1, 0.2, 200, 20, "no evidence of skill"),
        (0.0, 0.0, 200, 20, "no evidence of skill"),
        (-0.2, -0.01, 200, 20, "worse than the baseline"),
        (0.01, 0.2, 19, 19, "too little data to tell"),
        (0.01, 0.2, 40, 3.9, "too little data to tell"),
        (-0.2, -0.1, 10, 1, "too little data to tell"),
    ],
)
def test_decide_follows_the_written_rule(low, high, dates, blocks, finding):
    assert decide(low, high, dates, blocks, min_dates=20) == finding


def ruling_of(row: Row) -> Ruling:
    """The rule's word on a row of many dates, without a comparison."""
    finding = decide(row.skill_low, row.skill_high, row.dates, 30.0, min_dates=20)
    numbers = {"skill": row.skill, "low": row.skill_low, "high": row.skill_high, "p_value": 0.5}
    return Ruling(finding=finding, dates=row.dates, blocks=30.0, confidence=0.95, **numbers)


def test_give_verdict_begins_with_its_finding_and_warns_of_collapse(skilled):
    *_, comparison = skilled
    row: Row = comparison.row("grpo_2nd").model_copy(update={"straight_share": 0.8, "up_share": 0.97})
    verdict = give_verdict(row, ruling_of(row))
    assert verdict.sentence.lower().startswith(verdict.finding)
    assert len(verdict.warnings) == 2
    worse = row.model_copy(update={"skill": -0.1, "skill_low": -0.2, "skill_high": -0.05})
    said = give_verdict(worse, ruling_of(worse)).sentence
    assert said.startswith("No evidence of skill, and worse than persistence: ")
    assert "larger" in said


def test_old_files_that_say_worse_than_persistence_are_read(tmp_path, skilled):
    *_, comparison = skilled
    write_comparison(comparison, tmp_path)
    written = tmp_path / "comparison.json"
    text = written.read_text()
    assert set(json.loads(text)["verdict"]) & {"p_value", "baseline"} == set()
    written.write_text(text.replace("evidence of skill", "worse than persistence", 1))
    assert read_comparison(tmp_path).verdict.finding == "worse than the baseline"


def test_compare_back_tests_the_forecasts_beside_holding(skilled):
    windows, targets, best, answers, _ = skilled
    dates = sorted({target.end for target in targets} | {window.date for window in windows})
    place = {day: row for row, day in enumerate(dates)}
    ahead = [dates[place[target.start] : place[target.start] + HORIZON] for target in targets]
    comparison = run(windows, targets, best, answers, ahead=ahead)
    rows = {row.name: row for row in comparison.trading}
    assert set(rows) == {"base", "grpo_2nd", "drift", "best_possible", "hold"}
    assert rows["best_possible"].sharpe > rows["base"].sharpe
    assert rows["grpo_2nd"].deflated_sharpe > 0.95
    assert comparison.trials == 2
    assert [record["date"] for record in comparison.equity] == sorted({day for days in ahead for day in days})


def test_compare_tells_what_comes_from_the_input(skilled):
    *_, comparison = skilled
    final, drift = comparison.row("grpo_2nd"), comparison.row("drift")
    assert final.swapped_skill < final.skill - 0.1
    assert drift.swapped_skill == pytest.approx(drift.skill)
    assert not comparison.verdict.warnings
    assert final.identical_share < 0.01
    assert drift.identical_share == 1.0


def test_compare_warns_of_a_policy_that_always_answers_the_same(skilled):
    windows, targets, best, answers, _ = skilled
    same = [[Forecast(tuple(100.0 + 0.1 * day for day in range(HORIZON)))] * 4 for _ in windows]
    comparison = run(windows, targets, best, {"base": answers["base"], "grpo_2nd": same})
    said = " ".join(comparison.verdict.warnings)
    assert "100% of its answers are one and the same" in said
    assert "they do not follow what the model is shown" in said


def test_compare_keeps_only_the_best_in_the_confidence_set(skilled):
    *_, comparison = skilled
    assert comparison.row("best_possible").confidence_p == 1.0
    assert comparison.row("base").confidence_p < 0.05
    assert comparison.row("persistence").confidence_p < 0.05


def test_compare_splits_skill_by_stock_volatility_and_quarter(skilled):
    windows, *_, comparison = skilled
    own = [group for group in comparison.by_group if group.name == "grpo_2nd"]
    for by in ("stock", "volatility", "quarter"):
        assert sum(group.windows for group in own if group.by == by) == len(windows)
    for group in own:
        few = group.group == "2023-Q3"  # its 30 dates are two blocks
        assert (group.low is None and group.high is None) if few else group.low < group.skill < group.high
    assert [group.group for group in own if group.by == "quarter"] == ["2023-Q1", "2023-Q2", "2023-Q3"]
    assert [group.group for group in own if group.by == "volatility"] == ["low", "middle", "high"]


def test_tables_say_where_the_dates_are_too_few_for_an_interval(tmp_path, skilled):
    windows, targets, best, answers, comparison = skilled
    write_comparison(comparison, tmp_path / "many")
    groups = pd.read_csv(tmp_path / "many" / "by_group.csv")
    assert set(groups["group"][groups["note"] == "too few dates"]) == {"2023-Q3"}
    assert groups["low"].isna().equals(groups["note"].notna())
    early = [place for place, window in enumerate(windows) if window.date < "2023-02-01"]
    taken = [[values[place] for place in early] for values in (windows, targets)]
    few = run(*taken, best, {name: [given[place] for place in early] for name, given in answers.items()})
    assert {(row.skill_low, row.single_high, row.gain_low) for row in few.rows} == {(None, None, None)}
    assert few.verdict.low is None and few.verdict.finding == "too little data to tell"
    assert {point.low for point in few.by_horizon} == {None}
    write_comparison(few, tmp_path / "few")
    assert read_comparison(tmp_path / "few") == few.model_copy(update={"windows": ()})
    assert set(pd.read_csv(tmp_path / "few" / "comparison.csv")["note"]) == {"too few dates"}


@pytest.mark.parametrize(
    ("weight", "addition"), [(1.0, "adds to it"), (0.6, "no evidence that it adds to it"), (0.1, "is worse than it")]
)
def test_compare_says_whether_the_model_adds_to_the_best_numeric_baseline(skilled, weight, addition):
    windows, targets, best, *_ = skilled
    weak = np.array([100 + 0.6 * (np.array(best[window.key]) - 100) for window in windows])
    answers = {"base": noisy(windows, best, 0.0, 1.0, 1), "grpo_2nd": noisy(windows, best, weight, 0.1, 2)}
    comparison = compare(windows, targets, answers, {"ridge": weak}, best, CONFIG, seed=0)
    found, row = comparison.verdict.best_baseline, comparison.row("grpo_2nd")
    assert (found.name, found.addition) == ("ridge", addition)
    assert found.gain == pytest.approx(row.skill - comparison.row("ridge").skill)
    assert found.gain_low < found.gain < found.gain_high
    assert (found.skill, found.low) == (comparison.row("ridge").skill, comparison.row("ridge").skill_low)


def test_the_best_numeric_baseline_is_persistence_where_no_other_is_truly_better(skilled):
    windows, targets, _, answers, _ = skilled
    hair = np.repeat(np.array([window.context[-1] for window in windows])[:, None], HORIZON, axis=1) * (1 + 1e-12)
    comparison = compare(windows, targets, answers, {"smoothing": hair}, None, CONFIG, seed=0)
    found, row = comparison.verdict.best_baseline, comparison.row("grpo_2nd")
    assert (found.name, found.addition) == ("persistence", "adds to it")
    assert (found.gain, found.gain_low) == pytest.approx((row.skill, row.skill_low))
    assert (comparison.generated, comparison.stocks) == (False, ("S0", "S1", "S2"))


def test_comparison_frame_has_a_column_for_each_coverage(skilled):
    frame = skilled[-1].frame().set_index("name")
    assert {"coverage_0.5", "coverage_0.8", "coverage_0.95"} <= set(frame.columns)
    assert frame["coverage_0.8"].isna()["persistence"]
    assert 0 < frame["coverage_0.8"]["grpo_2nd"] < 1


def test_without_read_gives_the_verdict_on_later_windows_alone(skilled):
    windows, targets, best, answers, comparison = skilled

    def again(places):
        def some(values):
            return [values[place] for place in places]

        return run(some(windows), some(targets), best, {name: some(given) for name, given in answers.items()})

    cutoff = sorted({window.date for window in windows})[60]
    marked = without_read(comparison, cutoff, windows, again)
    later = again([place for place, window in enumerate(windows) if window.date > cutoff])
    assert marked.unread_windows == len([window for window in windows if window.date > cutoff]) < len(windows)
    assert marked.unread_verdict == later.verdict
    assert marked.verdict == comparison.verdict
    assert without_read(comparison, "2000-01-01", windows, again).unread_verdict == comparison.verdict
    nothing = without_read(comparison, "2100-01-01", windows, again)
    assert (nothing.unread_windows, nothing.unread_verdict) == (0, None)
