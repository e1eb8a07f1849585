"""Words the numbers of finished steps for a person: a few short parts, the most important first.

Where a line has no room for all parts, the last ones are left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

Note = tuple[str, ...]
Wording = Callable[[Mapping[str, Any]], Note]
"""Numbers that a stage reports -> what a person reads of them."""


def nothing(numbers: Mapping[str, Any]) -> Note:
    """Says nothing, which is what a step does that has no words for its numbers."""
    del numbers
    return ()


def windows(numbers: Mapping[str, Any]) -> Note:
    """Words the numbers of preprocessing.

    >>> windows({"windows": {"train": 1302, "val": 310, "test": 400}, "stocks": 2, "repaired_rows": 1, "left_out": {}})
    ('1,302 / 310 / 400 windows', '2 stocks', '1 row repaired')
    """
    parts = numbers["windows"]
    counts = " / ".join(f"{parts[name]:,}" for name in ("train", "val", "test"))
    repaired, left_out = numbers["repaired_rows"], len(numbers["left_out"])
    return (
        f"{counts} windows",
        counted(numbers["stocks"], "stock"),
        *((f"{counted(repaired, 'row')} repaired",) if repaired else ()),
        *((f"{counted(left_out, 'stock')} left out",) if left_out else ()),
    )


def trained(figure: str, words: str, form: str) -> Wording:
    """Makes the wording of a GRPO training: what validation said before it, and of the adapter that was kept.

    Args:
        figure: name of the figure in the stage's numbers, without `val_`.
        words: what a person calls it.
        form: how it is written, as in a format string.

    >>> trained("reward", "reward", ".2f")({"val_reward_start": 0.12, "val_reward": 0.48, "steps": 200})
    ('validation reward 0.12 → 0.48', '200 steps')
    """

    def note(numbers: Mapping[str, Any]) -> Note:
        before, after = (format(numbers[f"val_{figure}{when}"], form) for when in ("_start", ""))
        return (f"validation {words} {before} → {after}", counted(numbers["steps"], "step"))

    return note


def warmed_up(numbers: Mapping[str, Any]) -> Note:
    """Words the numbers of a warm-up.

    >>> warmed_up({"trained": False, "val_readable_share_start": 0.984})
    ('read 98 % of answers: no warm-up needed',)
    >>> warmed_up({"trained": True, "val_readable_share_start": 0.0, "val_readable_share": 0.97, "steps": 45})
    ('readable answers 0 % → 97 %', '45 steps')
    """
    before = f"{100 * numbers['val_readable_share_start']:.0f} %"
    if not numbers["trained"]:
        return (f"read {before} of answers: no warm-up needed",)
    after = f"{100 * numbers['val_readable_share']:.0f} %"
    return (f"readable answers {before} → {after}", counted(numbers["steps"], "step"))


def kept(numbers: Mapping[str, Any]) -> Note:
    """Words the numbers of rejection sampling.

    >>> kept({"kept": 210, "answers": 480, "windows": 60})
    ('kept 210 of 480 answers', '60 windows')
    """
    return (
        f"kept {numbers['kept']:,} of {counted(numbers['answers'], 'answer')}",
        counted(numbers["windows"], "window"),
    )


def fine_tuned(numbers: Mapping[str, Any]) -> Note:
    """Words the numbers of supervised fine-tuning.

    >>> fine_tuned({"val_loss": 0.6589, "examples": 1341, "tokens_per_second": 14760, "stopped_early": ""})
    ('held-out loss 0.659', '1,341 examples', '14,760 tokens/s')
    """
    early = ("stopped early",) if numbers["stopped_early"] else ()
    return (
        f"held-out loss {numbers['val_loss']:.3f}",
        *early,
        counted(numbers["examples"], "example"),
        f"{numbers['tokens_per_second']:,} tokens/s",
    )


def judged(what: str) -> Wording:
    """Makes the wording of a comparison: its verdict, and how much it rests on.

    Args:
        what: name of the count of questions in the stage's numbers, in the plural.

    >>> judged("windows")({"verdict": "evidence of skill", "windows": 400})
    ('evidence of skill', '400 windows')
    """
    return lambda numbers: (numbers["verdict"], counted(numbers[what], what.removesuffix("s")))


def counted(number: int, thing: str) -> str:
    """Words a count: `1 row`, `1,302 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
