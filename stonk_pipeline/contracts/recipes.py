"""Reads recipes: YAML files with the settings that differ from a contract's defaults, or the settings of a run."""

import os
from pathlib import Path
from typing import Any, TypeVar

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import merge, validated
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.roots import confined
from stonk_pipeline.files.spelling import did_you_mean
from stonk_pipeline.files.untrusted import read_text, shown
from stonk_pipeline.files.yaml import parse_yaml
from stonk_pipeline.pipeline.places import CONFIG

WAIT = "wait_minutes"
"""The setting that a command with a trained model's settings takes as well."""
Config = TypeVar("Config", bound=RunConfig)
LONGEST_CHAIN = 16
"""Recipes of which each has the next as its base."""
FORMS = (".yaml", ".yml", ".json")
"""Ends of the names of files that hold settings."""


def recipe_files() -> dict[str, Path]:
    """Lists the shipped recipes, name -> file, controls last."""
    found = {path.stem: path for contract in CONTRACTS for path in contract.recipes.glob("*.yaml")}
    return {name: found[name] for name in sorted(found, key=lambda name: (name.startswith("control-"), name))}


def load_config(recipe: str, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Resolves a recipe's name or file, or the `config.json` or directory of a run, with overrides on top.

    The settings keep its name, a file's without its folder; the settings of a run, given as a recipe, keep theirs.

    Raises:
        ConfigError: no such recipe, the file is not YAML, or a setting is unknown or out of its bounds.
    """
    settings, path = _read_recipe(recipe)
    settings = {"recipe": recipe if recipe in recipe_files() else path.name} | settings
    if overrides:
        make_config(settings, source=str(path))  # so that a mistake in the recipe is not blamed on the options
        return make_config(merge(settings, overrides), source="command line")
    return make_config(settings, source=str(path))


def _read_recipe(recipe: str, above: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path]:
    """A recipe's settings, laid on those of the recipe that its `base` names, and its file."""
    path = _recipe_file(recipe)
    try:
        settings = parse_yaml(read_text(path, ConfigError, "give a recipe in YAML"), str(path)) or {}
    except FileNotFoundError as error:
        raise ConfigError(_no_recipe(recipe)) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, not {type(settings).__name__}")
    if path.suffix == ".json":
        settings = _of_new_run(settings, path)
    base = settings.pop("base", None)
    if base is None:
        return settings, path
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: {shown(base)} is no text; give a recipe's name or a .yaml file")
    if base in (recipe, *above) or len(above) >= LONGEST_CHAIN:
        raise ConfigError(f"{path}: base: {shown(base)} leads back to itself, or too far; name a recipe without a base")
    below = _read_recipe(base, (recipe, *above))[0]
    below.pop("recipe", None)  # what is laid on it is another one
    return merge(below, settings), path


def _recipe_file(recipe: str) -> Path:
    """The file of a shipped recipe, of one in YAML, or of a run's settings, of which the directory may be named."""
    shipped = recipe_files()
    if recipe in shipped:
        return shipped[recipe]
    path = Path(recipe)
    if path.suffix not in FORMS and recipe and os.path.isfile(path / CONFIG):  # False, too, for what can be no path
        path = path / CONFIG
    if path.suffix not in FORMS:
        raise ConfigError(_no_recipe(recipe))
    try:
        confined(path)
    except ValueError as error:
        raise ConfigError(f"no recipe: {shown(str(error), 300)}") from None
    return path


def _no_recipe(recipe: str) -> str:
    shipped = recipe_files()
    near = did_you_mean(recipe, shipped)
    give = f"{near} Give one of" if near else "give one of"
    return f"no recipe {shown(recipe)!r}: {give} {', '.join(shipped)}, a .yaml file, or the {CONFIG} of a run"


def _of_new_run(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings of a run for another one, without what would lead that one into the directory of the first."""
    data = settings.get("data")
    if isinstance(data, dict) and data.get("fold") is not None:
        whole = path.absolute().parents[2] / CONFIG
        raise ConfigError(f"{path}: of one fold of a walk-forward; give the settings of all of it, as in {whole}")
    return {name: value for name, value in settings.items() if name != "run_dir"}


def make_config(settings: dict[str, Any], *, source: str) -> RunConfig:
    """Validates settings.

    Raises:
        ConfigError: names each wrong field, its value and what is allowed.
    """
    known = {contract.name: contract for contract in CONTRACTS}
    name = settings.get("contract", CONTRACTS[0].name) if isinstance(settings, dict) else CONTRACTS[0].name
    if not isinstance(name, str) or name not in known:
        near = did_you_mean(name, known) if isinstance(name, str) else ""
        raise ConfigError(
            f"{source}: contract: {shown(repr(name), 80)} is none of {', '.join(known)}{near and f'; {near}'}"
        )
    others = {other: contract.settings for other, contract in known.items() if other != name}
    return validated(known[name].settings, settings, source, others)


def with_wait(config: Config, texts: list[str]) -> Config:
    """Returns a trained model's settings, with another longest wait for an accelerator where `--set` asks for one.

    Raises:
        ConfigError: another setting is to be changed, or the value is out of bounds.
    """
    for text in texts:
        key, _, value = text.partition("=")
        if key != WAIT:
            raise ConfigError(f"--set {shown(text)}: settings are those of the training; {WAIT} alone can be changed")
        given = {WAIT: parse_yaml(value, f"--set {shown(text)}")}
        changed = make_config(merge(config.model_dump(mode="json"), given), source="command line")
        config = config.model_copy(update={WAIT: changed.wait_minutes})
    return config
