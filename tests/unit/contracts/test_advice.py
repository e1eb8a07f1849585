"""The commands that a report suggests: each is read back by the very parser that it is meant for."""

import argparse
import shlex
from pathlib import Path

import pytest

from stonk_pipeline.commands.options import add_config_options, resolve_config
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.advice import OWN_DATA, again, too_short
from stonk_pipeline.contracts.direction.page.first import advice as advice_on_calls
from stonk_pipeline.contracts.forecast.page.first import (
    advice,
    cautioned,
    headline_of,
)
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.evaluation.verdict import BestBaseline, Verdict

RUN = Path("results/EMBEDDED_20250102_030405")
ENDS = {"low": 0.1, "high": 0.2}
FINDINGS = ("evidence of skill", "no evidence of skill", "worse than the baseline", "too little data to tell")
REAL = {"data": {"data_dir": "bars of mine", "stocks": ["AAPL", "MSFT"]}, "seed": 3}


def parsed(command: str):
    """The settings that a command line resolves to."""
    program, *tokens = shlex.split(command)
    assert program == "./run_pipeline.sh"
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    return resolve_config(parser.parse_args(tokens))


def verdict(finding="evidence of skill", addition="adds to it", name="ridge") -> Verdict:
    best = BestBaseline(name=name, skill=0.2, **ENDS, addition=addition, gain=-0.1, gain_low=-0.2, gain_high=-0.05)
    numbers = {"skill": 0.15, **ENDS, "dates": 100, "blocks": 9.0, "confidence": 0.95}
    return Verdict(model="grpo_2nd", finding=finding, sentence="It is so.", best_baseline=best, **numbers)


def comparison(said: Verdict, generated: bool) -> Comparison:
    """A comparison as far as the first screen reads it."""
    return Comparison.model_construct(verdict=said, generated=generated, stocks=("A",), rows=())


def test_again_keeps_the_runs_own_options_and_changes_what_it_is_told():
    config = load_config("default", REAL | {"sft": {"epochs": 3}})
    command = again(config, RUN, {"data.folds": 3})
    assert parsed(command).model_dump() == config.with_data(folds=3).model_dump()
    assert command == (
        "./run_pipeline.sh --recipe default --data-dir 'bars of mine' --stock AAPL,MSFT --seed 3 --set sft.epochs=3.0"
        " --folds 3"
    )


def test_again_of_a_generated_market_on_own_bars_leaves_the_markets_settings_out():
    config = load_config("default", {"data": {"market": {"kind": "random_walk"}}})
    assert again(config, RUN, OWN_DATA) == "./run_pipeline.sh --recipe default --stock AAPL --data-dir my-bars"
    assert again(config, RUN, {}) == "./run_pipeline.sh --recipe default --set data.market.kind=random_walk"


@pytest.mark.parametrize("recipe", [None, "mine.yaml"])
def test_again_of_a_recipe_that_is_not_shipped_names_the_runs_settings(recipe, tmp_path):
    config = load_config("default", REAL).model_copy(update={"recipe": recipe})
    command = again(config, RUN, {"seed": 4})
    assert command == f"./run_pipeline.sh --recipe {RUN}/config.json --seed 4"
    path = tmp_path / "copy.yaml"
    path.write_text(config.model_dump_json())
    read = parsed(command.replace(f"{RUN}/config.json", str(path)))
    assert read.model_dump(exclude={"recipe"}) == config.model_copy(update={"seed": 4}).model_dump(exclude={"recipe"})


@pytest.mark.parametrize("recipe", ["default", "small"])
@pytest.mark.parametrize("more", [{}, REAL, {"data": {"market": {"kind": "random_walk"}}}, {"data": {"folds": 2}}])
def test_advice_gives_three_different_commands_that_can_be_run(recipe, more):
    config = load_config(recipe, more)
    for finding in FINDINGS:
        for addition in ("adds to it", "is worse than it"):
            given = advice(comparison(verdict(finding, addition), more is not REAL), config, RUN)
            assert len({item.command for item in given}) == len({item.what for item in given}) == 3
            for item in given:
                assert parsed(item.command) != config


@pytest.mark.parametrize("recipe", ["direction", "direction-qwen-1.5b"])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("finding", FINDINGS)
def test_advice_on_calls_gives_three_different_commands_that_can_be_run(recipe, real, finding):
    from stonk_pipeline.contracts.direction.scores.results import CallComparison

    own = {"data": {"data_dir": "my-bars", "stocks": ["AAPL"]}, "news": "my-news"} if real else {}
    config = load_config(recipe, own)
    given = advice_on_calls(CallComparison.model_construct(verdict=verdict(finding), real_data=real), config, RUN)
    assert len({item.command for item in given}) == 3
    for item in given:
        assert parsed(item.command) != config


@pytest.mark.parametrize("recipe", ["control-random-reward", "control-shuffled-targets"])
def test_control_says_what_it_is_and_leads_to_the_real_run(recipe):
    config = load_config(recipe, {"comparison": {"trials": 5}})
    assert cautioned(config).startswith(f"A control run ({config.control})")
    given = advice(comparison(verdict("no evidence of skill"), True), config, RUN)
    assert given[0].command == "./run_pipeline.sh --recipe default"
    assert not [item for item in given if "trials" in item.command]


def test_small_says_that_it_learns_nothing_and_leads_to_the_default():
    config = load_config("small", {"seed": 5})
    assert (
        cautioned(config)
        == "The recipe small learns nothing: it trains on 32 questions, only to show that everything runs."
    )
    first, own, _ = advice(comparison(verdict(), True), config, RUN)
    assert first.command == "./run_pipeline.sh --recipe default"
    assert parsed(own.command).grpo_second.steps == load_config("default").grpo_second.steps
    assert not cautioned(load_config("default")) and not too_short(config, 100)


@pytest.mark.parametrize(
    ("said", "headline", "tone"),
    [
        (verdict(), "Evidence of skill, beyond ridge regression", "good"),
        (verdict(addition="is worse than it"), "Evidence of skill, but worse than ridge regression", "bad"),
        (
            verdict(addition="no evidence that it adds to it"),
            "Evidence of skill, no more than ridge regression has",
            "none",
        ),
        (verdict(name="persistence"), "Evidence of skill", "good"),
        (verdict("no evidence of skill"), "No evidence of skill", "none"),
        (verdict("worse than the baseline"), "Worse than the baseline", "bad"),
    ],
)
def test_headline_is_green_only_where_the_model_adds_to_the_best_baseline(said, headline, tone):
    assert headline_of(said) == (headline, tone)


def test_every_contract_has_a_recipe_whose_runs_are_named():
    for contract in CONTRACTS:
        name = min(path.stem for path in contract.recipes.glob("*.yaml"))
        assert again(load_config(name), RUN, {}).endswith(f"--recipe {name}")
