"""Prepares a model's tokenizer for prompts: its chat template, its padding, and the token that ends an answer."""

from typing import Any

from stonk_pipeline.models.generation import end_tokens_of
from stonk_pipeline.models.templates import settle_template


def prepare_tokenizer(tokenizer: Any, location: str) -> None:
    """Gives a tokenizer what trainers and engines need of it, where its model does not bring it.

    An end that the model's settings name and the tokenizer does not becomes its EOS; without padding, EOS pads.

    Args:
        tokenizer: as transformers or Unsloth loaded it.
        location: directory of the model.

    Raises:
        PromptError: its chat template does not end, or cannot be rendered.
    """
    if tokenizer.eos_token_id is None and (ends := end_tokens_of(location)):
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    settle_template(tokenizer)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
