"""The warm-up: its settings, when it is a part of a run and an input, what it says, and what it does to a model."""

from functools import partial
from statistics import fmean
from types import SimpleNamespace

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig, WarmupConfig
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.forecast import question, tiny
from stonk_pipeline.contracts.forecast.page.page import FIGURES, skilled
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.contracts.forecast.warmup import _prompts, examples
from stonk_pipeline.contracts.recipes import load_config, make_config
from stonk_pipeline.contracts.runs import run_at, write_run
from stonk_pipeline.errors import ConfigError, PromptError, StageError
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.load import load_tokenizer
from stonk_pipeline.models.tiny import walk_windows
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.warmup import warmup_chapters
from stonk_pipeline.runs.manifest import Stage, execute
from stonk_pipeline.schema import Forecast
from stonk_pipeline.training.warmup import Form, _require_room, warm_up
from tests.tiny_models import SHAPE, random_model

NAMES = [contract.name for contract in CONTRACTS]
AFTER = {"forecast": {"grpo-first": "start", "sft": "start"}, "direction": {"stage-one": "warm_up"}}
TOLD = {
    "trained": True,
    **{"val_readable_share_start": 0.0, "val_readable_share": 0.97, "asked": 64},
    **{"val_skill_median_start": 0.0, "val_skill_median": -0.21, "val_skill_single_start": 0.0},
    "val_skill_single": -0.43,
}


def config_of(contract, **settings):
    return make_config({"contract": contract} | settings, source="test")


# Settings


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("when", ["auto", "always", "never"])
def test_warmup_may_be_one_word(contract, when):
    assert config_of(contract, warmup=when) == config_of(contract, warmup={"when": when})


