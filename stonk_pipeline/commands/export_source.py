"""Finds the model that is to be exported: a registered one, a run's last one, or an adapter."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Card, Contract
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.models.adapters import read_adapter, require_adapter
from stonk_pipeline.models.locations import base_directory, is_fetched
from stonk_pipeline.pipeline.compared import Verdict, verdict_of
from stonk_pipeline.pipeline.places import CONFIG, ORIGIN, PUBLICATION, is_note, table_of
from stonk_pipeline.pipeline.run import ADAPTER, Run
from stonk_pipeline.registry.entries import Entry, last_training
from stonk_pipeline.registry.store import Registry, require_key
from stonk_pipeline.runs.manifest import MODEL, model_digest, output_files, verify


@dataclass(frozen=True)
class Source:
    """A trained model: its adapter, the settings of its training, and what is known of its test."""

    adapter: Path
    config: RunConfig
    run: Run | None = None
    """Its run, if that is there and has a comparison of this very model."""
    verdict: Verdict | None = None
    untested: str = "No comparison of this model is at hand."
    """Why there is no verdict."""
    stocks: list[str] = field(default_factory=list)
    days: str = ""
    """The days of its training part, in words."""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def contract(self) -> Contract:
        """Returns what it is asked."""
        return contract_of(self.config)

    def card(self) -> Card:
        """Returns what its contract tells of it.

        Raises:
            ConfigError: that contract has no model card.
            StageError: its run is damaged.
        """
        if self.contract.card is None:
            raise ConfigError(
                f"models of the {self.contract.name} contract have no model card; `merge` writes one without a card"
            )
        return self.contract.card(self.config, self.run, self.stocks)


def of_registry(models_dir: str, key: str | None, name: str | None) -> Source:
    """Finds a registered model: by the first characters of its id, or the champion of a key.

    Raises:
        RegistryError: there is no such model or key, or its adapter is pruned or damaged.
        ConfigError: the key has no champion.
    """
    registry = Registry(models_dir)
    if name is not None:
        entry = registry.find(name)
    else:
        key = require_key(registry, key)
        champion = registry.champion(key)
        if champion is None:
            raise ConfigError(f"{key} has no champion; give a model's id (`models list` shows them), or --run-dir")
        entry = champion
    adapter, run = registry.adapter(entry), _run_of(entry)
    return Source(
        adapter,
        run.config if run else make_config(entry.config, source=f"the settings of model {entry.id}"),
        run,
        verdict_of(run, verify(run.stage_dir(entry.step))) if run else entry.verdict,
        stocks=entry.stocks,
        days=f"days from {entry.train_first} to {entry.train_last}",
        versions=entry.versions,
        commit=entry.git_commit,
    )


def _run_of(entry: Entry) -> Run | None:
    """The run of an entry, if it lies where it did and has the comparison of this very adapter."""
    if not (Path(entry.run) / CONFIG).is_file():
        return None
    try:
        run = open_run(Path(entry.run))
        training = verify(run.stage_dir(entry.step))
        same = output_files(run.stage_dir(entry.step) / ADAPTER) == entry.adapter
        return run if same and verdict_of(run, training) is not None else None
    except (StageError, ConfigError):  # it went on to something else
        return None


def of_run(directory: Path) -> Source:
    """Finds the last model of a run; of a walk-forward that of its last fold, which has seen the most.

    Raises:
        StageError: there is no such run, its last training is not done, or something of it is damaged.
    """
    run = open_run(directory)
    run = run.folds[-1] if run.folds else run
    return _trained(run, last_training(run))


def of_adapter(adapter: Path, config: RunConfig) -> Source:
    """Finds what is known of an adapter: by the note of the run that published it, or by the stage that it lies in.

    Args:
        adapter: its directory.
        config: its settings, where neither tells.

    Raises:
        ConfigError: it is no adapter.
        StageError: the stage of its run is damaged.
    """
    require_adapter(adapter)
    note = table_of(adapter / ORIGIN)
    places = [Path(note["run"])] if is_note(note, PUBLICATION) else []
    for directory in [*places, adapter.resolve().parents[1]]:
        if not (directory / CONFIG).is_file() or not table_of(directory / CONFIG).get("contract"):
            continue
        run = open_run(directory)
        for step, spec in run.graph.items():
            there = run.stage_dir(step) / ADAPTER
            if spec.publishes and there.is_dir() and _weights(there) == _weights(adapter):
                return _trained(run, step)
    read_adapter(adapter)
    stocks = [] if config.data.stocks == ["all"] else config.data.stocks
    return Source(adapter, config, stocks=stocks)


def _weights(adapter: Path) -> dict[str, str]:
    return {name: digest for name, digest in output_files(adapter).items() if name != ORIGIN}


def _trained(run: Run, step: str) -> Source:
    """The model of a training step.

    Raises:
        StageError: the step is not done or damaged, or its base model has changed since.
    """
    training, read = verify(run.stage_dir(step)), run.contract.training(run)
    model = run.config.model
    if not is_fetched(model) and training.inputs.get(MODEL) not in (None, model_digest(base_directory(model))):
        raise StageError(
            f"{run.stage_dir(step)}: trained on another base model than is in {base_directory(model)} now; put the "
            "other back"
        )
    last = step == last_training(run)
    verdict = verdict_of(run, training) if last else None
    known: dict[str, Any] = {}
    if not last:
        known["untested"] = f"It is the model of the step {step}, and the verdict of its run is on a later one."
    return Source(
        run.stage_dir(step) / ADAPTER,
        run.config,
        run if verdict is not None else None,
        verdict,
        stocks=sorted(read.about["stocks"]),
        days=f"days from {read.first} to {read.last}",
        versions=training.versions,
        commit=training.git_commit,
        **known,
    )
