"""Decides whether to train again, and which finished stages to reuse, by comparing digests.

A training that finished leaves `retrain_{STOCK}.json` in the results directory: the digests of the bars and of the
settings that it followed from. As long as both are the same, there is nothing to do.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files import folders, locks
from stonk_pipeline.files.model_digest import model_digests
from stonk_pipeline.files.roots import PathOrName
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.models.locations import base_directory, is_fetched
from stonk_pipeline.pipeline.graph import bar_files
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.records.ingests import bars_digest
from stonk_pipeline.runs.manifest import MANIFEST, MARK, SCRATCH, file_digest, finished, json_digest, write_atomic

BARS = "bars"
"""Directory below the results directory that keeps the bars of each training."""


class RetrainConfig(Settings):
    """Settings of the retraining that new bars start."""

    data_dir: PathOrName = "bars"
    """Folder of bars, as the ingest flow fills it; `embedded`: the generated market, which never changes."""
    stocks: list[str] = Field(["all"], min_length=1)
    """Symbols to train on; `all` takes every file of the folder."""
    recipe: PathOrName = "default"
    """A recipe's name, or a .yaml file."""
    overrides: dict[str, Any] = Field({})
    """Settings laid on the recipe, nested: `{"grpo_first": {"steps": 50}, "results_dir": "results"}`."""
    start_from: PathOrName = "base"
    """`base`: the recipe's model. `champion`: the champion of the registry, or the recipe's model while there is none.
    Otherwise the directory of an adapter (`models/stonk-tiny/ALL/grpo_lora_2nd`). An adapter is merged into the
    recipe's model, and the training goes on from there."""
    force: bool = False
    """Train even though neither bars nor settings changed."""

    def pipeline_config(self) -> RunConfig:
        """Returns the settings of the training.

        Raises:
            ConfigError: no such recipe, or a setting is unknown or out of its bounds.
        """
        data = {"data": {"data_dir": self.data_dir, "stocks": self.stocks}}
        return load_config(self.recipe, merge(self.overrides, data))


class Last(BaseModel):
    """A note on the last training that finished."""

    model_config = ConfigDict(frozen=True)

    data: str
    """Digest of the bars (`data_digest`)."""
    settings: str
    """Digest of the settings (`settings_digest`)."""
    run: str
    """Directory of the run."""


def data_digest(config: RunConfig) -> str:
    """Computes the digest of the bars that a training would read; for a folder of CSV files as an ingest does.

    Raises:
        DataError: there is no such folder or symbol.
    """
    files = bar_files(config)
    digests = {path: file_digest(path) for path in dict.fromkeys(files.values())}
    return bars_digest({symbol: digests[path] for symbol, path in files.items()})


def settings_digest(config: RunConfig, start_from: str) -> str:
    """Computes the digest of what results follow from besides the bars: settings, starting point, base model.

    A model that is fetched is as its name and revision say; where none is given, a newer commit of it is no reason to
    train again.

    Raises:
        StageError: the base model is not there.
    """
    placeless = config.with_data(data_dir="")
    steps = contract_of(config).steps(config)
    stages = {name: step.settings(placeless).model_dump(mode="json") for name, step in steps.items()}
    weights = {} if is_fetched(config.model) else model_digests(base_directory(config.model))
    return json_digest([stages, start_from, weights])


def read_last(config: RunConfig) -> Last | None:
    """Reads the note on the last training that finished; None if there is none, or it is damaged."""
    try:
        return Last.model_validate_json(_note(config).read_bytes())
    except (OSError, ValidationError):
        return None


def write_last(config: RunConfig, last: Last) -> None:
    """Notes a finished training. Call it last: until then, a training that was killed is due again."""
    write_atomic(_note(config), last.model_dump_json(indent=2) + "\n")


def _note(config: RunConfig) -> Path:
    return Path(config.results_dir) / f"retrain_{config.stock_name}.json"


def alone(config: RunConfig) -> AbstractContextManager[bool]:
    """Locks the retraining of these stocks while the block runs; gives False if another process holds it.

    The system lets go of it when the process ends, however it ends.
    """
    directory = Path(config.results_dir)
    directory.mkdir(parents=True, exist_ok=True)
    return locks.tried(directory / f".retrain_{config.stock_name}.lock")


def freeze_bars(config: RunConfig) -> RunConfig:
    """Copies the bars as they are now, under their digest, and returns settings that read the copy.

    An ingest in the middle of a training then changes nothing for it, a retry continues with the same bars, and a run's
    settings name its bars exactly.
    """
    if config.data.data_dir == EMBEDDED:
        return config
    digest = data_digest(config)
    target = Path(config.results_dir) / BARS / digest[:16]
    frozen = config.with_data(data_dir=str(target))
    if target.is_dir() and data_digest(frozen) == digest:
        return frozen
    folders.sweep(target.parent)
    folders.remove(target)
    with folders.scratch(target) as new:
        for path in dict.fromkeys(bar_files(config).values()):
            shutil.copyfile(path, new / path.name)
        if data_digest(config.with_data(data_dir=str(new))) != digest:
            return freeze_bars(config)  # an ingest wrote in between
        new.rename(target)
    return frozen


def reuse(run: Run, last: Path) -> list[str]:
    """Copies from an earlier run each finished stage that would come out the same, in the order of the graph.

    A stage counts as the same if its settings and the digests of all its inputs are, and its files are whole. A stage
    that this run has begun is left alone.

    Returns:
        Names of the steps taken.
    """
    earlier = run_at(last, run.config)
    taken = []
    for name, step in run.graph.items():
        source, target = earlier.stage_dir(name), run.stage_dir(name)
        if target.exists() or any(not (run.stage_dir(other) / MANIFEST).is_file() for other in step.needs.values()):
            continue
        if finished(step.load(), step.settings(run.config), run.inputs(name), source) is not None:
            new = folders.beside(target, "new")
            shutil.copytree(source, new, ignore=_scratch(source))
            new.rename(target)
            taken.append(name)
    return taken


def _scratch(top: Path) -> Callable[[str, list[str]], list[str]]:
    left = set(SCRATCH) - {MARK}
    return lambda folder, names: [name for name in names if Path(folder) == top and name in left]


def start_from_adapter(config: RunConfig, adapter: Path) -> tuple[RunConfig, str, Path]:
    """Returns the settings that it takes to train on from an adapter.

    Returns:
        (settings whose base model is the merged one, the model that the adapter belongs to, the merged one's directory)

    Raises:
        ConfigError: there is no adapter, or it belongs to another model than the settings'.
    """
    path = adapter / "adapter_config.json"
    try:
        base = read_table(path, ConfigError, "give start_from another adapter").get("base_model_name_or_path")
    except FileNotFoundError as error:
        raise ConfigError(f"start_from: {adapter}: no adapter there (it has no adapter_config.json)") from error
    if not isinstance(base, str) or not base:
        raise ConfigError(f"start_from: {path}: base_model_name_or_path names no model; give another adapter")
    if _with_model(config, base).model_name != config.model_name:
        raise ConfigError(f"start_from: {adapter}: an adapter of {base}, not of {config.model.name}; give one of those")
    weights = json_digest({path.name: file_digest(path) for path in sorted(adapter.glob("adapter_*"))})
    # The last part of a path is a model's name elsewhere: what starts from a champion competes with it.
    target = Path(config.models_dir) / "merged" / weights[:12] / config.model_name
    return _with_model(config, str(target.resolve())), base, target


def _with_model(config: RunConfig, name: str) -> RunConfig:
    changed = {"model": {"name": name, "revision": None}}
    return type(config).model_validate(merge(config.model_dump(mode="json"), changed))