def test_one_word_leaves_the_other_settings_as_they_are(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("base: default\nwarmup: {examples: 90}\n")
    other = tmp_path / "other.yaml"
    other.write_text(f"base: {recipe}\nwarmup: never\n")
    assert load_config(str(other)).warmup.examples == 90
    found = load_config(str(other), {"warmup": "always"}).warmup
    assert (found.when, found.examples) == ("always", 90)
    turned = load_config(str(other), {"warmup": {"epochs": 3}}).warmup
    assert (turned.when, turned.examples, turned.epochs) == ("never", 90, 3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("alway", r"warmup\.when: .*'auto', 'always' or 'never'; did you mean 'always'"),
        ({"batch_size": 20, "micro_batch": 16}, "batch_size must be a multiple of micro_batch"),
        ({"examples": 19}, r"warmup\.examples"),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        config_of("forecast", warmup=given)


# Its place in a run


@pytest.mark.parametrize("contract", NAMES)
def test_never_leaves_it_out_of_the_run(contract, tmp_path):
    whole, without = (run_at(tmp_path, config_of(contract, warmup=when)) for when in ("auto", "never"))
    assert [name for name in whole.graph if name != "warm-up"] == list(without.graph)
    assert "warm-up" in whole.graph
    for step, name in AFTER[contract].items():
        assert name in whole.inputs(step)
        assert name not in without.inputs(step)


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("trains", [True, False])
def test_steps_start_from_it_only_where_it_trained(contract, trains, tmp_path):
    run = write_run(tmp_path / "run", config_of(contract))
    spec = run.graph["warm-up"]

    def body(config, inputs, out, progress):
        if trains:
            (out / "adapter").mkdir()
            (out / "adapter" / "weights").write_text("w")
        return {"trained": trains}

    stage = Stage(spec.load().name, spec.load().config_type, body)
    execute(stage, spec.settings(run.config), {}, run.stage_dir("warm-up"))
    for step, name in AFTER[contract].items():
        assert run.inputs(step).get(name) == (run.stage_dir("warm-up") if trains else None)


@pytest.mark.parametrize("contract", NAMES)
def test_other_settings_of_the_first_grpo_leave_it_done(contract):
    first = {"forecast": "grpo_first", "direction": "stage_one"}[contract]
    usual, longer, hotter = (
        config_of(contract, **{first: given}).warmup_stage()
        for given in ({}, {"steps": 7, "learning_rate": 0.5}, {"temperature": 0.7})
    )
    assert usual == longer != hotter


# What is said of it


def test_wording_where_the_stage_is_of_another_version():
    assert run_at(None, config_of("forecast")).graph["warm-up"].note({"steps": 3}) == ()


def chapters(tmp_path, numbers):
    run = write_run(tmp_path / "run", config_of("forecast"))
    spec = run.graph["warm-up"]
    stage = Stage(spec.load().name, spec.load().config_type, lambda *_: numbers)
    execute(stage, spec.settings(run.config), {}, run.stage_dir("warm-up"))
    return warmup_chapters(RunFiles(run.directory), FIGURES, skilled)


def test_report_has_what_could_be_read_and_that_the_form_brought_no_skill(tmp_path):
    (chapter,) = chapters(tmp_path, TOLD)
    assert "brought no skill" in chapter.about and "0.0% before and −21.0% after" in chapter.about
    assert ("readable answers", "0.0% → 97.0%") in chapter.numbers


def test_report_does_not_say_so_where_it_did(tmp_path):
    (chapter,) = chapters(tmp_path, TOLD | {"val_skill_median": 0.08})
    assert "brought no skill" not in chapter.about and "+8.0% after" in chapter.about


def test_report_says_that_none_was_needed(tmp_path):
    (chapter,) = chapters(tmp_path, {name: TOLD[name] for name in TOLD if name.endswith("_start")} | {"trained": False})
    assert chapter.about.startswith("No warm-up was needed: 0.0% of the base model's answers")


def test_report_of_a_run_without_one_says_nothing(tmp_path):
    assert warmup_chapters(RunFiles(tmp_path), FIGURES, skilled) == []


# With the real trainer


def form_of(windows, room):
    horizon, prompt, asked = 5, PromptConfig(decimals=1), windows[:4]
    return Form(
        examples=examples(windows, prompt, horizon, 24, 0),
        prompts=partial(_prompts, asked, prompt, horizon),
        read=partial(question.read_all, windows=asked, horizon=horizon),
        figures=lambda given: {"readable_share": fmean(isinstance(one, Forecast) for own in given for one in own)},
        reasons=question.REASONS,
        temperature=1.0,
        room=("grpo_first.max_completion_length", room),
    )


@pytest.fixture(scope="module")
def windows():
    return walk_windows([(0.015, 10, 5)], 1)[0][:40]


def warmed_up(model, windows, out, **settings):
    out.mkdir()
    config = WarmupConfig(examples=24, batch_size=8, evaluations=1, **settings)
    model = ModelConfig(name=str(model), backend="peft", max_seq_length=600)
    return warm_up(model, LoraConfig(rank=2), config, 0, form_of(windows, 60), out, lambda *_: None)


def test_a_model_that_can_be_read_is_left_alone(windows, tmp_path):
    numbers = warmed_up("stonk-tiny", windows, tmp_path / "out")
    assert (numbers["trained"], numbers["asked"]) == (False, 8)
    assert numbers["val_readable_share_start"] >= 0.5
    assert list((tmp_path / "out").iterdir()) == []


def test_a_warm_up_in_vain_says_what_was_answered_and_what_to_raise(windows, tmp_path):
    from transformers import LlamaConfig

    model = random_model(tmp_path / "model", LlamaConfig(**SHAPE))
    with pytest.raises(StageError) as caught:
        warmed_up(model, windows, tmp_path / "out")
    for words in (
        "does not begin with <think>",
        "The last one: '",
        "warmup.examples 24",
        "warmup.learning_rate is 0.0002",
    ):
        assert words in str(caught.value)


def test_answers_that_every_grpo_would_cut_off_are_not_taught(windows):
    spelled = SimpleNamespace(chat=Chat.of(load_tokenizer(str(tiny.DIRECTORY)), []))
    _require_room(spelled, form_of(windows, 60))
    with pytest.raises(PromptError, match=r"max_completion_length is 20, and .* have up to \d\d tokens: .*raise"):
        _require_room(spelled, form_of(windows, 20))
