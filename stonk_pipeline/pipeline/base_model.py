"""Checks a run's base model before the run begins, and keeps it at one commit to the run's end."""

from pathlib import Path
from typing import Any, TypeVar

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.errors import StageError, UnknownModelError
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.models.adapters import COMMIT
from stonk_pipeline.models.load import cuda
from stonk_pipeline.models.locations import of_adapter, outline_location
from stonk_pipeline.models.readiness import require_model
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.sampling.engines import choose_engine
from stonk_pipeline.sampling.known import in_its_place, require_known

Config = TypeVar("Config", bound=RunConfig)


def settled(config: Config, directory: Path | None = None) -> Config:
    """Returns a run's settings with its base model checked, and with the commit of a model of the hub.

    Args:
        config: the settings; a branch or tag in them is looked up, unless the run has begun with a commit already.
        directory: of the run, which may have begun before.

    Raises:
        ConfigError: there is no such model, or it cannot be trained; see `readiness.require_model`.
        EngineError: vLLM is asked for, and not installed or unable to run the model.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    model = config.model
    kept = None if directory is None else _kept(directory, model.name)
    if kept is not None and not COMMIT.fullmatch(model.revision or ""):
        model = model.model_copy(update={"revision": kept})
    settings = config.model_copy(update={"model": require_model(model)})
    if "vllm" in (part.engine for part in (settings.comparison, *_sampling(settings))):  # else said after hours
        choose_engine("vllm", prefer_vllm=True)
        require_known(outline_location(settings.model), model.name)
    return settings


def remarks(config: RunConfig) -> list[str]:
    """Says what a person has to know of how a run uses its base model.

    That is whether transformers answers in the place of vLLM. transformers and torch are imported for it.

    Args:
        config: settings, with the commit of a model of the hub.
    """
    chosen = [choose_engine(config.comparison.engine, prefer_vllm=cuda())]
    chosen += [choose_engine(part.engine, prefer_vllm=True) for part in _sampling(config)]
    if "vllm" not in chosen:
        return []
    try:
        require_known(outline_location(config.model), config.model.name)
    except UnknownModelError as error:
        return [in_its_place(error)]
    return []


def _sampling(config: RunConfig) -> list[Any]:
    """The settings of rejection sampling, of a contract that has it."""
    found = getattr(config, "sampling", None)
    return [] if found is None else [found]


def asked(config: Config, adapter: Path | None) -> Config:
    """Does as `settled` for a model that is only asked, with the commit that its adapter was trained on."""
    return settled(config.model_copy(update={"model": of_adapter(config.model, adapter)}))


def resettled(config: Config, directory: Path | None) -> Config:
    """Does as `settled` for a run that goes on: it keeps its own commit unless a revision is given."""
    return settled(config, directory if config.model.revision is None else None)


def _kept(directory: Path, name: str) -> str | None:
    """The commit that a run in this directory began with, if its model has this name."""
    try:
        model = read_table(directory / CONFIG, StageError, "").get("model")
    except (OSError, StageError):
        return None
    if not isinstance(model, dict) or model.get("name") != name:
        return None
    revision = model.get("revision")
    return revision if isinstance(revision, str) and COMMIT.fullmatch(revision) else None
