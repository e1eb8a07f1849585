"""Writes command lines that do a run again with one thing changed, for the advice at the top of a report."""

import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.report.frame import flat
from stonk_pipeline.runs import program

FLAGS = {
    "data.stocks": "--stock",
    "data.data_dir": "--data-dir",
    "data.folds": "--folds",
    "model.name": "--model",
    "results_dir": "--results-dir",
    "models_dir": "--models-dir",
    "seed": "--seed",
    "news": "--news",
    "companies": "--companies",
    "records": "--records",
}
"""Settings with an option of their own, as all contracts or the contract with the setting have it."""
PLACES = ("run_dir", "recipe", "contract", "data.fold", "model.revision", "comparison.trials")
"""Settings that say where a run lies, how it began and what was tried before it; a new run finds its own."""
DATA = ("data.data_dir", "data.stocks", "data.market", "news", "companies", "records")
"""Settings that say which data a run is about, and the beginnings of their names."""
MOST = 4
"""Settings of a run's own that a command line spells out; of more, it names the run's file of settings."""
OWN_DATA = {"data.stocks": ["AAPL"], "data.data_dir": "my-bars"}


def again(config: RunConfig, run: Path, changes: Mapping[str, Any], *, recipe: str | None = None) -> str:
    """Writes the command that does a run again with changes.

    Args:
        config: the run's settings.
        run: its directory, whose file of settings stands for a recipe that is not among the shipped ones.
        changes: dotted name -> value.
        recipe: a shipped recipe to take instead of the run's own, with the run's data.
    """
    own, shipped = _told(config), recipe_files()
    begun = _begun(config.recipe) if config.recipe in shipped else None
    differing = own if begun is None else {name: own[name] for name in own if own[name] != begun.get(name)}
    if recipe is not None:
        begun = _begun(recipe)
        differing = {name: value for name, value in differing.items() if name.startswith(DATA)}
    if begun is None or len(differing) > MOST:
        name, begun, differing = f"{_short(run)}/{CONFIG}", own, {}
    else:
        name = recipe or str(config.recipe)
    if changes.get("data.data_dir", EMBEDDED) != EMBEDDED:
        differing = {name: value for name, value in differing.items() if not name.startswith("data.market")}
    wanted = {key: value for key, value in {**differing, **changes}.items() if value != begun.get(key)}
    return program.pipeline("--recipe", shlex.quote(name), *(_option(*item) for item in wanted.items()))


def too_short(config: RunConfig, questions: int) -> str:
    """Says of a run that asked its model so few questions in training that it cannot have learned; else empty."""
    if questions >= ENOUGH:
        return ""
    what = f"The recipe {config.recipe}" if config.recipe else "This run"
    return f"{what} learns nothing: it trains on {questions} questions, only to show that everything runs."


ENOUGH = 100
"""Questions in training by reward below which nothing can be learned; `small` asks 32, `default` 832."""


@cache
def _begun(recipe: str) -> dict[str, Any]:
    """The settings of a shipped recipe."""
    return _told(load_config(recipe))


def _told(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in flat(config.model_dump(mode="json")) if name not in PLACES}


def _short(run: Path) -> str:
    """A run's directory as it is named from here."""
    here = Path.cwd()
    whole = run.resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _option(name: str, value: Any) -> str:
    if name in FLAGS and value is not None:
        return f"{FLAGS[name]} {shlex.quote(','.join(value) if isinstance(value, list) else str(value))}"
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]{3,}", value) and value not in ("true", "false")
    return f"--set {shlex.quote(f'{name}={value if plain else json.dumps(value)}')}"
