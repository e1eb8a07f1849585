"""`--dry-run`: what a run would do, on one screen, and the warning of answers that would be cut off."""

import re
from io import StringIO

import pytest
from rich.console import Console

from stonk_pipeline import cli
from stonk_pipeline.commands.outlook import changed, show
from stonk_pipeline.commands.plan import Outlook, look
from stonk_pipeline.contract import Plan
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.estimates.shape import Shape, Weights
from stonk_pipeline.runs.machine import Memory
from stonk_pipeline.training.effort import Lengths, Work

LINES, COLUMNS = 40, 80
TINY = {"data": {"market": {"tickers": 1, "days": 500}}}


def printed(outlook):
    stream = StringIO()
    show(outlook, Console(file=stream, width=COLUMNS))
    return stream.getvalue()


@pytest.fixture(scope="module")
def capped():
    """Of a run whose answers have 30 closes, and room for 10."""
    return look(load_config("small", {"data": TINY["data"] | {"horizon": 30}}))


def test_show_prints_a_screenful_that_says_it_all(capped):
    said = printed(capped)
    lines = said.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    one_line = " ".join(said.split())
    numbers = capped.data["Preprocessing"]["windows"]
    assert f"train {numbers['train']}, val {numbers['val']} from 2019-" in one_line
    assert f", test {numbers['test']} from 2019-" in one_line
    assert "the generated market, 1 stock, daily bars" in one_line
    assert "stonk-tiny, 1.0 million parameters" in one_line
    assert "horizon 30" in one_line
    assert re.search(r"tokens a prompt \d+ \(the longest \d+\), a whole answer \d+; 320 have room", one_line)
    assert re.search(r"needs most \(.*libraries [\d.]+.*\); this \w+ has [\d.]+ GB, [\d.]+ free now", one_line)
    assert "a second measured here" in one_line
    assert "{" not in said  # neither JSON nor Python


def test_look_warns_of_answers_that_would_be_cut_off(capped):
    (warning,) = capped.warnings
    assert "cut off at 72 tokens, and one of 30 closes after two sentences of thinking has 77" in warning
    names = ("grpo_first.max_completion_length", "sampling.max_tokens", "grpo_second.max_completion_length")
    assert all(name in warning for name in (*names, "comparison.max_tokens"))
    assert "warning: answers are cut off at 72" in printed(capped)


def test_preprocess_warns_of_settings_that_are_too_small_and_of_no_others(tmp_path, capsys):
    enough = [f"--set={name}.max_completion_length=104" for name in ("grpo_first", "grpo_second")]
    enough += ["--set=comparison.max_tokens=104"]
    options = ["--recipe", "small", "--horizon", "30", "--set", "data.market={tickers: 1, days: 500}"]
    assert cli.main(["preprocess", "--run-dir", str(tmp_path / "run"), *options, *enough]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: answers are cut off at 72 tokens")
    assert said.err.endswith("Raise to 104 or so: sampling.max_tokens\n")
    assert "done; stocks 1; windows train " in said.out
    assert cli.main(["preprocess", "--run-dir", str(tmp_path / "run"), "--set=sampling.max_tokens=77"]) == 0
    assert capsys.readouterr().err == ""


def test_directions_warn_of_answers_without_room_to_reason(tmp_path, capsys):
    arguments = ["--run-dir", str(tmp_path / "run"), "--recipe", "direction", "--horizon", "1"]
    arguments += ["--set", "data.market={tickers: 1, days: 400}", "--set=stage_two.max_completion_length=24"]
    assert cli.main(["preprocess", *arguments]) == 0
    assert capsys.readouterr().err == ""  # the examples come before anything is asked
    assert cli.main(["examples", *arguments]) == 0
    said = capsys.readouterr().err
    assert "answers are cut off at 24 tokens" in said
    assert said.endswith(": stage_two.max_completion_length\n")


@pytest.mark.parametrize("recipe", recipe_files())
@pytest.mark.parametrize("folds", [1, 5])
def test_show_has_room_for_every_recipe(tmp_path, recipe, folds):
    config = load_config(recipe)
    if folds > 1:
        if recipe.startswith("direction"):
            pytest.skip("walk-forward is for forecasts")
        config = load_config(recipe, {"data": {"folds": folds}})
    run = run_at(tmp_path, config)
    windows = {"train": 123456, "val": 12345, "test": 12345, "full": 148146}
    made = {
        "stocks": 500,
        "windows": windows,
        "repaired_rows": 12,
        "val_start": "2022-01-11",
        "test_start": "2023-01-01",
    }
    made |= {"repairs": [f"{number} rows repaired: a close above the high" for number in range(9)]}
    made |= {"left_out": {f"STOCK{number}": "fewer bars than a window has" for number in range(9)}}
    data = {each.title("preprocess"): made for each in run.folds or [run]}
    if recipe.startswith("direction"):
        shares = {name: {"up": 1000, "down": 1000, "flat": 100} for name in ("balanced", "natural", "val", "test")}
        data["Examples"] = {"examples": shares, "informative_share": 0.25}
    work = {step: Work("12,000 steps of 16 windows x 8 answers") for step in run.graph}
    plan = Plan(Lengths(900, 850.0, 120.0), work, [], [])
    names = ("weights", "adapter and optimizer", "libraries", "activations", "logits", "vLLM's share")
    needs = dict.fromkeys(work, dict.fromkeys(names, 12.5e9))
    shape = Shape(Weights(10**9, 10**6), 150_000, 1_000, 4_000, 30, 1_000)
    memory = Memory(10**11, 10**10, 0, "this container")
    outlook = Outlook(run, shape, data, plan, dict.fromkeys(work, 4e4), needs, memory, True, ["answers. " * 30])
    lines = printed(outlook).splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS


def test_changed_lists_what_differs_and_no_places():
    config = load_config("default", {"sft": {"epochs": 3}, "results_dir": "elsewhere"})
    assert changed(config)["sft"]["epochs"] == (3.0, 2.0)
    assert "run" not in changed(config)
