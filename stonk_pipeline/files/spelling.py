"""Finds the known names that are spelt like a wrong one, for the message that refuses it."""

from collections.abc import Iterable
from difflib import SequenceMatcher

MOST_SUGGESTED = 3
LIKE = 0.7
"""Share of letters in common from which a name counts as spelt like another."""
LONGEST = 80
"""Letters; what is longer is no slip of the pen, and takes long to compare."""


def did_you_mean(word: str, known: Iterable[str], write: str = "{}", *, dotted: bool = False) -> str:
    """Words a question for the known names that are spelt like a wrong one; empty where none is.

    Args:
        word: the wrong name.
        known: the right names.
        write: how each of them is written.
        dotted: whether sections stand before names, which may be missing or nearly right.

    Example:
        >>> did_you_mean("sft.epoch", ["sft.epochs", "sft.batch_size"], dotted=True)
        'did you mean sft.epochs?'
    """
    if len(word) > LONGEST:
        return ""
    like = _likeness_of_dotted if dotted else _likeness
    scores = {name: like(word.lower(), name.lower()) for name in known}
    best = max(scores.values(), default=0.0)
    close = [name for name in sorted(scores, key=lambda name: -scores[name]) if scores[name] >= max(LIKE, best - 0.05)]
    return f"did you mean {' or '.join(map(write.format, close[:MOST_SUGGESTED]))}?" if close else ""


def _likeness(word: str, name: str) -> float:
    """How much a wrong name is spelt like a right one, 0 to 1."""
    part = 0.8 if name.startswith(word) and len(word) > 2 else 0.0  # as grpo of grpo_first
    return max(part, SequenceMatcher(None, word, name).ratio())


def _likeness_of_dotted(word: str, name: str) -> float:
    """The same, with sections and the name in them compared apart: sections are long, and the same in many names."""
    (sections, last), (right_sections, right_last) = (text.rpartition(".")[::2] for text in (word, name))
    same = _likeness(last, right_last)
    if same >= LIKE and sections:
        return 0.7 * same + 0.3 * SequenceMatcher(None, sections, right_sections).ratio()
    return max(same, 0.0 if sections or not right_sections else SequenceMatcher(None, word, name).ratio())
