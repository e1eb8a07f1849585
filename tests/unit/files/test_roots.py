"""What a form may name: paths of served runs lie below the folders that are served."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from stonk_pipeline.commands.retraining import RetrainConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files import roots

FORMS = (PipelineConfig, DirectionConfig, IngestConfig, RetrainConfig, ForecastRequest)
NO_PATHS = {
    "stocks": "symbols by form",
    "symbols": "symbols by form",
    "cuda_devices": "a variable's value",
    "zone": "a time zone's name, which zoneinfo keeps within its own folder",
    "session_close": "a time of day",
    "early_closes": "times of day",
    "calendar": "a name in exchange_calendars",
    "address": "checked where it is fetched",
    "overrides": "checked as the settings that they become",
    "recipe": "of a run: what it began with, shown alone; `retrain` opens one, and confines it",
    "key": "two plain names, by form",
    "revision": "of a model of the hub: no part of it begins with a dot, by form",
    "val_start": "a date",
    "test_start": "a date",
    "knowledge_cutoff": "a date",
    "start": "a date",
}
"""Settings with text in them that lead to no file, and why."""


def parts(annotation: Any) -> set[Any]:
    found = {annotation}
    for part in get_args(annotation):
        found |= parts(part)
    return found


def models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for part in parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    models(part, seen)
    return seen


def test_every_setting_with_text_is_confined_or_known_to_hold_no_path() -> None:
    texts = [
        (name, field)
        for form in FORMS
        for model in models(form, set())
        for name, field in model.model_fields.items()
        if parts(field.annotation) & {str, Any}
    ]
    assert {name for name, field in texts if not roots.tests_of(field)} == set(NO_PATHS)
    assert {"data_dir", "name", "results_dir", "records", "folder"} <= {
        n for n, field in texts if roots.tests_of(field)
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config.json").write_text("{}")
    (folder / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setenv(roots.VARIABLE, str(folder))
    return folder


@pytest.mark.parametrize("path", ["{root}", "{root}/new", "{root}/a/../b"])
def test_confined_takes_what_lies_below(root: Path, path: str) -> None:
    given = path.format(root=root)
    assert roots.confined(given) == given


@pytest.mark.parametrize("path", ["/etc", "{root}/../secret", "{root}/link", "{root}/link/x", "~", "{root}-not", ".."])
def test_confined_refuses_what_leads_elsewhere(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="lies outside of the folders that are served"):
        roots.confined(path.format(root=root))


def test_confined_refuses_what_leads_nowhere(root: Path) -> None:
    (root / "circle").symlink_to(root / "circle")
    for path in (f"{root}/circle", "~no-such-user-here/x", f"{root}/a\0b"):
        with pytest.raises(ValueError):  # and never a traceback: a form's mistake is told as one
            roots.confined(path)


def test_settings_of_a_form_are_confined(root: Path) -> None:
    secret = str(root.parent / "secret")
    for make in (
        lambda: IngestConfig(folder=secret),
        lambda: IngestConfig(data_dir=secret),
        lambda: RetrainConfig(recipe=f"{secret}/a.yaml"),
        lambda: RetrainConfig(start_from=secret),
        lambda: ForecastRequest(forecasts_dir=secret),
        lambda: PipelineConfig.model_validate({"data": {"data_dir": secret}}),
        lambda: PipelineConfig(results_dir=secret),
        lambda: PipelineConfig(run_dir=f"{root}/link/run"),
        lambda: DirectionConfig(records=f"{secret}/config.json"),
        lambda: ModelConfig(name=secret),
    ):
        with pytest.raises(ValidationError, match="lies outside"):
            make()
    assert ModelConfig(name="Qwen/Qwen2.5-1.5B-Instruct").name == "Qwen/Qwen2.5-1.5B-Instruct"
    with pytest.raises(ConfigError, match="lies outside"):
        RetrainConfig(overrides={"results_dir": secret}, data_dir="embedded").pipeline_config()


def test_recipe_cannot_have_a_base_elsewhere(root: Path) -> None:
    (root / "mine.yaml").write_text(f"base: {root.parent}/secret/other.yaml\n")
    with pytest.raises(ConfigError, match="lies outside"):
        load_config(str(root / "mine.yaml"))


def test_check_names_a_default_that_lies_elsewhere(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"folder: incoming lies outside"):
        roots.check(IngestConfig())
    roots.check(IngestConfig(folder=str(root / "in"), data_dir=str(root / "bars"), forecasts_dir=str(root / "log")))


def test_nothing_is_confined_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(roots.VARIABLE, raising=False)
    assert PipelineConfig(results_dir="/anywhere").results_dir == "/anywhere"
    roots.check(PipelineConfig(results_dir="/anywhere"))
    assert roots.private_addresses()


def test_named_resolves_folders_and_folders_lists_them(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert roots.named([tmp_path, tmp_path / "link"]) == str(tmp_path)
    config = PipelineConfig.model_validate({"results_dir": str(tmp_path / "r"), "data": {"data_dir": str(tmp_path)}})
    assert {str(tmp_path), str(tmp_path / "r"), "models", "forecasts"} == set(roots.folders(config))
