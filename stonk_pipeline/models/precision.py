"""Has a model on a CPU compute with bfloat16 while it is trained, where the CPU is fast at that."""

from functools import wraps
from typing import Any

from stonk_pipeline.config.training import ModelConfig


def train_in_bfloat16(network: Any, model: ModelConfig) -> None:
    """Has passes that are trained on multiply in bfloat16, if the settings ask for it and the CPU has the instructions.

    Weights stay float32, and so do passes without gradients: answers are drawn and validated as without this. Drawing
    in bfloat16 was slower, not faster. A CPU without the instructions would take many times as long, and computes in
    float32.

    Args:
        network: a causal language model; changed in place.
        model: settings.
    """
    import torch

    fast = network.device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    if not (model.cpu_bfloat16 and fast):
        return
    plain = network.forward

    @wraps(plain)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = plain(*args, **kwargs)
        if isinstance(out.logits, torch.Tensor):  # Unsloth's fine-tuning gives none
            out.logits = out.logits.float()  # a softmax of bfloat16 would round once more
        return out

    network.forward = forward
