"""Loads, adapts, merges and saves language models, with Unsloth or with plain PEFT."""

import gc
import importlib.util
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.errors import ConfigError, EngineError, StageError
from stonk_pipeline.files.model_digest import cache
from stonk_pipeline.files.weights import check_loaded, told
from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.fitting import outlined, require_finite
from stonk_pipeline.models.generation import end_tokens, end_tokens_of, forget_defaults
from stonk_pipeline.models.layers import layers_as_named, linear_kinds, put_adapters, require_all_adapted
from stonk_pipeline.models.locations import base_location, of_adapter, outline_location
from stonk_pipeline.models.precision import train_in_bfloat16
from stonk_pipeline.models.tokenizer import prepare_tokenizer
from stonk_pipeline.models.trial import try_adapters
from stonk_pipeline.models.vocabulary import require_embeddings

ADAPTER = "adapter"
"""Subdirectory of a training stage that holds the adapter it kept."""


@dataclass(frozen=True)
class Loaded:
    """A model in memory with its tokenizer."""

    model: Any
    tokenizer: Any
    backend: str
    """`unsloth` or `peft`."""
    adapted_layers: int
    """Linear layers with a trainable adapter: all but the last, which gives the tokens."""

    @property
    def chat(self) -> Chat:
        """Returns how the model's answers are spelled in tokens."""
        return Chat.of(self.tokenizer, end_tokens(self.model.generation_config))


def cuda() -> bool:
    """Tells whether an NVIDIA device can be used."""
    import torch

    return bool(torch.cuda.is_available())


def colocates() -> bool:
    """Tells whether a training samples with vLLM in its own process: on CUDA, where vLLM is installed."""
    return cuda() and importlib.util.find_spec("vllm") is not None


def compute_dtype() -> Any:
    """Chooses bfloat16 where the accelerator has it, float16 on older ones, float32 on a CPU."""
    import torch

    if not cuda():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def choose_backend(model: ModelConfig) -> str:
    """Chooses `unsloth` or `peft`, from the setting, the device and what is installed.

    `auto` takes Unsloth on CUDA alone: on a CPU it brings no speed, takes ten seconds more to be imported, and its
    trainer computes a prompt anew for each answer, where `group_trainer` does not.

    Raises:
        EngineError: Unsloth is asked for and not installed, or 4-bit weights without CUDA or bitsandbytes.
    """
    if model.load_in_4bit and not cuda():  # bitsandbytes loads them on a CPU, but training fails there (0.50)
        raise EngineError("model.load_in_4bit needs a CUDA device; set it to false on this machine")
    if model.load_in_4bit and importlib.util.find_spec("bitsandbytes") is None:
        raise EngineError("model.load_in_4bit needs bitsandbytes; install it, or set it to false")
    installed = importlib.util.find_spec("unsloth") is not None
    if model.backend == "unsloth" and not installed:
        raise EngineError("model.backend is 'unsloth', but Unsloth is not installed; install it, or set it to 'peft'")
    if model.backend != "auto":
        return model.backend
    return "unsloth" if installed and cuda() else "peft"


def prepare_backend(model: ModelConfig) -> str:
    """Chooses the backend and, for Unsloth, imports it: it patches trl and transformers, so it comes before them."""
    backend = choose_backend(model)
    if backend == "unsloth":
        # Its compiled trainers lie in the working directory by default, which two runs at once would share.
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache() / "unsloth"))
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        _spare_unsloth_wrong_kernels()
        import unsloth  # noqa: F401
    return backend


def _spare_unsloth_wrong_kernels() -> None:
    """Lets Unsloth be imported on an x86 processor without AVX-512 BF16.

    To see whether vLLM works, Unsloth loads `vllm._C`. In vLLM's CPU build that library is for AVX-512 BF16 alone, and
    loading it elsewhere is an illegal instruction; vLLM itself takes `_C_AVX512` or `_C_AVX2` there (the same question
    is asked in its `CpuPlatform.import_kernels`). An empty module in its place is never used.
    """
    import torch

    if platform.machine() in ("x86_64", "AMD64") and not cuda() and not torch.cpu._is_avx512_bf16_supported():
        sys.modules.setdefault("vllm._C", ModuleType("vllm._C"))


