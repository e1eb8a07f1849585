"""What fills the form of a served deployment: its flow, what the options say, and what was edited in the UI."""

from typing import Any

import pytest

from flows.direction_flow import direction_flow
from flows.forecast_flow import forecast_flow
from flows.ingest_flow import ingest_flow
from flows.retrain_flow import retrain_flow
from flows.train_flow import train_flow
from stonk_pipeline.commands import form
from stonk_pipeline.contracts.recipes import load_config
from tasks.deployments import Wanted

PLACES = {"results_dir": "/data/results", "models_dir": "/data/models", "forecasts_dir": "/data/forecasts"}
LINES = "results_dir=/data/results\nmodels_dir=/data/models\nforecasts_dir=/data/forecasts"


@pytest.fixture(autouse=True)
def _nothing_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "offered", [])


def wanted(recipe: str | None = None, **changes: Any) -> Wanted:
    return Wanted(load_config(recipe or "default", changes), recipe, changes)


def test_without_options_new_forms_have_the_usual_recipe_and_old_ones_stay() -> None:
    asked = wanted()
    assert asked.parameters(train_flow, None) == {"config": {"recipe": "default"}}
    assert asked.parameters(direction_flow, None) == {"config": {"recipe": "direction"}}
    for flow in (retrain_flow, ingest_flow, forecast_flow):
        assert asked.parameters(flow, None) == {}
    for there in ({"config": {"recipe": "small", "seed": 7, "overrides": "lora.rank=4"}}, {"config": {"seed": 1}}):
        assert asked.parameters(train_flow, there) == there


def test_places_reach_every_deployment_and_leave_the_rest_as_it_was_edited() -> None:
    asked = wanted(**PLACES)
    assert asked.parameters(train_flow, {"config": {"seed": 1}}) == {
        "config": {"recipe": "default", "overrides": LINES}
    }
    edited = {"config": {"recipe": "direction", "seed": 7, "overrides": "gate.mode=strict\nmodels_dir=models"}}
    assert asked.parameters(direction_flow, edited) == {
        "config": {"recipe": "direction", "seed": 7, "overrides": f"gate.mode=strict\n{LINES}"}
    }
    assert asked.parameters(direction_flow, None) == {"config": {"recipe": "direction", "overrides": LINES}}
    had = {"config": {"stocks": ["AAPL"], "overrides": {"sft": {"epochs": 1}, "models_dir": "models"}}}
    assert asked.parameters(retrain_flow, had) == {
        "config": {"stocks": ["AAPL"], "overrides": {"sft": {"epochs": 1}} | PLACES}
    }
    assert asked.parameters(ingest_flow, {"config": {"source": "yahoo"}}) == {
        "config": {"source": "yahoo", "forecasts_dir": "/data/forecasts"}
    }
    assert asked.parameters(forecast_flow, None) == {
        "request": {"models_dir": "/data/models", "forecasts_dir": "/data/forecasts"}
    }


@pytest.mark.parametrize("flow", [train_flow, direction_flow, retrain_flow, ingest_flow, forecast_flow])
def test_what_the_options_fill_in_is_a_form_that_its_flow_takes(flow: Any) -> None:
    (given,) = flow.validate_parameters(wanted(**PLACES).parameters(flow, None)).values()
    settings = given.settings if isinstance(given, form.RunForm) else given
    settings = given.pipeline_config() if flow is retrain_flow else settings
    shared = PLACES.keys() & type(settings).model_fields.keys()
    assert shared
    assert {name: getattr(settings, name) for name in shared} == {name: PLACES[name] for name in shared}


def test_options_of_a_run_replace_the_form_of_their_contract_alone() -> None:
    there = {"config": {"recipe": "default", "seed": 7}}
    assert wanted("small").parameters(train_flow, there) == {"config": {"recipe": "small"}}
    assert wanted("small", sft={"epochs": 3}).parameters(train_flow, there) == {
        "config": {"recipe": "small", "overrides": "sft.epochs=3.0"}
    }
    assert wanted("direction").parameters(train_flow, there) == there
    assert wanted("direction").parameters(direction_flow, there) == {"config": {"recipe": "direction"}}


def test_form_with_all_settings_becomes_the_short_one() -> None:
    long = load_config("small", {"seed": 7, "lora": {"rank": 4}}).model_dump(mode="json")
    assert wanted().parameters(train_flow, {"config": long}) == {
        "config": {"recipe": "small", "seed": 7, "overrides": "lora.rank=4"}
    }
    assert wanted().parameters(direction_flow, {"config": load_config("direction").model_dump(mode="json")}) == {
        "config": {"recipe": "direction"}
    }


@pytest.mark.parametrize(
    "of_no_use", [{"contract": "forecast", "seed": -1}, {"contract": "gone"}, {"recipe": "gone.yaml", "seed": 1}]
)
def test_form_that_cannot_be_used_any_more_is_filled_anew(of_no_use: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert wanted().parameters(train_flow, {"config": of_no_use}) == {"config": {"recipe": "default"}}
    assert "filled anew" in capsys.readouterr().out


def test_recipe_of_an_earlier_start_stays_a_choice(tmp_path: Any) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: small\n")
    there = {"config": {"recipe": str(mine)}}
    assert wanted().parameters(train_flow, there) == there
    assert form.offered == [str(mine)]
    assert wanted(str(mine)).parameters(train_flow, None) == there
