"""Warns, before a run trains, of answers that would be cut off, and of a model that is asked in a plain form.

A limit that the plainest answer does not fit is an error, since nothing could be learned. Between that and comfort, a
model has no room to think, and each answer that thinks is cut off and counts as unreadable.
"""

import math
from collections.abc import Callable
from pathlib import Path

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.models.locations import outline_location
from stonk_pipeline.models.templates import is_plain
from stonk_pipeline.pipeline.run import Run

SPARE = 1.25
"""Times the tokens of a whole answer that are recommended: models differ in how much they think."""
STEP = 8
Count = Callable[[str], int]
"""Counts the tokens of a text."""


def counter(model: ModelConfig) -> Count:
    """Returns what counts tokens as a base model's tokenizer does, without loading transformers where that can be."""
    directory = Path(outline_location(model))
    if (directory / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        fast = Tokenizer.from_file(str(directory / "tokenizer.json"))
        return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
    from stonk_pipeline.models.load import load_tokenizer

    slow = load_tokenizer(str(directory))
    return lambda text: len(slow(text, add_special_tokens=False)["input_ids"])


def warnings(run: Run) -> list[str]:
    """Says which settings would cut the answers of a run off, and whether its model has no chat template.

    Args:
        run: its data is made; the files of its base model, weights excepted, are on this machine.

    Returns:
        A sentence for each, with what helps.
    """
    return [*plain(run.config.model), *cut_off(run)]


def plain(model: ModelConfig) -> list[str]:
    """Says that a model has no chat template, and is asked by the plain one (`templates.PLAIN`)."""
    if not is_plain(outline_location(model)):
        return []
    return [
        f"{model.name} has no chat template, so it is asked in a plain form, as a base model: the question, and "
        "'Answer:'. An instruction-tuned one lacks its chat_template.jinja: put that beside its config.json"
    ]


def cut_off(run: Run) -> list[str]:
    """Names the settings that would cut answers off, and what to raise them to; nothing where whole answers fit."""
    if run.contract.answers is None:
        return []
    answers = run.contract.answers(run)
    count = counter(run.config.model)
    needed = max(map(count, answers.texts), default=0) + 1  # the mark that ends an answer
    short = {name: tokens for name, tokens in answers.limits.items() if tokens < needed}
    if not short:
        return []
    capped = "at " + " or ".join(str(tokens) for tokens in sorted(set(short.values())))
    enough = STEP * math.ceil(SPARE * needed / STEP)
    return [
        f"answers are cut off {capped} tokens, and one of {answers.what} after two sentences of thinking has {needed}; "
        f"cut off, it cannot be read. Raise to {enough} or so: {', '.join(short)}"
    ]
