"""Runs the tasks of a retraining: prepares its start and takes over finished stages of the training before."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.events import emit_event
from prefect.logging import get_run_logger

from stonk_pipeline.commands import retraining
from stonk_pipeline.commands.retraining import RetrainConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.registry.entries import key_of
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs import child
from tasks.automations import DATA_CHANGED, RESOURCE
from tasks.begin import begin_run


# Persisted, so that a retry of the run goes on with the bars and the model that it began with.
@task(persist_result=True, result_serializer="json", cache_policy=INPUTS + RUN_ID)
def prepare(retrain: dict[str, Any]) -> dict[str, Any]:
    """Copies the bars as they are now, and makes the model that the training starts from.

    Args:
        retrain: a `RetrainConfig`, as JSON.

    Returns:
        The settings of the training, as JSON.
    """
    config = RetrainConfig.model_validate(retrain)
    settings = retraining.freeze_bars(config.pipeline_config())
    if config.start_from == "champion":
        settings = from_champion(settings, config.recipe)
    elif config.start_from != "base":
        settings = starting_model(settings, Path(config.start_from), config.recipe)
    return settings.model_dump(mode="json")


def from_champion(settings: RunConfig, recipe: str) -> RunConfig:
    """Returns settings that start from the champion, or from the recipe's model while there is none."""
    registry, key = Registry(settings.models_dir), key_of(run_at(Path(), settings))
    entry = registry.champion(key)
    if entry is None:
        get_run_logger().info("no champion of %s yet; starting from the recipe's model", key)
        return settings
    started = starting_model(settings, registry.adapter(entry), recipe)
    # What the champion has seen, its child has seen: only later days can tell whether it is better.
    seen = max(started.model.knowledge_cutoff or "", entry.seen_until)
    return started.model_copy(update={"model": started.model.model_copy(update={"knowledge_cutoff": seen})})


def starting_model(settings: RunConfig, adapter: Path, recipe: str) -> RunConfig:
    """Returns settings that start from a model with an adapter merged in, which is made if need be.

    Raises:
        ConfigError: there is no such adapter, or it belongs to another model.
    """
    merged, base, model = retraining.start_from_adapter(settings, adapter)
    if not (model / "config.json").is_file():
        given = {"adapter": adapter, "out": model, "recipe": recipe, "model": base}
        command = ["merge", *(f"--{name}={value}" for name, value in given.items())]
        log, logger = Path(settings.results_dir) / "merge.log", get_run_logger()
        child.run_child(command, settings, log, lambda *_: None, logger.debug, warn=logger.warning)
    return merged


def take_over(settings: RunConfig, last: retraining.Last | None) -> None:
    """Begins the run with the stages of the last training that would come out the same."""
    run = begin_run(settings)
    taken = retraining.reuse(run, Path(last.run)) if last is not None else []
    if taken:
        get_run_logger().info("taken from %s, because nothing they follow from changed: %s", last and last.run, taken)


def announce_newer_bars(config: RetrainConfig, trained: str) -> None:
    """Emits the event again if bars changed while the training ran: the runs that it started then were skipped."""
    now = retraining.data_digest(config.pipeline_config())
    if now != trained:
        get_run_logger().info("bars changed while this training ran; asking for another one")
        resource = {"prefect.resource.id": f"{RESOURCE}.{now}", "prefect.resource.name": config.data_dir}
        emit_event(event=DATA_CHANGED, resource=resource, payload={"data_dir": config.data_dir, "digest": now})
