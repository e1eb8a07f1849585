"""The short form of a run: what it asks, what it leaves as the recipe has it, and what it refuses."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from flows.direction_flow import direction_flow
from flows.train_flow import train_flow
from stonk_pipeline.commands import form
from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Contract
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.report.frame import flat

FLOWS = {"forecast": train_flow, "direction": direction_flow}
FORMS: dict[str, type[RunForm[Any]]] = {"forecast": RunForm[PipelineConfig], "direction": RunForm[DirectionConfig]}
ASKED = RunForm[PipelineConfig]


def settings(**asked: Any) -> PipelineConfig:
    return ASKED.model_validate(asked).settings


def fields(schema: dict[str, Any], part: str, above: str = "") -> dict[str, dict[str, Any]]:
    """Dotted name -> schema of each field below a part of a form."""
    found: dict[str, dict[str, Any]] = {}
    for name, field in schema["definitions"][part]["properties"].items():
        (inner,) = [one["$ref"].rpartition("/")[2] for one in field.get("anyOf", []) if "$ref" in one] or [None]
        found |= fields(schema, inner, f"{above}{name}.") if inner else {above + name: field}
    return found


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_form_that_prefect_draws_is_short_and_has_every_setting(contract: Contract) -> None:
    schema = parameter_schema(FLOWS[contract.name]).model_dump()
    (root,) = [name for name in schema["definitions"] if name.startswith("RunForm")]
    asked = schema["definitions"][root]["properties"]
    short = {name: key for name, key in form.SHORT.items() if name != "folds" or contract.pooled}
    assert list(asked) == ["recipe", *short, "overrides", "advanced"]
    shipped = [name for name, path in recipe_files().items() if path.parent == contract.recipes]
    assert (asked["recipe"]["enum"], asked["recipe"]["default"]) == (shipped, shipped[0])
    assert asked["advanced"]["default"] is None
    everything = fields(schema, root)
    below = {name.removeprefix("advanced.") for name in everything if name.startswith("advanced.")}
    every = {name for name, _ in flat(contract.settings().model_dump(mode="json"))}
    never = {"contract", "recipe", "run_dir", "data.fold", "data.folds"}
    assert every - below - never == set(short.values()) - never
    assert not below & ({*form.SHORT.values()} | never)
    for name, field in everything.items():
        assert "default" not in field or name == "recipe", f"{name}: the UI would send its default as a choice"
        assert field.get("type") != "boolean", f"{name}: the UI would send an untouched switch as false"
        assert field.get("description"), name


@pytest.mark.parametrize("name", recipe_files())
def test_recipe_alone_gives_its_settings(name: str) -> None:
    expected = load_config(name)
    asked = FORMS[expected.model_dump()["contract"]]
    empty = {"data": None, "model": None}  # as the UI sends parts that were looked at and left alone
    for more in ({}, {"overrides": ""}, {"advanced": None}, {"advanced": {}}, {"advanced": empty}):
        assert asked.model_validate({"recipe": name} | more).settings == expected
    assert asked.filled(expected) == {"recipe": name}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_empty_form_is_the_first_recipe(contract: Contract) -> None:
    assert FORMS[contract.name].model_validate({}).settings == load_config(form.recipes_of(contract)[0])


def test_what_is_given_is_laid_on_the_recipe_the_lines_last() -> None:
    found = settings(
        recipe="small",
        stocks=["AAPL", "MSFT"],
        data_dir="bars",
        seed=3,
        promotion="ask",
        overrides="\n lora.rank=4 \nseed=9\ngrpo_first.rewards={form: 0.5}\n",
        advanced={"lora": {"rank": 2, "dropout": 0.1}, "prompt": {"indicators": "false"}, "comparison": None},
    )
    small = load_config("small")
    assert isinstance(small, PipelineConfig)
    assert (found.data.stocks, found.data.data_dir, found.promotion) == (["AAPL", "MSFT"], "bars", "ask")
    assert (found.seed, found.lora.rank, found.lora.dropout) == (9, 4, 0.1)
    assert (found.prompt.indicators, found.prompt.decimals) == (False, small.prompt.decimals)
    assert (found.grpo_first.rewards.form, found.grpo_first.rewards.skill) == (0.5, small.grpo_first.rewards.skill)
    assert found.comparison == small.comparison


def test_another_model_has_nothing_of_the_recipes_own() -> None:
    assert settings(recipe="qwen-1.5b").model.knowledge_cutoff is not None
    assert settings(recipe="qwen-1.5b", model="some/model").model.knowledge_cutoff is None
    given = settings(recipe="qwen-1.5b", model="some/model", overrides="model.revision=abc").model
    assert (given.name, given.revision) == ("some/model", "abc")


CHANGES: list[dict[str, Any]] = [
    {},
    {"seed": 5, "promotion": "off", "data": {"stocks": ["A"], "folds": 2}},
    {"results_dir": "/tmp/with space # and = signs", "cuda_devices": "0"},
    {"results_dir": "yes", "models_dir": "line\nbreak", "forecasts_dir": "1e3"},
    {"data": {"val_start": "2020-01-01", "test_start": "2021-01-01"}, "model": {"name": "x/y", "revision": "r"}},
]


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("recipe", ["small", "qwen-7b", "control-form-only"])
def test_filled_form_gives_the_settings_that_it_was_filled_with(recipe: str, changes: dict[str, Any]) -> None:
    wanted = load_config(recipe, changes)
    filled = ASKED.filled(wanted)
    assert filled["recipe"] == recipe
    assert "advanced" not in filled
    assert ASKED.model_validate(filled).settings == wanted
    other = ASKED.model_validate(ASKED.filled(wanted, "default")).settings
    assert other.model_copy(update={"recipe": recipe}) == wanted


@pytest.mark.parametrize("recipe", ["small", "direction"])
def test_run_of_the_long_form_can_be_retried(recipe: str) -> None:
    """Its parameters are all settings, which Prefect hands to the flow again."""
    began = load_config(recipe, {"run_dir": "results/AAPL", "seed": 4})
    for flow in FLOWS.values():
        own = flow is FLOWS[began.model_dump()["contract"]]
        for given in (began.model_dump(mode="json"), began):  # of an earlier version's form; of a command line
            if own:
                assert flow.validate_parameters({"config": given})["config"].settings == began
            else:
                with pytest.raises(Exception, match=r"not of the contract|wrong settings"):
                    flow.validate_parameters({"config": given})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"recipe": "nope"}, "no recipe 'nope'"),
        ({"recipe": "direction"}, "not of the contract forecast"),
        ({"overrides": "lora.rank"}, "overrides: lora.rank: write it as KEY=VALUE"),
        ({"overrides": "lora.rnk=3"}, "lora.rnk: no such setting"),
        ({"overrides": "contract=direction"}, "form: wrong settings"),
        ({"overrides": "sft.epochs=0"}, "sft.epochs: Input should be greater than 0"),
        ({"overrides": "seed=[1"}, "not readable as YAML"),
        ({"advanced": {"run_dir": "x"}}, "advanced.run_dir"),
        ({"advanced": {"lora": {"rank": None}}}, "advanced.lora.rank"),
        ({"data": {"window": 10}}, "data"),
        ({"advanced": {"data": {"val_start": "2020-01-01"}}}, "give val_start and test_start together"),
    ],
)
def test_form_that_cannot_be_meant_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        ASKED.model_validate(asked)
    assert words in str(caught.value)


def test_recipe_in_a_file_is_a_choice_where_it_is_offered(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: small\nseed: 7\n")
    monkeypatch.setattr(form, "offered", [str(mine)])
    offers = {contract.name: str(mine) in form.recipes_of(contract) for contract in CONTRACTS}
    assert offers == {contract.name: contract.name == "forecast" for contract in CONTRACTS}
    assert ASKED.filled(load_config(str(mine)), str(mine)) == {"recipe": str(mine)}
    with pytest.raises(ConfigError, match="not of the contract direction"):
        FORMS["direction"].filled(load_config("direction"), str(mine))


def test_form_names_the_run_after_its_stocks() -> None:
    asked = ASKED.model_validate({"recipe": "small", "stocks": ["AAPL"]})
    assert asked.stock_name == load_config("small", {"data": {"stocks": ["AAPL"]}}).stock_name
    assert isinstance(asked.settings, RunConfig)
