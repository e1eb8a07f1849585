"""How a model answers by default: as the settings say, and not as somebody wrote beside its weights."""

from typing import Any


def forget_defaults(network: Any, tokenizer: Any) -> None:
    """Replaces a model's own generation settings by plain ones, of which only the tokens that end an answer are kept.

    Instruction-tuned models ship a `generation_config.json`, with a `repetition_penalty` in some. transformers applies
    it, vLLM and TRL's trainer do not: the same model would answer differently in training and in the comparison.
    """
    from transformers import GenerationConfig

    theirs = getattr(network, "generation_config", None)
    ends = getattr(theirs, "eos_token_id", None)
    network.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id if ends is None else ends,
        pad_token_id=tokenizer.pad_token_id,
    )