def load_for_training(
    model: ModelConfig, lora: LoraConfig, seed: int, *, start: Path | None = None, fast_inference: bool = False
) -> Loaded:
    """Loads the base model with a trainable adapter on every linear layer.

    Args:
        model: which model, and how.
        lora: shape of the adapter.
        seed: of the adapter's initial weights.
        start: adapter directory to continue from; its rank must be `lora.rank`.
        fast_inference: share the weights with a vLLM engine in this process (CUDA only).

    Raises:
        ConfigError: `start` has another rank, or the model has linear layers that cannot have an adapter. That is
            tried before its weights are loaded, or fetched.
        EngineError: see `choose_backend`.
    """
    backend = prepare_backend(model)
    try_adapters(outline_location(model), lora, model.name)
    load = _load_unsloth if backend == "unsloth" else _load_peft
    network, tokenizer = load(model, lora, seed, fast_inference)
    if start is not None:
        load_adapter_weights(network, start, lora)
    train_in_bfloat16(network, model)
    remedy = "set model.backend to peft" if backend == "unsloth" else "choose another model"
    return Loaded(network, tokenizer, backend, require_all_adapted(network, model.name, remedy))


def _load_unsloth(model: ModelConfig, lora: LoraConfig, seed: int, fast_inference: bool) -> tuple[Any, Any]:
    from unsloth import FastLanguageModel

    fast = (
        {"gpu_memory_utilization": model.gpu_memory_utilization, "max_lora_rank": lora.rank} if fast_inference else {}
    )
    location = base_location(model)
    outlined(location)  # Unsloth does not say what it left out
    network, tokenizer = FastLanguageModel.from_pretrained(
        model_name=location,
        max_seq_length=model.max_seq_length,
        dtype=compute_dtype(),
        load_in_4bit=model.load_in_4bit,
        fast_inference=fast_inference,
        trust_remote_code=False,
        **fast,
    )
    prepare_tokenizer(tokenizer, location)
    _finish(location, network, tokenizer, packed=model.load_in_4bit)
    with layers_as_named(network):
        network = FastLanguageModel.get_peft_model(
            network,
            r=lora.rank,
            target_modules=linear_kinds(network, model.name),
            lora_alpha=lora.alpha or lora.rank,
            lora_dropout=lora.dropout,
            bias="none",
            use_gradient_checkpointing="unsloth" if cuda() else False,
            random_state=seed,
        )
    return network, tokenizer


def _load_peft(model: ModelConfig, lora: LoraConfig, seed: int, fast_inference: bool) -> tuple[Any, Any]:
    import torch
    from peft import prepare_model_for_kbit_training

    del fast_inference  # TRL starts the engine itself when the model is a plain one
    network, tokenizer = load_base(model, quantise=model.load_in_4bit)
    if model.load_in_4bit:
        network = prepare_model_for_kbit_training(network)
    torch.manual_seed(seed)
    return put_adapters(network, lora, model.name), tokenizer


def load_base(model: ModelConfig, *, quantise: bool = False) -> tuple[Any, Any]:
    """Loads the unmodified base model and its tokenizer with transformers; safetensors only, no remote code."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights that are read or written in a moment
    options: dict[str, Any] = {}
    if quantise:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute_dtype()
        )
    location = base_location(model)
    tokenizer = load_tokenizer(location)
    with told(location):
        network, info = AutoModelForCausalLM.from_pretrained(
            location,
            dtype=compute_dtype(),
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told, and refused
            output_loading_info=True,
            **options,
        )
        check_loaded(location, info, network.config)
    _finish(location, network, tokenizer, packed=quantise)
    return (network.to("cuda") if cuda() and not quantise else network), tokenizer


def _finish(location: str, network: Any, tokenizer: Any, *, packed: bool) -> None:
    require_finite(location, network, packed=packed)
    forget_defaults(network, tokenizer)
    require_embeddings(location, network, tokenizer)


def load_tokenizer(location: str) -> Any:
    """Loads the tokenizer of a model and tries its chat template.

    Args:
        location: what `base_location` gives.

    Raises:
        ConfigError: a local one cannot be read, or nothing ends an answer.
        PromptError: its chat template does not end, or cannot be rendered.
    """
    from transformers import AutoTokenizer

    with told(location):
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
        tokenizer(["100.00"])  # some settings of a wrong type are first met here
    with told(location):
        prepare_tokenizer(tokenizer, location)
        Chat.of(tokenizer, end_tokens_of(location))  # before weights are loaded
    return tokenizer


def load_adapter_weights(network: Any, adapter: Path, lora: LoraConfig) -> None:
    """Gives a network's adapter the weights of a saved one; raises a `ConfigError` if that has another rank."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    if (rank := read_adapter(adapter).rank) != lora.rank:
        raise ConfigError(f"lora.rank is {lora.rank}, but {adapter} has rank {rank}; use the same rank in every stage")
    set_peft_model_state_dict(network, load_file(adapter / "adapter_model.safetensors"))


