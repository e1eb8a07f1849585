"""Replaces the generation settings that come with a model by plain ones; only its end tokens are kept."""

from typing import Any

from stonk_pipeline.models.chat import Chat


def forget_defaults(network: Any, tokenizer: Any) -> None:
    """Replaces a model's generation settings by plain ones, of which only the end tokens are kept.

    Instruction-tuned models ship a `generation_config.json`, with a `repetition_penalty` in some. transformers applies
    it, vLLM and TRL's trainer do not: the same model would answer differently in training and in the comparison. To
    those end tokens comes the one that the chat template puts after an assistant's words.
    """
    from transformers import GenerationConfig

    network.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(Chat.of(tokenizer, end_tokens(network.generation_config)).ends),
        pad_token_id=tokenizer.pad_token_id,
    )


def end_tokens(settings: Any) -> list[int]:
    """Lists the end tokens that a model's generation settings name; none where there are none."""
    ends = getattr(settings, "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def end_tokens_of(location: str) -> list[int]:
    """Lists a model's end tokens from its files: those of its generation settings, or of its config."""
    from transformers import AutoConfig, GenerationConfig

    try:
        return end_tokens(GenerationConfig.from_pretrained(location))
    except OSError:  # no generation_config.json
        return end_tokens(AutoConfig.from_pretrained(location, trust_remote_code=False))
