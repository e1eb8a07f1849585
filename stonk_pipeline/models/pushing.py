"""Uploads an exported model to the Hugging Face hub, where it is private unless it is to be public."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stonk_pipeline.errors import ConfigError, DownloadError, PipelineError
from stonk_pipeline.files.untrusted import shown

OWN = ("origin.json",)
"""Files that stay here: where the model came from on this machine."""
TOKEN = "give one with write access: `hf auth login`, or the environment variable HF_TOKEN"


def require_pushable(name: str) -> None:
    """Refuses an upload that cannot work, before anything is merged; the hub is not asked.

    Raises:
        ConfigError: the name is none of a model of the hub, there is no token, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"--push-to-hub {shown(name)}: no name of a model; write it as me/my-model") from error
    if constants.HF_HUB_OFFLINE:
        raise ConfigError("--push-to-hub: HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it")
    if not get_token():
        raise ConfigError(f"--push-to-hub: no token of {constants.ENDPOINT} on this machine; {TOKEN}")


def push(directory: Path, name: str, *, public: bool) -> str:
    """Uploads a directory as one new commit of a model, which is made if it is not there.

    Args:
        directory: an exported model.
        name: of the model on the hub.
        public: whether everybody may read it.

    Returns:
        Where it is.

    Raises:
        ConfigError: the token may not write there, or the model is there already and everybody may read it.
        DownloadError: the hub cannot be asked.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    with _telling(name, directory):
        made = hub.create_repo(name, private=not public, exist_ok=True)
        if not public and hub.model_info(made.repo_id).private is False:
            raise ConfigError(
                f"--push-to-hub {name}: everybody may read that model, and nothing was uploaded; add --public, or give "
                "another name"
            )
        message = "Export of Stonk Pipeline"
        hub.upload_folder(
            repo_id=made.repo_id, folder_path=directory, ignore_patterns=list(OWN), commit_message=message
        )
    return f"{hub.endpoint}/{made.repo_id}"


@contextmanager
def _telling(name: str, directory: Path) -> Iterator[None]:
    """Tells what the hub says as this project does; the export on this machine is whole whatever it says."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except PipelineError:
        raise
    except (httpx.HTTPError, OSError) as error:  # the library's own errors are such ones too
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        here = f"{directory} is whole: `hf upload {name} {directory} --exclude {OWN[0]}` uploads it too"
        if status in (401, 403):
            raise ConfigError(
                f"--push-to-hub {name}: this machine's token may not write there; {TOKEN}. {here}"
            ) from error
        raise DownloadError(
            f"--push-to-hub {name}: the hub did not take it ({shown(f'{type(error).__name__}: {error}')}); try again. "
            f"{here}"
        ) from error
