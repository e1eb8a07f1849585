"""The direction recipe's way from bars and news to a training: examples, rewards in TRL's form, joined adapters."""

import json
import re

import numpy as np
import pytest

from preprocessing import dataset as preprocessing_dataset
from stonk_pipeline.cli import build_parser
from stonk_pipeline.commands.options import resolve_config
from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.contracts.direction import question
from stonk_pipeline.contracts.direction.cases import read_examples
from stonk_pipeline.contracts.direction.lesson import validation_figures
from stonk_pipeline.contracts.direction.make import stage as examples_stage
from stonk_pipeline.contracts.direction.rewards import COMPONENTS, Outcome
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.recipes import load_config, make_config
from stonk_pipeline.contracts.runs import run_at, write_run
from stonk_pipeline.errors import ConfigError, DataError, StageError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.models.load import join_adapters
from stonk_pipeline.runs.manifest import MANIFEST, Stage, execute
from stonk_pipeline.schema import Call, Unreadable
from stonk_pipeline.training.lesson import Reward
from stonk_pipeline.training.telemetry import OF_TRAINER
from tests.marking import TOKENIZER, call_lesson, marks_of, spelled

MARKET = {"tickers": 2, "days": 600}


def config(**changes) -> DirectionConfig:
    found = make_config(
        {"contract": "direction", "data": {"market": MARKET, "horizon": 1}} | changes, source="the test"
    )
    assert isinstance(found, DirectionConfig)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Preprocessing and examples of a small generated market."""
    run = run_at(tmp_path_factory.mktemp("calls"), config())
    for step in ("preprocess", "examples"):
        run.execute(step, lambda *_: None)
    return run


def test_examples_stage_makes_the_sets_of_both_stages_from_generated_news(made):
    out = made.stage_dir("examples")
    sets = {name: read_examples(out, name) for name in ("balanced", "natural", "val", "test")}
    counts = sets["balanced"].counts
    assert counts["up"] == counts["down"] > 100
    assert counts["flat"] == 0
    assert any(decision.headlines for decision in sets["natural"].decisions)
    last = {name: max(decision.window.date for decision in found.decisions) for name, found in sets.items()}
    assert last["natural"] < min(d.window.date for d in sets["val"].decisions)
    assert last["val"] < min(d.window.date for d in sets["test"].decisions)
    summary = json.loads((out / examples_stage.SUMMARY).read_text())
    assert summary["informative_share"] == pytest.approx(0.2, abs=0.04)
    assert summary["examples"]["test"] == sets["test"].counts


def test_examples_stage_reads_the_news_that_are_its_inputs(made, tmp_path):
    news = tmp_path / "mine.jsonl"
    line = {"timestamp": "2019-01-02T15:00:00+00:00", "ticker": "SIM01", "headline": "SIM01 wins an order"}
    news.write_text(json.dumps(line) + "\n")
    run = run_at(tmp_path / "run", config(news=str(news)))
    execute(preprocessing_dataset.STAGE, run.config.preprocess_stage(), {}, run.stage_dir("preprocess"))
    assert set(run.inputs("examples")) == {"dataset", "news/mine.jsonl"}
    assert run.execute("examples", lambda *_: None).numbers["headlines"]["read"] == 1
    news.write_text("{}\n")
    with pytest.raises(DataError, match=r"mine\.jsonl, line 1"):
        run.execute("examples", lambda *_: None)
    news.write_text(2 * (json.dumps(line | {"ticker": "SIM01.US"}) + "\n"))
    with pytest.raises(DataError, match=r"mine\.jsonl: none of 2 headlines .* there is SIM01\.US here, and SIM01"):
        run.execute("examples", lambda *_: None)


def test_examples_stage_refuses_facts_of_no_stock_of_the_run(made, tmp_path):
    path = tmp_path / "companies.json"
    inputs = {"dataset": made.stage_dir("preprocess"), examples_stage.COMPANIES: path}
    path.write_text('{"SIM01.US": {"name": "Sim"}, "KO": {}}')
    with pytest.raises(DataError, match=r"companies\.json: none of 2 companies .* SIM01\.US here, and SIM01"):
        execute(examples_stage.STAGE, made.config.examples_stage(), inputs, tmp_path / "out")
    path.write_text('{"SIM01.US": {}, "sim02": {"name": "Sim"}}')
    execute(examples_stage.STAGE, made.config.examples_stage(), inputs, tmp_path / "out")


def test_run_asks_for_news_with_real_bars():
    with pytest.raises(ConfigError, match=r"news: give a file or folder of headlines"):
        config(data={"data_dir": "bars"})
    assert config(data={"data_dir": "bars", "horizon": 1}, prompt={"news": False}).real_data


def test_marks_note_what_the_components_say_and_follow_the_calls(tmp_path):
    truths = [Outcome(1.0, 1.0, "Up or down?"), Outcome(-2.0, 1.0, "Up or down?", flat=False)] * 2
    texts = [question.answer("I think it rises.", "up", 1.0, 0.8)] * 3 + ["nothing"]
    taught = call_lesson(truths)
    marks = marks_of(taught, tmp_path)
    ids, case = spelled(texts), [0, 1, 2, 3]
    marks.of(ids, case)
    last = marks.last
    assert set(taught.columns) == {"step", "reward", "reward_std", *last, *OF_TRAINER}
    assert last["up_share"] == 1.0
    assert last["readable_share"] == 0.75
    assert last["market_up"] == 0.5
    assert last["called_up"] == pytest.approx(0.55)
    marks.log.add({"step": 1, **last})
    continued = marks_of(taught, tmp_path, after_step=1)
    for name, component in COMPONENTS.items():
        plain = [
            component(question.parse(text), Outcome(t.change, t.volatility, t.question, called_up=0.55), config().shape)
            for text, t in zip(texts, truths, strict=True)
        ]
        for step_two in (marks, continued):
            assert Reward(name, step_two)(completion_ids=list(ids), case=case) == plain
        if name != "diversity":  # the share of rises called went on in between
            assert last[f"reward_{name}"] == pytest.approx(np.mean(plain))
            assert last[f"spread_{name}"] == pytest.approx((np.std(plain[:2]) + np.std(plain[2:])) / 2)


def test_what_came_is_in_no_row_of_a_training():
    taught = call_lesson([Outcome(1.0, 1.0, "Up or down?")])
    (row,) = taught.rows(TOKENIZER, 0)
    assert row == {"prompt": taught.asked[0], "case": 0}


def test_validation_figures_count_what_is_unreadable_as_a_coin():
    stage = config().policy_stage("one")
    truths = [Outcome(1.0, 1.0, "?"), Outcome(-1.0, 1.0, "?"), Outcome(0.01, 1.0, "?", flat=True)]
    call = Call("up", 1.0, 0.7, "It goes up as I see it.")
    found = validation_figures([[call], [Unreadable("no answer")], [call]], truths, stage)
    assert found["accuracy"] == 0.75
    assert found["readable_share"] == pytest.approx(2 / 3)
    assert found["up_share"] == 1.0


def adapter(directory, rank, alpha, rng, names=("q", "v")):
    from safetensors.numpy import save_file

    directory.mkdir()
    weights = {}
    for name in names:
        weights[f"base_model.{name}.lora_A.weight"] = rng.normal(size=(rank, 6)).astype(np.float32)
        weights[f"base_model.{name}.lora_B.weight"] = rng.normal(size=(5, rank)).astype(np.float32)
    save_file(weights, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": alpha}))
    return weights


def test_join_adapters_adds_what_both_add(tmp_path):
    from safetensors.numpy import load_file

    rng = np.random.default_rng(0)
    one, two = adapter(tmp_path / "one", 4, 8, rng), adapter(tmp_path / "two", 2, 1, rng)
    join_adapters(tmp_path / "one", tmp_path / "two")
    joined = load_file(tmp_path / "two" / "adapter_model.safetensors")
    about = json.loads((tmp_path / "two" / "adapter_config.json").read_text())
    assert (about["r"], about["lora_alpha"]) == (6, 6)
    for name in ("q", "v"):
        a, b = f"base_model.{name}.lora_A.weight", f"base_model.{name}.lora_B.weight"
        np.testing.assert_allclose(joined[b] @ joined[a], 2.0 * one[b] @ one[a] + 0.5 * two[b] @ two[a], atol=1e-5)


def test_join_adapters_refuses_other_layers(tmp_path):
    rng = np.random.default_rng(0)
    adapter(tmp_path / "one", 4, 4, rng)
    adapter(tmp_path / "two", 4, 4, rng, names=("q",))
    with pytest.raises(StageError, match="different layers"):
        join_adapters(tmp_path / "one", tmp_path / "two")


def gated(tmp_path, go_on):
    run = write_run(tmp_path, config())

    def body(settings, inputs, out, progress):
        return {"go_on": go_on}

    execute(
        Stage("gate", type(run.config.calls_stage("one")), body),
        run.config.calls_stage("one"),
        {},
        run.stage_dir("gate"),
    )
    assert (run.stage_dir("gate") / MANIFEST).is_file()
    return run


@pytest.mark.parametrize(("go_on", "there"), [(True, True), (False, False)])
def test_comparison_rests_on_stage_two_only_if_the_gate_let_it_run(tmp_path, go_on, there):
    assert ("stage_two" in gated(tmp_path, go_on).inputs("compare")) == there


def options(*arguments):
    return resolve_config(build_parser().parse_args(["preprocess", "--run-dir", "x", *arguments]))


def test_options_of_the_documents_change_both_stages():
    found = options(
        *("--recipe", "direction", "--epochs", "5", "--batch-size", "8", "--lr", "1e-5,5e-6", "--kl-coef", "0.15,0.05"),
        *("--save-steps", "100", "--diverse-predictions", "--max-train-samples", "2000", "--gate", "strict"),
        *("--lora-rank", "8"),
    )
    assert isinstance(found, DirectionConfig)
    for stage in (found.stage_one, found.stage_two):
        assert (stage.epochs, stage.prompts_per_step, stage.save_steps, stage.lora.rank) == (5.0, 8, 100, 8)
        assert stage.rewards.diversity == 0.2
    assert (found.stage_one.learning_rate, found.stage_two.learning_rate) == (1e-5, 5e-6)
    assert (found.stage_one.beta, found.stage_two.beta) == (0.15, 0.05)
    assert (found.examples.max_train_samples, found.gate.mode) == (2000, "strict")


def test_options_of_the_direction_recipe_are_refused_elsewhere():
    with pytest.raises(ConfigError, match="--epochs is an option of the direction contract"):
        options("--recipe", "default", "--epochs", "5")


def test_defaults_are_those_of_the_documents():
    found = config()
    assert (found.stage_one.lora.rank, found.stage_one.beta, found.stage_one.learning_rate) == (16, 0.15, 1e-5)
    assert (found.stage_two.lora.rank, found.stage_two.beta, found.stage_two.learning_rate) == (8, 0.05, 5e-6)
    assert found.stage_two.rewards.data_use == 0.30
    assert load_config("direction").contract == "direction"


def write_records(path, days=200):
    frames = generate(MarketConfig(tickers=2, days=300))
    lines = []
    for ticker, frame in frames.items():
        closes, dates = frame["close"].to_list(), frame["date"].dt.strftime("%Y-%m-%d").to_list()
        for row in range(1, days):
            info = {
                "current_date": dates[row],
                "company_info": {"name": ticker, "description": "It makes things."},
                "price": {"close": closes[row], "close_previous": closes[row - 1]},
                "news": {"news_headlines": [f"{ticker} opens an office"]},
                "financials": {"financials": json.dumps({"EPS": 2.5})},
            }
            lines.append(json.dumps({"ticker": ticker, "company_info": info}))
    path.write_text("\n".join(lines) + "\n")


def test_records_take_the_place_of_bars_and_news(tmp_path):
    write_records(tmp_path / "deepstock.jsonl")
    run = write_run(
        tmp_path / "run",
        make_config({"contract": "direction", "records": str(tmp_path / "deepstock.jsonl")}, source="x"),
    )
    assert list(run.graph) == ["examples", "warm-up", "stage-one", "gate", "stage-two", "compare"]
    assert re.fullmatch("DEEPSTOCK-[0-9A-F]{6}", run.config.stock_name)
    assert run.config.real_data
    assert list(run.inputs("examples")) == ["records/deepstock.jsonl"]
    numbers = run.execute("examples", lambda *_: None).numbers
    assert numbers["records"]["read"] == 2 * 199
    sets = {name: read_examples(run.stage_dir("examples"), name) for name in ("natural", "val", "test")}
    for earlier, later in (("natural", "val"), ("val", "test")):
        first = min(decision.window.date for decision in sets[later].decisions)
        assert max(movement.end for movement in sets[earlier].movements) < first
    decision = sets["test"].decisions[0]
    assert decision.company.facts == (("EPS", "2.5"),)
    assert [headline.text for headline in decision.headlines] == [f"{decision.window.stock} opens an office"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such.jsonl", "no such file of records"),
        ("nobody-at-all/nothing-at-all", "cannot be had from the Hugging Face hub"),
    ],
)
def test_records_that_are_not_there_are_named(tmp_path, name, message):
    run = run_at(tmp_path, make_config({"contract": "direction", "records": name}, source="x"))
    with pytest.raises(DataError, match=rf"{name}: .*{message}"):
        run.inputs("examples")


def test_records_and_bars_exclude_each_other():
    with pytest.raises(ConfigError, match="records hold prices, news and facts"):
        config(records="some.jsonl", news="news.jsonl")