def save_adapter(loaded: Loaded, model: ModelConfig, out: Path) -> None:
    """Saves the adapter alone, in PEFT's own form, so that PEFT and vLLM load it onto the unmodified base model."""
    # TRL keeps the adapter that it began with beside the trained one, as `ref`, where the divergence has a weight.
    loaded.model.save_pretrained(out, safe_serialization=True, selected_adapters=["default"])
    loaded.tokenizer.save_pretrained(out)
    path = out / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # The base is named as the user named it: a path of this machine would be of no use on another.
    config |= {"base_model_name_or_path": model.name, "revision": model.revision, "inference_mode": True}
    config.pop("auto_mapping", None)  # names Unsloth's classes, which plain PEFT need not have
    if isinstance(config["target_modules"], list):  # PEFT writes a set, in another order each time
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    settings = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("local_files_only", None)  # how it was loaded here: the same adapter gives the same files everywhere
    settings["padding_side"] = "left"  # Unsloth's trainers set it to the right on CUDA
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (out / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (out / "README.md").unlink(missing_ok=True)  # PEFT's template card says nothing


def join_adapters(first: Path, second: Path) -> None:
    """Joins an adapter that was trained on top of another, merged one into a single adapter for the base model.

    An adapter adds (alpha / r) B A to a weight; the sum of two such terms is [s1 B1, s2 B2] [A1; A2], of rank r1 + r2.

    Args:
        first: the adapter that was merged into the base model.
        second: the adapter trained on that; replaced by the joined one.

    Raises:
        StageError: the two do not adapt the same layers.
    """
    import torch
    from safetensors.torch import load_file, save_file

    paths = [adapter / "adapter_model.safetensors" for adapter in (first, second)]
    configs = [json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")) for adapter in (first, second)]
    one, two = (load_file(path) for path in paths)
    if one.keys() != two.keys():
        raise StageError(f"{first} and {second} adapt different layers and cannot be joined")
    scales = [config["lora_alpha"] / config["r"] for config in configs]
    joined = {}
    for name in one:
        if ".lora_B." in name:
            joined[name] = torch.cat([scales[0] * one[name], scales[1] * two[name]], dim=1).contiguous()
        else:
            joined[name] = torch.cat([one[name], two[name]], dim=0).contiguous()
    rank = configs[0]["r"] + configs[1]["r"]
    save_file(joined, paths[1], metadata={"format": "pt"})
    text = json.dumps(configs[1] | {"r": rank, "lora_alpha": rank}, indent=2, sort_keys=True) + "\n"
    (second / "adapter_config.json").write_text(text, encoding="utf-8")


def load_merged(model: ModelConfig, adapter: Path | None) -> tuple[Any, Any]:
    """Loads the base model with an adapter's weights added to its own, and the tokenizer.

    Raises:
        ConfigError: the adapter is damaged, or belongs to another model; see `adapters.read_adapter`.
    """
    model = of_adapter(model, adapter)
    if adapter is not None:  # before anything heavy is loaded
        read_adapter(adapter, Path(base_location(model)), model.name)
    network, tokenizer = load_base(model)
    if adapter is None:
        return network, tokenizer
    from peft import PeftModel

    with layers_as_named(network):
        adapted = PeftModel.from_pretrained(network, str(adapter))
    return adapted.merge_and_unload(), tokenizer


def save_merged(model: ModelConfig, adapter: Path | None, out: Path) -> None:
    """Writes `load_merged`'s model as a directory that any engine reads."""
    network, tokenizer = load_merged(model, adapter)
    network.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    del network
    gc.collect()
