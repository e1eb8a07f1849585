"""Renders prompts about windows and checks that an answer fits beside them."""

from collections.abc import Sequence
from typing import Any

from stonk_pipeline.contracts.forecast.question import SHORTER, answer, messages
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.errors import PromptError
from stonk_pipeline.sampling.prompts import render, token_ids
from stonk_pipeline.schema import Window


def questions(
    tokenizer: Any, windows: Sequence[Window], prompt: PromptConfig, horizon: int, *, room: int, limit: int
) -> list[str]:
    """Renders prompts about windows with the model's chat template.

    Args:
        tokenizer: of the model.
        windows: what is asked about.
        prompt: what of them is shown.
        horizon: closes to forecast.
        room: tokens that an answer may take.
        limit: `model.max_seq_length`.

    Raises:
        PromptError: a prompt and its answer do not fit, or the plainest answer is longer than `room`.
    """
    asked = [messages(window, prompt, horizon) for window in windows]
    prompts = render(tokenizer, asked, room=room, limit=limit, shorter=SHORTER)
    plain = [answer("", (window.last,) * horizon, prompt.decimals) for window in windows]
    longest = max(map(len, token_ids(tokenizer, plain)), default=0)
    if longest >= room:  # the mark that ends an answer needs a token too
        raise PromptError(
            f"an answer of {horizon} closes has at least {longest + 1} tokens, and only {room} are allowed; raise "
            "max_completion_length (GRPO) and max_tokens (sampling, comparison), or shorten data.horizon"
        )
    return prompts
