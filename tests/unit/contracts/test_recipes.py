"""Settings: what is refused and how it is said, names of files, slices for the stages."""

import datetime
import json
import re
import typing

import pytest
from pydantic import BaseModel, ValidationError

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.forecast.sections import GRPOConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import load_config, make_config, recipe_files
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.models.locations import EMBEDDED_MODELS


def nested(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def make(path, value):
    return make_config(nested(path, value), source="here")


OUT_OF_BOUNDS = [
    ("data.window", 4),
    ("data.window", 251),
    ("data.horizon", 0),
    ("data.horizon", 61),
    ("data.stride", 0),
    ("data.stocks", []),
    ("data.train_share", 1.0),
    ("data.train_share", 0.95),  # leaves no test part beside the validation part
    ("data.normalisation", "log"),
    ("data.val_start", "2020-01-01"),  # without test_start
    ("data.split_ratio", 1.0),
    ("data.outlier_factor", 1.0),
    ("data.periods.macd_fast", 26),  # not faster than the slow one
    ("data.market.days", 299),
    ("data.market.daily_sd", 0.2),
    ("data.market.kind", "bull"),
    ("prompt.decimals", 7),
    ("prompt.decimals", 1.5),
    ("model.max_seq_length", 63),
    ("model.gpu_memory_utilization", 0.0),
    ("model.gpu_memory_utilization", 1.0),
    ("model.backend", "keras"),
    ("lora.rank", 0),
    ("lora.rank", "many"),
    ("lora.dropout", 1.1),
    ("grpo_first.group_size", 1),
    ("grpo_first.learning_rate", 0.0),
    ("grpo_first.learning_rate", float("nan")),
    ("grpo_second.beta", -0.1),
    ("grpo_second.loss_type", "ppo"),
    ("grpo_first.rewards.skill", -1.0),
    ("sampling.min_skill", 1.0),
    ("sampling.top_p", 0.0),
    ("sft.val_share", 0.5),
    ("comparison.resamples", 99),
    ("comparison.confidence", 1.0),
    ("seed", None),
]


@pytest.mark.parametrize(("path", "value"), OUT_OF_BOUNDS)
def test_make_config_names_the_field_that_is_out_of_bounds(path, value):
    with pytest.raises(ConfigError) as caught:
        make(path, value)
    message = str(caught.value)
    assert message.startswith("here: wrong settings\n")
    # A rule about two fields is said by their section.
    assert f"  {path}: " in message or (f"  {path.split('.')[0]}: " in message and path.split(".")[-1] in message)
    assert "(got " in message


@pytest.mark.parametrize("path", ["data.windows", "models", "grpo_first.step", "grpo_first.rewards.luck", "seeds"])
def test_make_config_names_an_unknown_field(path):
    with pytest.raises(ConfigError, match=rf"  {path}: no such setting.* \(got 3\)"):
        make(path, 3)


@pytest.mark.parametrize(
    ("path", "value", "meant"),
    [
        ("sft.epoch", 3, "sft.epochs"),
        ("sft_epochs", 3, "sft.epochs"),
        ("epochs", 3, "warmup.epochs or sft.epochs"),
        ("grpo_frist", {"steps": 3}, "grpo_first"),
        ("grpo", {"steps": 3}, "grpo_first or grpo_second"),
        ("sft.LearningRate", 1e-4, "sft.learning_rate"),
        ("grpo_first.rewards.skil", 1.0, "grpo_first.rewards.skill"),
        ("model.backend", "pfet", "'peft'"),
        ("data.bars", "week", "'weekly'"),
    ],
)
def test_make_config_asks_whether_another_name_was_meant(path, value, meant):
    with pytest.raises(ConfigError, match=re.escape(f"; did you mean {meant}? (got {value!r})")):
        make(path, value)


@pytest.mark.parametrize(("path", "value"), [("grpo_first.lr", 0.1), ("promotion", "never"), ("luck", 7)])
def test_make_config_guesses_nothing_where_no_name_is_like_it(path, value):
    with pytest.raises(ConfigError) as caught:
        make(path, value)
    assert "did you mean" not in str(caught.value)


def test_make_config_says_whose_setting_it_is():
    with pytest.raises(ConfigError, match="stage_one: a setting of the contract direction alone"):
        make("stage_one.steps", 3)
    with pytest.raises(ConfigError, match=r"'foercast' is none of forecast, direction; did you mean forecast\?"):
        make("contract", "foercast")


def test_make_config_names_every_wrong_field():
    with pytest.raises(ConfigError) as caught:
        make_config({"lora": {"rank": 0}, "seed": "x", "data": {"window": 1}}, source="here")
    assert all(name in str(caught.value) for name in ("lora.rank", "seed", "data.window"))


@pytest.mark.parametrize(
    "path",
    ["grpo_first.learning_rate", "sampling.min_skill", "sft.epochs", "grpo_second.cost_bps", "comparison.temperature"],
)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_make_config_refuses_what_json_cannot_hold(path, value):
    """A run could write such a setting to its config.json, but not read it back."""
    with pytest.raises(ConfigError, match=path):
        make(path, value)


@pytest.mark.parametrize("path", ["seed", "data.market.seed"])
@pytest.mark.parametrize("value", [-1, 2**32])
def test_make_config_refuses_seeds_that_generators_do_not_take(path, value):
    with pytest.raises(ConfigError, match=path):
        make(path, value)


@pytest.mark.parametrize(
    "path",
    [
        "grpo_first.max_completion_length",
        "grpo_second.max_completion_length",
        "sampling.max_tokens",
        "comparison.max_tokens",
    ],
)
def test_make_config_refuses_answers_longer_than_the_model_allows(path):
    """Before the training, and not when its last stage begins."""
    with pytest.raises(ConfigError, match=r"model\.max_seq_length \(1024\) must exceed the longest answer"):
        make(path, 1024)
    assert make(path, 1023)


@pytest.mark.parametrize("which", ["grpo_first", "grpo_second"])
def test_make_config_refuses_a_micro_batch_that_does_not_divide_the_step(which):
    with pytest.raises(ConfigError, match=rf"{which}: Value error, prompts_per_step \* group_size must be a multiple"):
        make(which, {"prompts_per_step": 3, "group_size": 8, "micro_batch": 16})
    assert make(which, {"prompts_per_step": 3, "group_size": 8, "micro_batch": 12})


def test_make_config_refuses_an_sft_micro_batch_that_does_not_divide_the_step():
    """20 examples a step in parts of 16 would silently be 16."""
    with pytest.raises(ConfigError, match=r"sft: .*batch_size must be a multiple of micro_batch"):
        make("sft", {"batch_size": 20, "micro_batch": 16})
    assert make("sft", {"batch_size": 32, "micro_batch": 16})
    assert make("sft", {"batch_size": 8, "micro_batch": 16})  # one part is enough


def test_settings_cannot_be_changed():
    config = PipelineConfig()
    for settings, name in ((config, "seed"), (config.data, "window"), (config.grpo_first.rewards, "skill")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, 5)


def test_settings_of_two_runs_share_nothing_that_can_change():
    one = PipelineConfig()
    one.data.stocks.append("AAPL")
    assert PipelineConfig().data.stocks == ["all"]


@pytest.mark.parametrize("name", recipe_files())
def test_settings_come_back_from_json(name):
    lora = {"stage_one": {"lora": {"alpha": 5}}} if name.startswith("direction") else {"lora": {"alpha": 5}}
    config = load_config(name, {"cuda_devices": "0,1", "data": {"stocks": ["AAPL", "GE"]}} | lora)
    assert type(config).model_validate_json(config.model_dump_json()) == config
    assert make_config(json.loads(config.model_dump_json()), source="config.json") == config
    assert load_config(name) != config


def all_settings(model, path=""):
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from all_settings(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


def test_settings_are_explained_where_name_and_type_do_not():
    """The text under a field is its help in the UI."""
    fields = dict(all_settings(PipelineConfig))
    assert len(fields) > 60
    assert "Optimizer steps between checkpoints" in fields["grpo_first.save_steps"].description
    plain = {path.rpartition(".")[2] for path, field in fields.items() if not field.description}
    assert not {name for name in plain if name.endswith(("share", "width", "skill"))} - {"val_share"}


# Recipes


def test_load_config_lays_overrides_on_a_recipe():
    config = load_config("default", {"grpo_first": {"steps": 7}})
    assert config.grpo_first.steps == 7
    assert config.grpo_first.prompts_per_step == load_config("default").grpo_first.prompts_per_step
    assert config.model.name == "stonk-tiny"
    assert config.data.data_dir == EMBEDDED


def test_load_config_reads_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("sft:\n  learning_rate: 1e-5\nseed: 4\n")  # YAML 1.1 takes 1e-5 for a text
    config = load_config(str(path))
    assert (config.sft.learning_rate, config.seed) == (1e-5, 4)
    path.write_text("")
    assert load_config(str(path)) == PipelineConfig(recipe="mine.yaml")


def test_settings_keep_the_name_of_their_recipe_and_no_stage_is_told(tmp_path):
    small = load_config("small")
    path = tmp_path / "mine.yaml"
    path.write_text("base: small\n")
    mine = load_config(str(path))
    assert (small.recipe, mine.recipe) == ("small", "mine.yaml")
    for step in contract_of(small).graph.values():  # else a finished stage would run again under another name
        assert step.settings(small) == step.settings(mine)
    path.write_text(small.model_dump_json())
    assert load_config(str(path), {"seed": 1}).recipe == "small"
    path.write_text(f"base: {path}\n".replace("mine", "run"))
    path.with_name("run.yaml").write_text(small.model_dump_json())
    assert load_config(str(path)).recipe == "mine.yaml"
    older = small.model_dump(mode="json", exclude={"recipe"})
    assert make_config(older, source="an older config.json").recipe is None


def test_load_config_reads_dates_as_yaml_writes_them(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("data:\n  val_start: 2015-01-01\n  test_start: '2016-01-01'\n")
    data = load_config(str(path)).data
    assert (data.val_start, data.test_start) == ("2015-01-01", "2016-01-01")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grpo_first:\n  step: 3\n", "grpo_first.step: no such setting; did you mean grpo_first.steps?"),
        ("grpo: {}\n", "grpo: no such setting"),
        ("lora:\n  rank: 0\n", "lora.rank: Input should be greater than or equal to 1 (got 0)"),
        ("lora: 3\n", "lora: "),
        ("- lora\n", "a recipe is a mapping of settings, not list"),
        ("lora: [3\n", "not readable as YAML"),
        ("lora:\n\trank: 3\n", "not readable as YAML"),
        ("1: 2\n", "1: "),
    ],
)
def test_load_config_names_the_file_and_what_is_wrong_in_it(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_load_config_refuses_a_file_that_is_no_text(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00seed: 3")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("name", ["no-such", "no-such.yaml", "", ".", "/etc/passwd"])
def test_load_config_lists_the_recipes_where_there_is_no_such(name):
    with pytest.raises(ConfigError, match="give one of default, "):
        load_config(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("defalt", "default"),
        ("Small", "small"),
        ("qwen", "qwen-1.5b or qwen-7b"),
        ("control-form", "control-form-only"),
    ],
)
def test_load_config_asks_whether_another_recipe_was_meant(name, meant):
    with pytest.raises(
        ConfigError, match=re.escape(f"no recipe {name!r}: did you mean {meant}? Give one of default, ")
    ):
        load_config(name)


@pytest.mark.parametrize("name", ["default", "direction"])
def test_load_config_takes_the_settings_of_a_run_for_another_one(tmp_path, name):
    config = load_config(name, {"seed": 7})
    run = write_run(tmp_path / "old", config.model_copy(update={"run_dir": str(tmp_path / "old")}))
    for recipe in (str(run.directory), str(run.directory / "config.json")):
        assert load_config(recipe) == config  # and no run_dir: nothing is written into the old run
        assert load_config(recipe, {"seed": 8}).seed == 8
    (tmp_path / "mine.yaml").write_text(f"base: {run.directory}\nseed: 9\n")
    assert load_config(str(tmp_path / "mine.yaml")) == config.model_copy(update={"seed": 9, "recipe": "mine.yaml"})


def test_load_config_refuses_the_settings_of_a_single_fold(tmp_path):
    """They say that adapters are published inside of the run that the fold belongs to."""
    run = write_run(tmp_path / "walk", load_config("small", {"data": {"folds": 2}}))
    with pytest.raises(ConfigError, match=f"of one fold of a walk-forward; .* as in {run.directory}/config.json"):
        load_config(str(run.folds[0].directory))


def test_load_config_takes_no_model_for_a_run():
    with pytest.raises(ConfigError, match="wrong settings"):
        load_config(str(EMBEDDED_MODELS["stonk-tiny"]))


def test_merge_joins_mappings_and_changes_neither():
    base, over = {"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "e": {"f": 2}}
    assert merge(base, over) == {"a": {"b": 1, "c": [3]}, "d": 1, "e": {"f": 2}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert over == {"a": {"c": [3]}, "e": {"f": 2}}


# Slices


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("data.window", 12, {"preprocess"}),
        ("grpo_first.steps", 3, {"first"}),
        ("grpo_second.steps", 3, {"second"}),
        ("sampling.samples", 3, {"sampling"}),
        ("sft.epochs", 1.0, {"sft"}),
        ("comparison.samples", 3, {"comparison"}),
        ("warmup", "always", {"warmup"}),
        ("warmup.epochs", 3.0, {"warmup"}),
        ("grpo_first.temperature", 0.7, {"warmup", "first"}),
        ("lora.rank", 3, {"warmup", "first", "second", "sft"}),
        ("model.name", "other", {"warmup", "first", "second", "sft", "sampling", "comparison"}),
        ("seed", 3, {"preprocess", "warmup", "first", "second", "sft", "sampling", "comparison"}),
        ("results_dir", "elsewhere", set()),
        ("cuda_devices", "1", set()),
    ],
)
def test_a_setting_changes_the_stages_that_use_it_alone(path, value, changed):
    def slices(config):
        return {
            "preprocess": config.preprocess_stage(),
            "warmup": config.warmup_stage(),
            "first": config.grpo_stage("first"),
            "sampling": config.sampling_stage(),
            "sft": config.sft_stage(),
            "second": config.grpo_stage("second"),
            "comparison": config.comparison_stage(),
        }

    before, after = slices(PipelineConfig()), slices(make(path, value))
    assert {name for name in before if before[name] != after[name]} == changed


def test_grpo_stage_takes_the_settings_of_its_run():
    config = make_config({"grpo_first": {"steps": 1}, "grpo_second": {"steps": 2}}, source="here")
    assert (config.grpo_stage("first").grpo.steps, config.grpo_stage("second").grpo.steps) == (1, 2)


# Names


@pytest.mark.parametrize(
    ("stocks", "name"),
    [
        (["AAPL"], "AAPL"),
        (["aapl"], "AAPL"),
        (["AAPL", "MSFT"], r"AAPL\+MSFT"),
        (["AAPL", "MSFT", "GE"], r"AAPL\+MSFT\+GE"),
        (["AAPL", "MSFT", "GE", "BRK-A"], "AAPL-and-3-more-DIGEST"),
        (["AAPL", "MSFT", "GE", "BRK-A", "C"], "AAPL-and-4-more-DIGEST"),
        (["AAPL", "BRK-A"], r"AAPL\+BRK-A"),
        (["^GSPC"], "^GSPC"),
        (["BRK-A"], "BRK-A"),
        (["BRK_B"], "BRK_B"),
        (["M&M.NS"], "M-M.NS-DIGEST"),  # it names a directory, which a person may write in a shell
        (["all"], "ALL"),
        (["ALL"], "ALL-DIGEST"),  # Allstate's symbol
        (["EMBEDDED"], "EMBEDDED-DIGEST"),
        (["AAPL", "ALL"], r"AAPL\+ALL"),
    ],
)
def test_stock_name_says_which_stocks(stocks, name):
    config = make_config({"data": {"stocks": stocks, "data_dir": "bars"}}, source="here")
    assert re.fullmatch(name.replace("^", r"\^").replace("DIGEST", "[0-9a-f]{6}"), config.stock_name)
    assert config.sampling_stage().stock_name == config.stock_name


def test_stock_name_tells_any_two_choices_of_stocks_apart():
    eight = [f"AAPL,B,C,D,E,F,G,{last}".split(",") for last in "HIJ"]
    choices = [*eight, ["all"], ["ALL"], ["BRK-B"], ["BRK", "B"], ["BRK_B"], ["M&M"], ["M-M"], ["M", "M"]]
    choices += [["^GSPC"], ["GSPC"], ["EMBEDDED"], ["A-AND-3-MORE"], ["A", "B", "C", "D"], ["A-B", "C"], ["A", "B-C"]]
    names = [make_config({"data": {"stocks": each, "data_dir": "bars"}}, source="x").stock_name for each in choices]
    assert len({name.upper() for name in names}) == len(choices)


def test_stock_name_of_the_generated_market():
    assert PipelineConfig().stock_name == "EMBEDDED"
    assert make("data.stocks", ["SIM01"]).stock_name == "SIM01"
    assert make("data.stocks", ["ALL", "SIM01"]).stock_name == "ALL+SIM01"


@pytest.mark.parametrize("stock", ["../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "a\\b", "a\nb", " ", ""])
def test_stock_name_stays_a_name_whatever_is_asked_for(stock):
    """Preprocessing refuses such a symbol, but the run's directory is made before that."""
    for stocks in ([stock], [stock, "AAPL"], [stock, "A", "B", "C"]):
        name = make("data.stocks", stocks).stock_name
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\n ")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("stonk-tiny", "stonk-tiny"),
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen--Qwen2.5-7B-Instruct"),
        ("./models/mine", "mine-DIGEST"),
        ("/data/models/mine/", "mine-DIGEST"),
        ("~/models/mine", "mine-DIGEST"),
        ("/data/my model (2)", "my--model--2-DIGEST"),
        ("/data/models/merged/0a1b2c3d4e5f/stonk-tiny", "stonk-tiny"),
        ("/", "model-DIGEST"),
        ("org/..", "org"),
    ],
)
def test_model_name_is_a_name_of_a_directory(model, name):
    assert re.fullmatch(name.replace("DIGEST", "[0-9a-f]{6}"), make("model.name", model).model_name)


def test_model_name_tells_folders_of_one_name_apart(tmp_path, monkeypatch):
    names = {make("model.name", f"{place}/base").model_name for place in ("/a", "/b", "~", ".")}
    assert len(names) == 4
    monkeypatch.chdir(tmp_path)
    assert make("model.name", "./base").model_name == make("model.name", str(tmp_path / "base")).model_name


def test_model_name_of_a_folder_is_its_last_part(tmp_path, monkeypatch):
    (tmp_path / "org" / "mine").mkdir(parents=True)
    assert make("model.name", "org/mine").model_name == "org--mine"
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch("mine-[0-9a-f]{6}", make("model.name", "org/mine").model_name)


def test_weights_of_the_rewards_are_named_in_the_settings():
    assert typing.get_type_hints(GRPOConfig)["rewards"].model_fields.keys() == {"skill", "direction", "trading", "form"}


@pytest.mark.parametrize("field", ["model.knowledge_cutoff", "data.val_start", "data.test_start"])
@pytest.mark.parametrize("text", ["01/01/2024", "2024-1-1", "20240101", "2024-W01-1", "2024-02-30", "today", ""])
def test_settings_take_dates_alone_as_dates(field, text):
    """They are compared as texts: 01/01/2024 lies before every day of the test part."""
    with pytest.raises(ConfigError, match="not a date; write it as 2024-01-31"):
        make(field, text)


def test_settings_take_a_date_as_yaml_has_it():
    assert load_config("default", {"model": {"knowledge_cutoff": datetime.date(2024, 1, 31)}}).model.knowledge_cutoff
    assert make("model.knowledge_cutoff", "2024-01-31").model.knowledge_cutoff == "2024-01-31"
