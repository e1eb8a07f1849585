"""Renders messages with the model's chat template and checks that prompts fit its context."""

from typing import Any

from stonk_pipeline.errors import PromptError
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.text.form import Messages


def render(tokenizer: Any, conversations: list[Messages], *, room: int, limit: int, shorter: str) -> list[str]:
    """Renders messages with the model's chat template, without control tokens in what they quote.

    Args:
        tokenizer: of the model.
        conversations: messages of each prompt.
        room: tokens that the answer may take.
        limit: `model.max_seq_length`.
        shorter: how a person makes prompts of this contract shorter, for the message.

    Raises:
        PromptError: a prompt and its answer do not fit; names the length and the remedy.
    """
    prompts = [
        tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        for conversation in guarded(tokenizer, conversations)
    ]
    check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=shorter)
    return prompts


def token_ids(tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    """Encodes prompts as every engine and trainer reads them: the tokens of the template and no others.

    A tokenizer may put a token of its own at the beginning (BOS), which the template of such a model has already.
    """
    # Tokenizers of transformers fail on an empty list.
    ids: list[list[int]] = tokenizer(prompts, add_special_tokens=False)["input_ids"] if prompts else []
    return ids


def check_lengths(tokenizer: Any, prompts: list[str], *, room: int, limit: int, shorter: str) -> int:
    """Checks that all prompts fit, and returns the length of the longest one in tokens.

    Raises:
        PromptError: it does not fit beside its answer.
    """
    longest = max(map(len, token_ids(tokenizer, prompts)), default=0)
    if longest + room > limit:
        raise PromptError(
            f"the longest prompt has {longest} tokens; with {room} for the answer that is more than "
            f"model.max_seq_length = {limit}. Raise max_seq_length to {longest + room}, or {shorter}"
        )
    return longest
