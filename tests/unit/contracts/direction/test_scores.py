"""Scores of models that call directions, against plain computations of the same things; the gate, and the files."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from stonk_pipeline.contracts.direction.cases import Examples, write_examples
from stonk_pipeline.contracts.direction.question import REASONS, answer, question, read_all
from stonk_pipeline.contracts.direction.rewards import COMPONENTS, outcome, score_answer, total
from stonk_pipeline.contracts.direction.scores.answers import completions, write_answers
from stonk_pipeline.contracts.direction.scores.results import read_calls, read_evaluation, read_transition
from stonk_pipeline.contracts.direction.scores.scores import compare_calls, judge_gate
from stonk_pipeline.contracts.direction.scores.stage import (
    evaluate_calls,
    finish,
    finish_gate,
    informative_share,
    name_of,
    read_log,
    some,
)
from stonk_pipeline.contracts.direction.sections import STAGE_ONE, DirectionPrompt, GateConfig
from stonk_pipeline.contracts.direction.settings import CallsStage, DirectionConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.schema import INDICATORS, Call, Decision, Headline, Movement, Unreadable, Window

THOUGHT = "The close of 100.00 is above the SMA of 97.01 and that is firm. So I expect a {} of the price."
TRAINED = {"base": 0.5, "stage_one": 0.65, "stage_two": 0.8}


def made(count=240, stocks=3, seed=0, drift=0.0) -> Examples:
    """Decisions of a walk; every other one has a headline, and some days are flat."""
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64("2021-01-04"), np.datetime64("2021-01-04") + count // stocks + 2)
    decisions, movements = [], []
    for row in range(count):
        day, change = row // stocks, rng.normal(drift, 1.0)
        window = Window(
            stock=f"S{row % stocks}",
            date=str(days[day]),
            context=(98.0, 100.0 + rng.normal(), 100.0),
            indicators=dict.fromkeys(INDICATORS, 55.0) | {"sma": 97.01},
            statistics={},
            volatility=1.2,
            price_offset=0.0,
            price_unit=1.0,
        )
        news = (Headline("", "S0 wins an order", 3.0),) if row % 2 else ()
        decisions.append(Decision(window, None, news))
        label = "flat" if abs(change) < 0.05 else "up" if change > 0 else "down"
        movements.append(Movement(str(days[day + 1]), change, label))
    return Examples(decisions, movements)


def answers_to(examples, right, seed, samples=3):
    """Texts that are right about so often; a few cannot be read."""
    rng = np.random.default_rng(seed)
    texts = []
    for movement in examples.movements:
        given = []
        for _ in range(samples):
            side = "up" if (movement.change > 0) == (rng.random() < right) else "down"
            text = answer(THOUGHT.format("rise" if side == "up" else "fall"), side, rng.uniform(0, 2), 0.7)
            given.append(text if rng.random() > 0.1 else rng.choice(["up", text + text, text[:-12], ""]))
        texts.append(given)
    return texts


def stage(which="two", real=False, **changes) -> CallsStage:
    config = DirectionConfig(contract="direction").calls_stage(which)
    comparison = config.comparison.model_copy(update={"resamples": 200, "windows": 90})
    return config.model_copy(update={"comparison": comparison, "real_data": real} | changes)


EXAMPLES = made()
TEXTS = {name: answers_to(EXAMPLES, right, seed) for seed, (name, right) in enumerate(TRAINED.items())}
ANSWERS = {name: read_all(texts) for name, texts in TEXTS.items()}
CONFIG = stage()


@pytest.fixture(scope="module")
def comparison():
    return compare_calls(EXAMPLES, ANSWERS, CONFIG, informative_share=0.2)


def pairs(name):
    """Each single answer of a model with its outcome."""
    for decision, movement, given in zip(*EXAMPLES, ANSWERS[name], strict=True):
        truth = outcome(decision, movement, question(decision, CONFIG.prompt, 1), 1)
        for said in given:
            yield said, truth


@pytest.mark.parametrize("place", range(3))
def test_compare_calls_scores_calls_as_a_plain_count_does(comparison, place):
    name = list(TRAINED)[place]
    hits, moved, brier, table = 0.0, 0, 0.0, dict.fromkeys([(a, b) for a in ("up", "down", "flat") for b in "udc"], 0)
    for movement, given in zip(EXAMPLES.movements, ANSWERS[name], strict=True):
        chances = [0.5 if isinstance(a, Unreadable) else a.confidence if a.side == "up" else 1 - a.confidence
                   for a in given]  # fmt: skip
        chance = round(sum(chances) / len(chances), 9)
        table[movement.label, "c" if chance == 0.5 else "u" if chance > 0.5 else "d"] += 1
        if movement.label != "flat":
            moved += 1
            hits += 0.5 if chance == 0.5 else (chance > 0.5) == (movement.label == "up")
            brier += (chance - (movement.label == "up")) ** 2
    row = comparison.models[place].row
    assert (row.name, row.moved, row.decisions) == (name, moved, len(EXAMPLES.movements))
    assert row.accuracy == pytest.approx(hits / moved)
    assert row.brier == pytest.approx(brier / moved)
    found = {(came, call[0]): count for came, calls in row.confusion.items() for call, count in calls.items()}
    assert found == table


@pytest.mark.parametrize("place", range(3))
def test_compare_calls_scores_answers_as_a_plain_mean_does(comparison, place):
    name = list(TRAINED)[place]
    model, said = comparison.models[place], list(pairs(name))
    assert model.answers == len(said) == 3 * len(EXAMPLES.movements)
    assert model.reward == pytest.approx(np.mean([total(*pair, CONFIG.rewards, CONFIG.shape) for pair in said]))
    for component, reward in COMPONENTS.items():
        if component != "diversity":  # which also looks at the model's own share
            assert model.components[component] == pytest.approx(np.mean([reward(*pair) for pair in said]))
    scores = np.array([dataclasses.astuple(score_answer(*pair)) for pair in said]).mean(axis=0)
    quality = model.quality
    assert (quality.accuracy, quality.data_use, quality.structure) == pytest.approx(tuple(scores))
    assert quality.total == pytest.approx(scores.sum())
    assert quality.reasoning == pytest.approx(scores[1:].sum())
    moved = [(a, t) for a, t in said if not t.flat]
    right = [0.5 if isinstance(a, Unreadable) else float((a.side == "up") == (t.change > 0)) for a, t in moved]
    assert model.single_accuracy == pytest.approx(np.mean(right))


def test_compare_calls_counts_what_could_not_be_read(comparison):
    for model in comparison.models:
        reasons = [said.reason for said, _ in pairs(model.name) if isinstance(said, Unreadable)]
        assert model.unreadable == {reason: reasons.count(reason) for reason in set(reasons)}
        assert set(model.unreadable) <= set(REASONS)
        assert model.row.unreadable_share == pytest.approx(len(reasons) / model.answers)
    assert len(comparison.final.unreadable) > 1


def test_compare_calls_takes_the_baselines_from_the_same_days(comparison):
    majority, yesterday = comparison.baselines
    moved = [m.label for m in EXAMPLES.movements if m.label != "flat"]
    assert comparison.market_up == pytest.approx(moved.count("up") / len(moved))
    assert majority.accuracy == pytest.approx(max(comparison.market_up, 1 - comparison.market_up))
    signs = [
        0.5 + 0.5 * np.sign(100 - decision.window.context[-2]) * (1 if movement.label == "up" else -1)
        for decision, movement in zip(*EXAMPLES, strict=True)
        if movement.label != "flat"
    ]
    assert yesterday.accuracy == pytest.approx(np.mean(signs))


def test_compare_calls_sets_each_model_beside_the_one_before_and_the_last_beside_the_first(comparison):
    accuracy = {model.name: model.row.accuracy for model in comparison.models}
    reward = {model.name: model.reward for model in comparison.models}
    assert [(gain.name, gain.over) for gain in comparison.gains] == [
        ("stage_one", "base"),
        ("stage_two", "stage_one"),
        ("stage_two", "base"),
    ]
    for gain in comparison.gains:
        assert gain.accuracy == pytest.approx(accuracy[gain.name] - accuracy[gain.over])
        assert gain.reward == pytest.approx(reward[gain.name] - reward[gain.over])
        assert gain.low <= gain.accuracy <= gain.high
    assert comparison.verdict.model == comparison.final.name == "stage_two"
    assert comparison.verdict.finding == "evidence of skill"


def test_compare_calls_groups_add_up_and_know_days_with_headlines(comparison):
    moved = [m.label != "flat" for m in EXAMPLES.movements]
    for model in comparison.models:
        for by in ("stock", "month", "news"):
            part = [group for group in comparison.groups if group.name == model.name and group.by == by]
            assert sum(group.decisions for group in part) == sum(moved)
            whole = sum(group.accuracy * group.decisions for group in part) / sum(moved)
            assert whole == pytest.approx(model.row.accuracy)
    with_news = sum(there and bool(d.headlines) for there, d in zip(moved, EXAMPLES.decisions, strict=True))
    assert [g.decisions for g in comparison.groups if g.by == "news" and g.group == "other headlines"] == [
        with_news
    ] * 3


def test_compare_calls_knows_company_news_of_the_day_on_a_generated_market():
    told = [
        Headline("", "the company wins an order worth 12 million", 3.0),
        Headline("", "the company wins an order worth 12 million", 30.0),
        Headline("", "webcast 7: options on the company explained", 3.0),
    ]
    decisions = [
        dataclasses.replace(decision, headlines=(told[row % 3],) if row % 4 else ())
        for row, decision in enumerate(EXAMPLES.decisions)
    ]
    examples = Examples(decisions, EXAMPLES.movements)
    expected = {"generated": {"company news of the day", "other headlines", "no headlines"}}
    expected["real"] = {"headlines", "no headlines"}
    for kind, names in expected.items():
        found = compare_calls(examples, {"base": ANSWERS["base"]}, stage(real=kind == "real"))
        assert {group.group for group in found.groups if group.by == "news"} == names
    fresh = sum(row % 4 != 0 and row % 3 == 0 and m.label != "flat" for row, m in enumerate(EXAMPLES.movements))
    found = compare_calls(examples, {"base": ANSWERS["base"]}, stage())
    assert [g.decisions for g in found.groups if g.group == "company news of the day"] == [fresh]


def test_compare_calls_does_without_stage_two():
    found = compare_calls(EXAMPLES, {name: ANSWERS[name] for name in ("base", "stage_one")}, CONFIG)
    assert found.verdict.model == "stage_one"
    assert len(found.gains) == 1
    alone = compare_calls(EXAMPLES, {"mine": ANSWERS["stage_two"]}, CONFIG)
    assert (alone.verdict.model, alone.gains, alone.transition) == ("mine", (), None)


def test_compare_calls_rings_on_real_bars_alone(comparison):
    assert comparison.alarm is None  # 0.8 on a generated market is what the training is for
    real = compare_calls(EXAMPLES, ANSWERS, stage(real=True))
    best = max(model.row.accuracy for model in real.models)
    assert f"Leakage alarm: {best:.1%}" in real.alarm
    assert compare_calls(EXAMPLES, {"base": ANSWERS["base"]}, stage(real=True)).alarm is None
    # A model that is too good before any training has read about these days, whatever became of it.
    assert compare_calls(EXAMPLES, {"base": ANSWERS["stage_two"], "stage_one": ANSWERS["base"]}, stage(real=True)).alarm


def test_compare_calls_judges_days_after_the_cutoff_alone():
    cutoff = sorted({decision.window.date for decision in EXAMPLES.decisions})[39]
    config = stage(model=CONFIG.model.model_copy(update={"knowledge_cutoff": cutoff}))
    found = compare_calls(EXAMPLES, ANSWERS, config)
    rows = [row for row, decision in enumerate(EXAMPLES.decisions) if decision.window.date > cutoff]
    later = compare_calls(EXAMPLES.take(rows), {"stage_two": [ANSWERS["stage_two"][row] for row in rows]}, CONFIG)
    assert found.unread_decisions == len(rows) == 3 * 40
    assert found.unread_verdict == later.verdict
    last = stage(model=CONFIG.model.model_copy(update={"knowledge_cutoff": "2030-01-01"}))
    assert (compare_calls(EXAMPLES, ANSWERS, last).unread_verdict, found.cutoff) == (None, cutoff)


def test_compare_calls_of_nothing_but_unreadable_answers_is_a_coin():
    mute = [[Unreadable("no answer")] * 2 for _ in EXAMPLES.decisions]
    found = compare_calls(EXAMPLES, {"base": mute}, CONFIG)
    model = found.final
    assert (model.row.accuracy, model.single_accuracy, model.quality.total) == (0.5, 0.5, 0.0)
    assert model.unreadable == {"no answer": len(mute) * 2}
    assert model.reward < 0
    assert {example.kind for example in found.examples} == {"unreadable"}
    assert any("could not be read" in warning for warning in found.verdict.warnings)


def test_compare_calls_refuses_what_does_not_fit():
    for answers, words in (
        ({}, "nothing to compare"),
        ({"base": ANSWERS["base"][:-1]}, r"answered 239 of 240"),
        ({"base": [[], *ANSWERS["base"][1:]]}, "same number of answers"),
    ):
        with pytest.raises(StageError, match=words):
            compare_calls(EXAMPLES, answers, CONFIG)
    still = Examples(EXAMPLES.decisions, [Movement(m.end, 0.0, "flat") for m in EXAMPLES.movements])
    with pytest.raises(StageError, match="flat_percent"):
        compare_calls(still, ANSWERS, CONFIG)


def test_one_sided_models_pay_for_it_where_diversity_has_a_weight():
    always = [[Call("up", 1.0, 0.6, "It will surely rise this time.")] for _ in EXAMPLES.decisions]
    config = stage(rewards=STAGE_ONE.model_copy(update={"diversity": 0.5}))
    found = compare_calls(EXAMPLES, {"base": always}, config).final
    lean = 1.0 - EXAMPLES.up_share
    expected = -(lean - config.shape.diversity_band) / (0.5 - config.shape.diversity_band)
    assert found.components["diversity"] == pytest.approx(max(-1.0, expected))
    assert compare_calls(EXAMPLES, {"base": always}, CONFIG).final.reward == pytest.approx(
        np.mean([total(a, t, CONFIG.rewards) for (a,), (_, t) in zip(always, list(pairs("base"))[::3], strict=True)])
    )


def test_examples_are_the_best_and_the_worst_paid_answers_of_distinct_dates(comparison):
    rewards = [total(*pair, CONFIG.rewards) for pair in pairs("stage_two") if isinstance(pair[0], Call)]
    for kind, best in (("good", max(rewards)), ("bad", min(rewards))):
        shown = [example for example in comparison.examples if example.kind == kind]
        assert len({example.date for example in shown}) == len(shown) == 3
        assert shown[0].reward == pytest.approx(best)
        paid = [example.reward for example in shown]
        assert paid == sorted(paid, reverse=kind == "good")
    for example in comparison.examples:
        row = next(r for r, d in enumerate(EXAMPLES.decisions) if d.window.key == (example.stock, example.date))
        said = ANSWERS["stage_two"][row][example.sample]
        assert example.question == question(EXAMPLES.decisions[row], DirectionPrompt(), 1)
        assert (example.change, example.label) == (EXAMPLES.movements[row].change, EXAMPLES.movements[row].label)
        if example.kind == "unreadable":
            assert (example.side, example.reason) == (None, said.reason)
        else:
            assert (example.thinking, example.side, example.size) == (said.thinking, said.side, said.change)


# The gate


def test_judge_gate_hands_its_figures_to_the_gate(comparison):
    losses = [1.0] * 10 + [0.02, -0.02] * 10
    record = judge_gate(EXAMPLES, ANSWERS["stage_one"], losses, stage("one"), "stage_one")
    figures, said = record.figures, list(pairs("stage_one"))
    assert figures.reward == pytest.approx(np.mean([total(*pair, STAGE_ONE) for pair in said]))
    assert figures.reasoning == pytest.approx(np.mean([score_answer(*pair).reasoning for pair in said]))
    assert figures.accuracy == comparison.models[1].row.accuracy
    assert (figures.loss, figures.loss_spread) == (pytest.approx(0.02), pytest.approx(0.02))
    assert figures.decisions == sum(movement.label != "flat" for movement in EXAMPLES.movements)
    short = judge_gate(EXAMPLES, ANSWERS["stage_one"], losses[:5], stage("one"), "stage_one").figures
    assert (short.loss, short.loss_spread) == (None, None)


def test_finish_gate_writes_what_it_says_and_stops_where_it_is_strict(tmp_path):
    losses = [0.01] * 20
    for mode, go_on in (("report", True), ("strict", False)):
        config = stage("one", gate=GateConfig(mode=mode))
        record = judge_gate(EXAMPLES, ANSWERS["stage_one"], losses, config, "stage_one")
        out = tmp_path / mode
        out.mkdir()
        numbers = finish_gate(record, config, out)
        found = read_transition(out)
        assert (numbers["passed"], numbers["go_on"]) == (found.passed, found.go_on) == (False, go_on)
        assert read_evaluation(out) == record
        assert json.loads(json.dumps(numbers)) == numbers
        assert numbers["accuracy"] == record.figures.accuracy
    easy = GateConfig(mode="strict", min_reward=-1, min_accuracy=0.5, min_reasoning=0.0)
    assert finish_gate(record, stage("one", gate=easy), tmp_path)["go_on"]
    real = judge_gate(EXAMPLES, ANSWERS["stage_two"], losses, stage("one", real=True), "stage_one")
    numbers = finish_gate(real, stage("one", real=True, gate=easy), tmp_path)
    assert "Leakage alarm" in numbers["alarm"]
    assert not numbers["go_on"]


# The files


@pytest.fixture(scope="module")
def directory(comparison, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("model_comparison")
    finish(comparison, out, {})
    return out


def test_read_calls_gives_back_what_finish_wrote(comparison, directory):
    assert read_calls(directory) == comparison
    verdict = json.loads((directory / "verdict.json").read_text())
    shared = {"model", "finding", "sentence", "skill", "low", "high", "dates", "blocks", "confidence", "warnings"}
    assert shared <= set(verdict)  # the keys that a registry reads of a forecaster's verdict
    (directory / "comparison.json").rename(directory / "away")
    with pytest.raises(StageError, match=r"no comparison\.json"):
        read_calls(directory)
    (directory / "comparison.json").write_text((directory / "away").read_text()[:-100])
    with pytest.raises(StageError, match="not JSON"):
        read_calls(directory)
    (directory / "away").replace(directory / "comparison.json")


def test_finish_writes_tables_that_say_the_same(comparison, directory):
    table = pd.read_csv(directory / "comparison.csv", index_col="name")
    assert list(table["kind"]) == ["model"] * 3 + ["baseline"] * 2
    for model in comparison.models:
        assert table.loc[model.name, "reward"] == pytest.approx(model.reward, rel=1e-5)
        assert table.loc[model.name, "reward_data_use"] == pytest.approx(model.components["data_use"], rel=1e-5)
    assert math.isnan(table.loc["majority", "reward"])
    confusion = pd.read_csv(directory / "confusion.csv")
    assert (confusion.groupby("name")["decisions"].sum() == len(EXAMPLES.decisions)).all()
    bins = pd.read_csv(directory / "reliability.csv")
    assert (bins.groupby("name")["calls"].sum() == comparison.final.row.moved).all()
    assert set(pd.read_csv(directory / "by_group.csv")["by"]) == {"stock", "month", "news"}


def test_finish_writes_a_log_that_a_person_can_read(comparison, directory):
    text = (directory / "test_results.log").read_text()
    assert text.startswith(f"Stage II: {comparison.verdict.finding.upper()}\n{comparison.verdict.sentence}\n")
    for model in comparison.models:
        for shown in (f"{model.row.accuracy:.1%}", f"{model.row.roc_auc:.3f}", f"{model.reward:+.3f}"):
            assert shown in text
    assert text.isascii()
    assert all(len(line) < 170 for line in text.splitlines())
    assert {path.stem for path in (directory / "pictures").iterdir()} == {
        "reliability",
        "confusion",
        "accuracy_by_month",
    }


def test_finish_logs_alarm_and_gate(tmp_path):
    config = stage("one", real=True, gate=GateConfig(mode="strict"))
    record = judge_gate(EXAMPLES, ANSWERS["stage_one"], [0.01] * 20, config, "stage_one")
    finish_gate(record, config, tmp_path)
    answers = {name: ANSWERS[name] for name in ("base", "stage_one")}
    numbers = finish(compare_calls(EXAMPLES, answers, config, gate=read_transition(tmp_path)), tmp_path, {})
    text = (tmp_path / "test_results.log").read_text()
    assert f"! {numbers['alarm']}" in text
    assert "Stage II is not run" in text
    assert {"accuracy_base", "accuracy_majority", "reward_stage_one"} <= set(numbers)


def test_write_answers_keeps_every_answer_as_it_was_written(tmp_path):
    write_answers(tmp_path, "base", EXAMPLES, TEXTS["base"], ANSWERS["base"])
    rows = pq.read_table(tmp_path / "calls" / "base.parquet").to_pylist()
    flat = [
        (decision.window.key, sample, text, said)
        for decision, texts, answers in zip(EXAMPLES.decisions, TEXTS["base"], ANSWERS["base"], strict=True)
        for sample, (text, said) in enumerate(zip(texts, answers, strict=True))
    ]
    assert len(rows) == len(flat)
    for row, (key, sample, text, said) in zip(rows, flat, strict=True):
        assert ((row["stock"], row["date"]), row["sample"], row["completion"]) == (key, sample, text)
        if isinstance(said, Unreadable):
            assert (row["reason"], row["side"], row["thinking"]) == (said.reason, None, None)
        else:
            found = Call(row["side"], row["change"], row["confidence"], row["thinking"])
            assert (found, row["reason"]) == (said, None)
    key, sample, text, _ = flat[7]
    assert completions(tmp_path, "base")[key][sample] == text
    assert completions(tmp_path, "other") == {}
    (tmp_path / "calls" / "base.parquet").write_bytes(b"no parquet")
    with pytest.raises(StageError, match="damaged"):
        completions(tmp_path, "base")


def test_some_spreads_over_dates_and_stocks(tmp_path):
    write_examples(EXAMPLES, tmp_path, "test")
    found = some(CONFIG, tmp_path, "test")
    assert len(found.decisions) == 90
    stocks = [decision.window.stock for decision in found.decisions]
    assert {stocks.count(stock) for stock in set(stocks)} == {30}
    assert len({decision.window.date for decision in found.decisions}) >= 60
    assert some(CONFIG, tmp_path, "test") == found
    with pytest.raises(StageError, match="missing"):
        some(CONFIG, tmp_path, "val")


def test_read_log_and_informative_share_name_what_is_missing(tmp_path):
    with pytest.raises(StageError, match="run the training again"):
        read_log(tmp_path)
    (tmp_path / "training_log.csv").write_text("")
    with pytest.raises(StageError, match="damaged"):
        read_log(tmp_path)
    assert informative_share(tmp_path) is None
    (tmp_path / "examples.json").write_text(json.dumps({"informative_share": 0.19}))
    assert informative_share(tmp_path) == 0.19
    (tmp_path / "examples.json").write_text(json.dumps({"informative_share": None}))
    assert informative_share(tmp_path) is None


def test_evaluate_calls_refuses_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(StageError, match=r"adapter_config\.json"):
        evaluate_calls(CONFIG, tmp_path, tmp_path / "adapter", tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_name_of_an_adapter_is_that_of_its_stage_or_folder(tmp_path):
    assert name_of(None) == "base"
    assert name_of(tmp_path / "stage1_training" / "adapter") == "stage1_training"
    assert name_of(tmp_path / "direction_lora_2nd") == "direction_lora_2nd"
