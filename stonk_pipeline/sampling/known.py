"""Asks vLLM's registry whether it supports a model's architecture, and adapters on it."""

import importlib.util
import json
import os
from pathlib import Path

from pydantic import ValidationError

from stonk_pipeline.errors import UnknownModelError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.models.trial import outline

UNKNOWN = (ValidationError, NotImplementedError, AttributeError, KeyError, TypeError, AssertionError)
"""What vLLM raises while it starts on an architecture, or on settings of one, that its code was not made for."""


def require_known(directory: Path, name: str) -> None:
    """Refuses an architecture that vLLM has no code for, where it is installed.

    Most are told from transformers alone, in a fraction of a second; vLLM, whose import takes seconds, is asked of the
    others.

    Args:
        directory: of the model's settings.
        name: of the model, for errors.

    Raises:
        UnknownModelError: it has none.
    """
    network = outline(directory)
    if network.is_backend_compatible() or importlib.util.find_spec("vllm") is None:
        return  # what vLLM has no code for, it runs with that of transformers, if that is made for it
    architecture = type(network).__name__
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    from vllm import ModelRegistry

    if architecture not in ModelRegistry.get_supported_archs():
        raise UnknownModelError(unknown(name, NotImplementedError(architecture)))


def unknown(name: str, error: Exception) -> str:
    """Words the message for a model that vLLM cannot run."""
    said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
    return (
        f"model.name: {name}: vLLM cannot run this model ({shown(said.split(' Supported architectures')[0])}); set "
        "sampling.engine and comparison.engine to 'auto' or 'transformers'"
    )


def takes_adapters(location: str) -> bool:
    """Tells whether vLLM can put an adapter on this model; on others (GPT-2) it is merged into the weights."""
    from vllm.model_executor.models import ModelRegistry, supports_lora

    named = json.loads((Path(location) / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    known = [name for name in named if name in ModelRegistry.get_supported_archs()]
    return bool(known) and supports_lora(ModelRegistry._try_load_model_cls(known[0]))
