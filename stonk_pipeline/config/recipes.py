"""Recipes: the settings that differ from the defaults, as YAML files."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stonk_pipeline import PACKAGE
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.roots import confined
from stonk_pipeline.files.untrusted import read_text, shown
from stonk_pipeline.files.yaml import parse_yaml

RECIPES = PACKAGE / "recipes"
AnyConfig = PipelineConfig | DirectionConfig
"""Settings of a run; `contract` says which."""
CONTRACTS: dict[str, type[PipelineConfig] | type[DirectionConfig]] = {
    "forecast": PipelineConfig,
    "direction": DirectionConfig,
}


MOST_COMPLAINTS = 20
LONGEST_CHAIN = 16
"""Recipes of which each has the next as its base."""


def recipe_names() -> list[str]:
    """Names of the shipped recipes, controls last."""
    return sorted((path.stem for path in RECIPES.glob("*.yaml")), key=lambda name: (name.startswith("control-"), name))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A new mapping: `over` laid on `base`, nested mappings joined."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def load_config(recipe: str, overrides: dict[str, Any] | None = None) -> AnyConfig:
    """Resolves a recipe's name or YAML file, with overrides on top.

    Raises:
        ConfigError: no such recipe, the file is not YAML, or a setting is unknown or out of its bounds.
    """
    settings, path = _read_recipe(recipe)
    if overrides:
        make_config(settings, source=str(path))  # so that a mistake in the recipe is not blamed on the options
        return make_config(merge(settings, overrides), source="command line")
    return make_config(settings, source=str(path))


def of_forecasts(config: AnyConfig, what: str) -> PipelineConfig:
    """The settings, for what only models that forecast closes can be put to.

    Args:
        config: settings of any run.
        what: the command or flow that asks, for the message.

    Raises:
        ConfigError: they belong to another contract.
    """
    if isinstance(config, PipelineConfig):
        return config
    raise ConfigError(f"{what} is for models that forecast closes; these settings have contract: {config.contract}")


def _read_recipe(recipe: str, above: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path]:
    """A recipe's settings, laid on those of the recipe that its `base` names, and its file."""
    path = Path(recipe)
    if recipe in recipe_names():
        path = RECIPES / f"{recipe}.yaml"
    missing = f"no recipe {shown(recipe)!r}: give one of {', '.join(recipe_names())}, or a .yaml file"
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(missing)
    if path.parent != RECIPES:
        try:
            confined(path)
        except ValueError as error:
            raise ConfigError(f"no recipe: {shown(str(error), 300)}") from None
    try:
        settings = parse_yaml(read_text(path, ConfigError, "give a recipe in YAML"), str(path)) or {}
    except FileNotFoundError as error:
        raise ConfigError(missing) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, not {type(settings).__name__}")
    base = settings.pop("base", None)
    if base is None:
        return settings, path
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base: {shown(base)} is no text; give a recipe's name or a .yaml file")
    if base in (recipe, *above) or len(above) >= LONGEST_CHAIN:
        raise ConfigError(f"{path}: base: {shown(base)} leads back to itself, or too far; name a recipe without a base")
    return merge(_read_recipe(base, (recipe, *above))[0], settings), path


def make_config(settings: dict[str, Any], *, source: str) -> AnyConfig:
    """Validates settings.

    Raises:
        ConfigError: names each wrong field, its value and what is allowed.
    """
    contract = settings.get("contract", "forecast") if isinstance(settings, dict) else "forecast"
    if not isinstance(contract, str) or contract not in CONTRACTS:
        raise ConfigError(f"{source}: contract: {shown(repr(contract), 80)} is none of {', '.join(CONTRACTS)}")
    try:
        return CONTRACTS[contract].model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{source}: wrong settings\n" + "\n".join(_complaints(error))) from error


def _complaints(error: ValidationError) -> list[str]:
    """One line for each wrong setting: its name, what is allowed and what it is; of very many, the first ones."""
    wrong = error.errors()
    lines = [
        f"  {shown('.'.join(map(str, item['loc']))) or 'settings'}: {shown(item['msg'], 300)} "
        f"(got {shown(repr(item['input']), 80)})"
        for item in wrong[:MOST_COMPLAINTS]
    ]
    return lines + ([f"  and {len(wrong) - MOST_COMPLAINTS} more"] if len(wrong) > MOST_COMPLAINTS else [])
