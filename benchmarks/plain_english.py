"""Tells whether a language model knows English: how surprising it finds a paragraph, and which word it says next."""

import math
from typing import Any

PARAGRAPH = (
    "It rained for most of the morning, and the children stayed inside to read and to draw. After lunch the clouds "
    "moved on, the sun came out, and everyone went down to the river. The water was still cold, but nobody minded. "
    "They walked home late in the evening, tired and happy, and fell asleep almost as soon as they had eaten."
)
NEXT = {
    "The opposite of hot is": "cold",
    "Two plus two equals": "four",
    "The capital of France is": "Paris",
    "In winter the days are short, and in summer the days are": "long",
    "The sun rises in the east and sets in the": "west",
    "Monday, Tuesday, Wednesday,": "Thursday",
    "Red, orange, yellow, green,": "blue",
    "A week has seven": "days",
    "Once upon a": "time",
}
"""What a text goes on with, or the beginning of it."""


def perplexity(network: Any, tokenizer: Any) -> float:
    """Computes the perplexity a token of `PARAGRAPH`: 1 if each is known before, the vocabulary's size by chance."""
    import torch

    ids = torch.tensor([tokenizer(PARAGRAPH)["input_ids"]])
    with torch.inference_mode():
        return math.exp(network(input_ids=ids, labels=ids).loss.item())


def next_words(network: Any, tokenizer: Any) -> dict[str, str]:
    """Says what a model puts after each text of `NEXT` if it takes the likeliest tokens, three of them."""
    import torch

    said = {}
    for text in NEXT:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            out = network.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False
            )
        said[text] = tokenizer.decode(out[0, ids.shape[1] :])
    return said


def right_words(said: dict[str, str]) -> int:
    """Counts the texts that went on as in `NEXT`."""
    return sum(said[text].strip().startswith(word) for text, word in NEXT.items())
