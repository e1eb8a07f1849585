"""Finds a base model's files: in this package, in a local directory, or in a cache of what was fetched.

Whatever a setting names, everything that loads a model works on a local directory, so that the checks of files hold for
models of the hub as well.
"""

import difflib
from pathlib import Path

from stonk_pipeline import PACKAGE
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.weights import check_model
from stonk_pipeline.models import hub, packaged
from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.models.packaged import PACKAGED

ASSETS = PACKAGE / "assets"
EMBEDDED_MODELS = {path.parent.name: path.parent for path in sorted(ASSETS.glob("*/config.json"))}
"""Models in the package: name -> directory."""
OWN_NAMES = (*EMBEDDED_MODELS, *PACKAGED)
REMEDY = f"give a directory of a model, a name of huggingface.co, or one of these: {', '.join(OWN_NAMES)}"


def on_hub(model: ModelConfig) -> bool:
    """Tells whether a setting names a model of the hub and not a directory, without asking the hub."""
    return _directory(model.name) is None


def is_fetched(model: ModelConfig) -> bool:
    """Tells whether a setting names a model whose files can be fetched anew, and that its name and revision settle."""
    return model.name in PACKAGED or on_hub(model)


def base_directory(model: ModelConfig) -> Path:
    """Returns where the base model is, or would be once it is downloaded, without checking it."""
    return _directory(model.name) or hub.snapshot(model.name, model.revision)


def base_location(model: ModelConfig) -> str:
    """Returns the checked directory of the base model's files, downloading those that are missing.

    Raises:
        ConfigError: there is no such model, or its files are damaged.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    directory = _present(model)
    if directory is not None:
        check_model(directory)
        return str(directory)
    directory = hub.whole(model.name, hub.commit_of(model.name, model.revision))
    hub.check(directory)
    return str(directory)


def outline_location(model: ModelConfig) -> Path:
    """Returns the directory of a base model's settings, tokenizer and templates; its weights need not be there.

    Raises:
        ConfigError: there is no such model.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    return _present(model) or hub.outline(model.name, hub.commit_of(model.name, model.revision))


def pinned(model: ModelConfig) -> ModelConfig:
    """Returns the settings with the commit that a model of the hub has now; others are as they were.

    Raises:
        ConfigError: there is no such model or revision.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    if _present(model) is not None:
        return model
    return model.model_copy(update={"revision": hub.commit_of(model.name, model.revision)})


def of_adapter(model: ModelConfig, adapter: Path | None) -> ModelConfig:
    """Returns the settings of an adapter's base model, with the commit that the adapter was trained on.

    Raises:
        ConfigError: the settings name another commit, or the adapter is damaged.
    """
    if adapter is None or not on_hub(model):
        return model
    own = read_adapter(adapter).revision
    if own is None:
        return model
    if model.revision is not None and hub.commit_of(model.name, model.revision) != own:
        raise ConfigError(
            f"model.revision: {model.revision}: the adapter in {adapter} was trained on commit {own} of {model.name}; "
            "give that one, or leave the setting out"
        )
    return model.model_copy(update={"revision": own})


def local_model(model: ModelConfig) -> Path | None:
    """Returns the directory that a setting names; its files are not looked at.

    None for a model of the hub, and for a packaged one that was not fetched yet.

    Raises:
        ConfigError: there is no such directory, it holds no model, or a revision is given that it cannot have.
    """
    directory = _directory(model.name)
    if model.name in PACKAGED:
        _refuse_revision(model)
        return directory if packaged.is_made(model.name) else None
    if directory is None:
        close = difflib.get_close_matches(model.name, OWN_NAMES, n=1, cutoff=0.8)
        if close and "/" not in model.name:
            raise ConfigError(f"model.name: {model.name}: there is no such model; did you mean {close[0]}?")
        return None
    if not directory.exists():
        raise ConfigError(f"model.name: {model.name}: {_why(model.name)}; {REMEDY}")
    if not (directory / "config.json").is_file():
        raise ConfigError(f"model.name: {model.name}: not a model directory (it has no config.json); {REMEDY}")
    _refuse_revision(model)
    return directory


def _present(model: ModelConfig) -> Path | None:
    """Does as `local_model`, but fetches a packaged one that is not there."""
    directory = local_model(model)
    return packaged.made(model.name) if model.name in PACKAGED else directory


def _refuse_revision(model: ModelConfig) -> None:
    if model.revision is not None:
        raise ConfigError(
            f"model.revision: {model.name} is no model of huggingface.co, and those alone have revisions; leave it out"
        )


def _directory(name: str) -> Path | None:
    """What a name is a path of, there or not; None where it can only be a name of the hub."""
    if name in EMBEDDED_MODELS:
        return EMBEDDED_MODELS[name]
    if name in PACKAGED:
        return packaged.place(name)
    path = Path(name).expanduser()
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or _first_is_folder(name)
    return path.resolve() if is_path or path.exists() else None


def _first_is_folder(name: str) -> bool:
    return "/" in name and Path(name.partition("/")[0]).is_dir()


def _why(name: str) -> str:
    if not name.startswith(("/", "~", ".")) and _first_is_folder(name):
        return f"no such directory, and no name of huggingface.co, as {name.partition('/')[0]} is a folder here"
    return "neither a directory here nor a name"
