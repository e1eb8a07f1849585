"""Splits answers of the form `<think>reasoning</think><answer>…</answer>`, whatever contract they answer.

`split` is the one place that takes an answer apart; each contract then reads the inside of its own answer.
"""

from typing import NamedTuple

from stonk_pipeline.schema import Unreadable

Messages = list[dict[str, str]]

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

REASONS = {
    "no thinking": "the answer does not begin with <think>…</think>",
    "no answer": "there is no <answer>…</answer> after the thinking",
    "several answers": "a tag of the form appears more than once",
    "text outside": "there is text outside the two blocks",
}
"""Why a text does not have the form, whatever was asked."""


class Parts(NamedTuple):
    """The two blocks of an answer, without the spaces around them."""

    thinking: str
    answer: str


def split(completion: str) -> Parts | Unreadable:
    """Takes an answer apart. Strict and total: any text gives both blocks or a named reason, never an exception.

    Args:
        completion: the model's own text, without the prompt.

    Returns:
        Both blocks, or `Unreadable` with a key of `REASONS`.
    """
    body = completion.strip()
    if not body.startswith("<think>") or "</think>" not in body:
        return Unreadable("no thinking")
    if any(body.count(tag) > 1 for tag in TAGS):
        return Unreadable("several answers")
    head, _, after = body.partition("</think>")
    after = after.strip()
    if "<answer>" not in after or "</answer>" not in after:
        return Unreadable("no answer")
    if not (after.startswith("<answer>") and after.endswith("</answer>")):
        return Unreadable("text outside")
    inner = after.removeprefix("<answer>").removesuffix("</answer>")
    return Parts(head.removeprefix("<think>").strip(), inner.strip())


def join(thinking: str, answer: str) -> str:
    """Builds an answer in the form that `split` takes apart."""
    return f"<think>{thinking}</think>\n<answer>{answer}</answer>"


def thinking(completion: str) -> str:
    """Returns the reasoning in an answer, or the whole text where the form is broken."""
    head, found, _ = completion.partition("</think>")
    return head.replace("<think>", "", 1).strip() if found else completion.strip()


def number(value: float, decimals: int) -> str:
    """Formats a number with fixed decimals, without a negative zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
