"""Checks before a run starts that a base model can be trained: config, weights, tokenizer, context length.

No weights are loaded. What is refused here would otherwise be refused by an engine, hours and three stages later.
"""

import importlib.util
from pathlib import Path
from typing import Any

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import EXTRAS, ConfigError, of_import
from stonk_pipeline.files.model_settings import check_config, of_text
from stonk_pipeline.files.untrusted import finite, read_json, shown
from stonk_pipeline.files.weights import check_model
from stonk_pipeline.models import hub, locations
from stonk_pipeline.models.templates import COPY, check_files
from stonk_pipeline.models.vocabulary import check_vocabulary

LENGTHS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
"""Names under which models keep how many tokens they know, as vLLM reads them (`derive_max_model_len_and_key`)."""
COUNTED = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope")
"""Scalings of rotary positions that those numbers allow for already (`_get_and_verify_max_len` of vLLM 0.30)."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "*.tiktoken")


def require_model(model: ModelConfig) -> ModelConfig:
    """Checks a base model's files. Of a model of the hub, all but the weights is downloaded for that.

    Returns:
        The settings, with the commit of a model of the hub.

    Raises:
        ConfigError: there is no such model, it is none that can be trained, its weights are damaged or pickles, it
            knows fewer positions than `model.max_seq_length`, or its tokenizer is missing or another model's.
        PromptError: its chat template cannot be used.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    model = locations.pinned(model)
    directory = locations.outline_location(model)
    config = check_config(directory)
    _check_length(directory / "config.json", config, model.max_seq_length)
    if model.revision is not None:
        hub.require_weights(model.name, model.revision, directory)
    else:
        check_model(directory)
    _check_ends(directory, config)
    _check_tokenizer(directory, config)
    return model


def require_libraries() -> None:
    """Checks that what asks and trains models is installed, without importing it.

    Raises:
        EngineError: it is not, as a light install leaves it out.
    """
    for library in EXTRAS["cpu"]:
        if importlib.util.find_spec(library) is None:
            raise of_import(ModuleNotFoundError(name=library))


def _check_length(path: Path, config: dict[str, Any], wanted: int) -> None:
    name, length = context_length(config)
    if wanted > length:
        raise ConfigError(
            f"model.max_seq_length is {wanted:,}, and the model has {name} {length:,.0f} ({path}): it knows no later "
            f"positions; lower model.max_seq_length to {length:.0f}"
        )


def context_length(config: dict[str, Any]) -> tuple[str, float]:
    """Returns how many tokens a model can read, and the name of that number in its settings.

    The rule is vLLM's: the smallest of the numbers, times the factor of a scaling that they do not allow for.
    """
    config = of_text(config)
    said = {name: number for name in LENGTHS if (number := finite(config.get(name))) is not None and number > 0}
    if not said:
        return "", float("inf")
    name = "model_max_length" if "model_max_length" in said else min(said, key=lambda name: said[name])
    return name, said[name] * _factor(config)


def _factor(config: dict[str, Any]) -> float:
    if "gemma3" in str(config.get("model_type")):  # its number is scaled already
        return 1.0
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(rope, dict):
        return 1.0
    kinds = [part for part in rope.values() if isinstance(part, dict)] or [rope]  # by kind of layer, or one for all
    factors = [
        finite(kind.get("factor")) or 1.0
        for kind in kinds
        if kind.get("rope_type", kind.get("type", "default")) not in COUNTED
    ]
    return factors[-1] if factors else 1.0


def _check_tokenizer(directory: Path, config: dict[str, Any]) -> None:
    if not any(path.is_file() for form in TOKENIZERS for path in directory.glob(form)):
        raise ConfigError(f"{directory}: no tokenizer (such as {TOKENIZERS[0]}); {COPY}")
    check_vocabulary(directory, config, check_files(directory))


def _check_ends(directory: Path, config: dict[str, Any]) -> None:
    """The tokens that end an answer are numbers, wherever they are named."""
    path = directory / "generation_config.json"
    try:
        said = read_json(path, ConfigError, COPY) if path.is_file() else {}
    except ConfigError:
        said = {}  # transformers does without a damaged one
    for place, settings in ((path, said), (directory / "config.json", of_text(config))):
        ends = settings.get("eos_token_id") if isinstance(settings, dict) else None
        if not all(type(end) is int and end >= 0 for end in (ends if isinstance(ends, list) else [ends or 0])):
            raise ConfigError(
                f"{place}: eos_token_id is {shown(repr(ends), 40)}, and no number of a token or list of such; "
                "correct it"
            )
