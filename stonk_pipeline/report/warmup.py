"""Shows a warm-up on the page of a run: what could be read before and after, and that the form brought no skill."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.frame import Chapter
from stonk_pipeline.report.style import Picture, percent
from stonk_pipeline.report.training import SMALL, Curve, draw_curves, ends

DIRECTORY = "warm_up"
"""Of a run's warm-up, whatever its contract."""


class Figure(NamedTuple):
    """A figure of a contract's answers that a warm-up reports before and after."""

    name: str
    """In the stage's numbers, without `val_`."""
    words: str
    """What a person calls it."""
    sign: bool
    """Whether it is written with its sign."""


def warmup_chapters(
    files: RunFiles, figures: Sequence[Figure], skilled: Callable[[Mapping[str, Any]], bool]
) -> list[Chapter]:
    """Makes the chapter about a run's warm-up; none where the run has none.

    Args:
        files: of the run.
        figures: what tells of skill, the most important first.
        skilled: whether the numbers of a warm-up that trained say that its model has skill.
    """
    numbers = (files.manifest(DIRECTORY) or {}).get("numbers")
    if not numbers or "val_readable_share_start" not in numbers:
        return []
    shown = (Figure("readable_share", "readable answers", False), *figures)
    if not numbers["trained"]:
        about = (
            "No warm-up was needed: {} of the base model's answers to questions of the validation days could be read."
        )
        told = [(figure.words, _written(numbers, figure, "_start")) for figure in shown]
        return [Chapter("Warm-up", about.format(_written(numbers, shown[0], "_start")), told, [])]
    first = figures[0]
    before, after = (_written(numbers, first, when) for when in ("_start", ""))
    brought = (
        f"See whether its form alone brought skill: {first.words} {before} before and {after} after."
        if skilled(numbers)
        else f"The form brought no skill: {first.words} {before} before and {after} after, on validation days. All "
        "skill that this page reports was learned later."
    )
    about = (
        "The base model was taught the form of an answer, with answers to questions of training days that say nothing "
        f"about what came. {brought}"
    )
    told = [
        (figure.words, f"{_written(numbers, figure, '_start')} → {_written(numbers, figure, '')}") for figure in shown
    ]
    log = files.table(DIRECTORY, "training_log.csv")
    return [Chapter("Warm-up", about, told, loss_pictures("warmup", "warm-up", log))]


def _written(numbers: Mapping[str, Any], figure: Figure, when: str) -> str:
    return percent(float(numbers[f"val_{figure.name}{when}"]), sign=figure.sign)


def loss_pictures(key: str, what: str, log: Any) -> list[Picture]:
    """Draws loss and perplexity of a fine-tuning, in training and on held-out answers.

    Args:
        key: what the pictures' keys begin with, unique on the page.
        what: what a person calls the training.
        log: `training_log.csv`; None where there is none.
    """
    panels = []
    for column, title in (("loss", "Loss"), ("perplexity", "Perplexity")):
        curves = [Curve(column, "training", "muted"), Curve(f"val_{column}", "held out", "middle")]
        if log is not None and {"step", column, f"val_{column}"} <= set(log):
            alt = f"{title} of the {what}: {ends(log, curves, False)}."
            panels.append(Picture(f"{key}-{column}", title, alt, draw_curves(log, curves, smooth=False), *SMALL))
    return panels
