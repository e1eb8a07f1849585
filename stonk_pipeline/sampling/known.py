"""Tells whether vLLM can run a model: its architecture, the size of its heads, and adapters on it."""

import ast
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stonk_pipeline.errors import UnknownModelError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.models.load import cuda
from stonk_pipeline.models.trial import outline

UNKNOWN = (ValidationError, NotImplementedError, AttributeError, KeyError, TypeError, AssertionError)
"""What vLLM raises while it starts on an architecture, or on settings of one, that its code was not made for."""
REMEDY = "set sampling.engine and comparison.engine to 'auto' or 'transformers'"
ON_CPU = ("v1/attention/backends/cpu_attn.py", "get_supported_head_sizes")
"""File of vLLM, and the function in it that lists the sizes of heads which its build for CPUs computes."""


def require_known(directory: Path, name: str) -> None:
    """Refuses a model that vLLM cannot run, where it is installed: an unknown architecture, or the size of its heads.

    Most are told from transformers alone, in a fraction of a second; vLLM, whose import takes seconds, is asked of the
    others.

    Args:
        directory: of the model's settings.
        name: of the model, for errors.

    Raises:
        UnknownModelError: it has no code for it.
    """
    network = outline(directory)
    if importlib.util.find_spec("vllm") is None:
        return
    if not network.is_backend_compatible():  # else it is run with the code of transformers
        architecture = type(network).__name__
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import ModelRegistry

        if architecture not in ModelRegistry.get_supported_archs():
            raise UnknownModelError(unknown(name, NotImplementedError(architecture)))
    require_heads(network, name)


def require_heads(network: Any, name: str) -> None:
    """Refuses, on a CPU, a model whose attention heads have a size that vLLM's build for CPUs does not compute.

    It takes such a model, and fails at its first answer.

    Args:
        network: with or without its weights.
        name: of the model, for errors.

    Raises:
        UnknownModelError: names the size, and those that there are.
    """
    known = cpu_head_sizes()
    wrong = head_sizes(network) - known
    if known and wrong and not cuda():
        sizes = ", ".join(map(str, sorted(known)))
        raise UnknownModelError(
            _worded(name, f"its heads have a size of {min(wrong)}, and on a CPU vLLM computes those of {sizes} alone")
        )


def require_answer(llm: Any, name: str) -> None:
    """Has a started engine write one token on a CPU, where some models start and fail at their first answer.

    So does GPT-OSS, whose attention sinks are taken for numbers of 16 bits (vLLM 0.30).

    Raises:
        UnknownModelError: it fails.
    """
    if cuda():
        return
    from vllm import SamplingParams, TokensPrompt

    try:
        llm.generate(
            [TokensPrompt(prompt_token_ids=[0])], SamplingParams(max_tokens=1, detokenize=False), use_tqdm=False
        )
    except Exception as error:  # of any kernel
        raise UnknownModelError(unknown(name, error)) from error


def head_sizes(network: Any) -> set[int]:
    """Lists the sizes of a network's attention heads; those of latent attention (DeepSeek) are no such sizes."""
    if getattr(network.config.get_text_config(), "kv_lora_rank", None):
        return set()
    layers = [layer for layer in network.modules() if "Attention" in type(layer).__name__]
    sizes = (getattr(layer, "head_dim", getattr(layer, "head_size", None)) for layer in layers)
    return {size for size in sizes if isinstance(size, int)}


def cpu_head_sizes() -> frozenset[int]:
    """Reads in vLLM's source which sizes of heads it computes on a CPU; none where they are not found there."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        return frozenset()
    try:
        tree = ast.parse((Path(found.origin).parent / ON_CPU[0]).read_text(encoding="utf-8"))
        lists = [
            ast.literal_eval(node.value)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) and function.name == ON_CPU[1]
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value is not None
        ]
    except (OSError, ValueError, SyntaxError):  # another version, which tells at its first answer
        return frozenset()
    return frozenset(size for each in lists for size in each)


def unknown(name: str, error: Exception) -> str:
    """Words the message for a model that vLLM cannot run."""
    said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
    return _worded(name, shown(said.split(" Supported architectures")[0]))


def in_its_place(error: UnknownModelError) -> str:
    """Words for `auto` that transformers answers, and why."""
    return f"{str(error).removesuffix(f'; {REMEDY}')}; transformers answers in its place"


def _worded(name: str, why: str) -> str:
    return f"model.name: {name}: vLLM cannot run this model ({why}); {REMEDY}"


def takes_adapters(location: str) -> bool:
    """Tells whether vLLM can put an adapter on this model; on others (GPT-2) it is merged into the weights."""
    from vllm.model_executor.models import ModelRegistry, supports_lora

    named = json.loads((Path(location) / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    known = [name for name in named if name in ModelRegistry.get_supported_archs()]
    return bool(known) and supports_lora(ModelRegistry._try_load_model_cls(known[0]))
