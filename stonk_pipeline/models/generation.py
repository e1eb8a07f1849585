"""How a model answers by default: as the settings say, and not as somebody wrote beside its weights."""

from typing import Any

from stonk_pipeline.models.chat import Chat


def forget_defaults(network: Any, tokenizer: Any) -> None:
    """Replaces a model's own generation settings by plain ones, of which only the tokens that end an answer are kept.

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
    """The end tokens that a model's generation settings name; none where there are none."""
    ends = getattr(settings, "eos_token_id", None)
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def end_tokens_of(location: str) -> list[int]:
    """The end tokens of a model by its files: those of its generation settings, or of its config."""
    from transformers import AutoConfig, GenerationConfig

    try:
        return end_tokens(GenerationConfig.from_pretrained(location))
    except OSError:  # no generation_config.json
        return end_tokens(AutoConfig.from_pretrained(location, trust_remote_code=False))
