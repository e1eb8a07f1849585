"""Checks a base model's config.json: a causal language model that transformers knows, with plain weights.

transformers is not imported for it, which takes four seconds with torch: its tables of models are read as text.
"""

import ast
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import read_table, shown

REMEDY = "copy the file again, or save the model anew as safetensors"
ADAPTER = "adapter_config.json"
KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
"""Settings that transformers takes for names of repositories with code, where they have a slash."""
READ_BY_TRANSFORMERS = ("bitsandbytes", "mxfp4")
"""Quantised weights that a trainable adapter can be put on."""
TABLES = (
    ("models/auto/modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"),
    ("models/auto/auto_mappings.py", "CONFIG_MAPPING_NAMES"),
)
"""File of transformers and name of a table in it: causal language models, and all that it has settings for."""


def check_config(directory: Path) -> dict[str, Any]:
    """Checks the config.json in a model's directory.

    Raises:
        ConfigError: there are none, they name no causal language model that is known without code of its own, or its
            weights are quantised or have an adapter beside them.
    """
    path = directory / "config.json"
    try:
        config = read_table(path, ConfigError, REMEDY)
    except FileNotFoundError as error:
        raise ConfigError(f"{directory}: not a model (it has no config.json); {REMEDY}") from error
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ConfigError(f"{path}: no model_type; {REMEDY}")
    if config.get("auto_map"):
        raise ConfigError(
            f"{path}: auto_map names code of its own, which is never run; choose a model that transformers knows"
        )
    kernels = [name for name in KERNELS for settings in (config, of_text(config)) if "/" in str(settings.get(name))]
    if kernels:
        raise ConfigError(
            f"{path}: {kernels[0]} names a kernel of the hub, which is code and never fetched; remove that line"
        )
    if (directory / ADAPTER).exists():
        raise ConfigError(
            f"{directory / ADAPTER}: an adapter beside the weights of a model, which transformers would put on it "
            "unasked; move it to a folder of its own, and merge it from there if it is wanted (python -m "
            "stonk_pipeline merge)"
        )
    _check_kind(path, kind)
    _check_quantised(path, config.get("quantization_config"))
    return config


def of_text(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of the language model within a model of several parts."""
    text = config.get("text_config")
    return config | text if isinstance(text, dict) else config


def _check_kind(path: Path, kind: str) -> None:
    causal, known = (known_models(*table) for table in TABLES)
    if not causal or kind in causal:
        return
    library = f"transformers {metadata.version('transformers')}"
    if kind in known:
        raise ConfigError(
            f"{path}: model_type {shown(kind, 60)} is no causal language model of {library}; choose one that is, such "
            "as an instruction-tuned model of Qwen, Llama or Gemma"
        )
    raise ConfigError(f"{path}: model_type {shown(kind, 60)} is not known to {library}; choose another model")


@lru_cache
def known_models(file: str, table: str) -> frozenset[str]:
    """Reads the keys of a table in a source file of transformers; none where the table is not there."""
    found = util.find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    try:
        tree = ast.parse((Path(found.origin).parent / file).read_text(encoding="utf-8"))
        values = [
            node.value.args[0]
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.targets[0]) == table
        ]
        return frozenset(name for value in values for name, _ in ast.literal_eval(value))
    except (OSError, ValueError, SyntaxError, IndexError, TypeError):  # another version, which tells when it loads
        return frozenset()


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _check_quantised(path: Path, said: Any) -> None:
    if not said:
        return
    method = said.get("quant_method") if isinstance(said, dict) else said
    if method not in READ_BY_TRANSFORMERS:
        raise ConfigError(
            f"{path}: its weights were quantised by another library ({shown(method, 40)}), and no adapter can be "
            "trained on them; choose the model that they were made of, with model.load_in_4bit=true where memory is "
            "short"
        )
    if method == "bitsandbytes" and util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"{path}: its weights were quantised by bitsandbytes, which is not installed; install it, or choose the "
            "model that they were made of"
        )
