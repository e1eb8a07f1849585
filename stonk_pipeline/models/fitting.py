"""Checks that a model's weights match its config in names and shapes and hold no NaN or infinity."""

from pathlib import Path
from typing import Any

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.files.weights import check_finite, check_loaded, read_header, told, weight_files


def outlined(location: str) -> Any:
    """Builds the model on torch's `meta` device, without numbers, and compares its weights' names and shapes.

    No number is read: some tenths of a second, whatever the size.

    Args:
        location: directory of the model; without weights, shapes alone come of it.

    Raises:
        ConfigError: weights are missing, of another shape, or would be left out.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights that are not loaded
    with told(location):
        config = AutoConfig.from_pretrained(location, trust_remote_code=False)
        quantised = getattr(config, "quantization_config", None) is not None  # has other names than the model itself
        if quantised or not all(path.is_file() for path in weight_files(Path(location))):
            with torch.device("meta"):
                return AutoModelForCausalLM.from_config(config)
        network, info = AutoModelForCausalLM.from_pretrained(
            location,
            device_map="meta",
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told, and refused
            output_loading_info=True,
        )
        check_loaded(location, info, network.config)
    return network


def require_finite(location: str, network: Any, *, packed: bool = False) -> None:
    """Refuses NaN and infinite numbers in the weights of a loaded model.

    In memory, by a sum of each tensor: about 0.1 s for each GB on two cores. Weights that were packed to 4 bits hide
    them, so there the files are read: about 0.3 s for each GB.

    Raises:
        ConfigError: names the first tensor with such a number.
    """
    import torch

    if packed:
        for path in weight_files(Path(location)):
            tensors = read_header(path).items()
            check_finite(path, {name: tensor for name, tensor in tensors if tensor.kind in ("F32", "F16", "BF16")})
        return
    for name, tensor in network.named_parameters():
        whole = tensor.detach()
        if whole.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16) or whole.is_meta:
            continue
        if not whole.sum(dtype=torch.float32).isfinite() and not whole.isfinite().all():  # a sum may overflow
            raise ConfigError(
                f"{location}: {shown(name, 100)!r} has NaN or infinite numbers, so every answer would be none; "
                "copy the weights again, or choose another model"
            )
