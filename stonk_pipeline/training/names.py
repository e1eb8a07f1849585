"""Whether there is a model by a name, asked before anything is started."""

from pathlib import Path

from stonk_pipeline.config import ModelConfig
from stonk_pipeline.errors import ConfigError, DownloadError
from stonk_pipeline.training.models import EMBEDDED_MODELS, base_location

ASKING_SECONDS = 10
REMEDY = f"give a directory of a model, a name of huggingface.co, or one of the package: {', '.join(EMBEDDED_MODELS)}"


def require_model(model: ModelConfig) -> None:
    """Checks a model's directory, or that its name is known on this machine or to Hugging Face. Nothing is loaded.

    Raises:
        ConfigError: there is no such model, or its files are damaged.
        DownloadError: it is not on this machine, and Hugging Face cannot be asked.
    """
    if Path(base_location(model)).is_dir():
        return  # its files have been looked at
    import httpx
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        if isinstance(try_to_load_from_cache(model.name, "config.json"), str):
            return
        if constants.HF_HUB_OFFLINE:
            raise ConfigError(f"model.name: {model.name}: not on this machine, and HF_HUB_OFFLINE is set; {REMEDY}")
        HfApi().model_info(model.name, timeout=ASKING_SECONDS)
    except HFValidationError as error:
        raise ConfigError(f"model.name: {model.name}: neither a directory here nor a name; {REMEDY}") from error
    except GatedRepoError:
        return  # known; whether this person may read it is said where it is read
    except RepositoryNotFoundError as error:
        raise ConfigError(f"model.name: {model.name}: there is no such model, or it is private; {REMEDY}") from error
    except HfHubHTTPError:
        return  # an answer of another kind, say about too many requests, tells nothing about the name
    except (httpx.HTTPError, OSError) as error:
        raise DownloadError(
            f"model.name: {model.name}: not on this machine, and huggingface.co cannot be reached "
            f"({type(error).__name__}); try again with a connection, or {REMEDY}"
        ) from error
