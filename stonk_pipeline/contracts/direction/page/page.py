"""Renders `report.html` of a direction run from the files of its stages."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline.contracts.direction.page.first import first_screen, settings_of
from stonk_pipeline.contracts.direction.page.pictures import learned, outcomes, role
from stonk_pipeline.contracts.direction.scores.answers import completions
from stonk_pipeline.contracts.direction.scores.calls import CallGroup, CallRow
from stonk_pipeline.contracts.direction.scores.results import (
    CallComparison,
    CallExample,
    GateRecord,
    read_calls,
    read_evaluation,
    title,
)
from stonk_pipeline.contracts.direction.steps import STEPS
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.report import frame
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.frame import Chapter
from stonk_pipeline.report.warmup import Figure, warmup_chapters

TRAININGS = {
    "stage_one": (
        "stage1_training",
        "On as many rises as falls: the base model answers each decision several times, and answers that earn more "
        "than their group's mean are made more likely.",
    ),
    "stage_two": (
        "stage2_training",
        "On the market as it is, from the best model of stage I: stated confidence and cited data weigh more.",
    ),
}


class Shown(NamedTuple):
    """An example answer as the model wrote it."""

    example: CallExample
    words: str


def render(files: RunFiles, remark: str) -> str:
    """Renders the page as HTML.

    Args:
        files: of the run.
        remark: what a reader has to know of the comparison's standing in its run; empty if nothing.
    """
    comparison, config = read_calls(files.root / "model_comparison"), settings_of(files.record(CONFIG))
    return frame.render(
        Path(__file__).parent,
        files,
        remark,
        STEPS,
        comparison,
        title,
        alarm=comparison.alarm,
        first=first_screen(comparison, config, files.root),
        final=comparison.final,
        yardstick=yardstick(comparison),
        colour=lambda name: f"var(--{role(name)})",
        gate=comparison.transition,
        record=gate_record(files),
        where=outcomes(comparison),
        groups=groups(comparison),
        examples=examples(files, comparison),
        chapters=chapters(files),
        sets=sets(files.record("examples", "examples.json")),
        market=market(files, comparison),
    )


def yardstick(comparison: CallComparison) -> CallRow:
    """Finds the baseline that the verdict is held against."""
    return next(row for row in comparison.baselines if row.name == comparison.verdict.baseline)


def gate_record(files: RunFiles) -> GateRecord | None:
    """Reads what the gate measured; None where there was no gate."""
    directory = files.root / "gate"
    return read_evaluation(directory) if directory.is_dir() else None


def groups(comparison: CallComparison) -> list[CallGroup]:
    """Picks the final model's accuracy by stock, and with and without headlines."""
    own = [group for group in comparison.groups if group.name == comparison.final.name]
    return [group for by in ("news", "stock") for group in own if group.by == by]


def examples(files: RunFiles, comparison: CallComparison) -> list[Shown]:
    """Quotes the chosen answers; of one that could not be read, all that the model wrote."""
    unreadable = any(example.reason for example in comparison.examples)
    given = completions(files.root / "model_comparison", comparison.final.name) if unreadable else {}
    written = {(*key, sample): text for key, texts in given.items() for sample, text in enumerate(texts)}
    return [
        Shown(
            example,
            written.get((example.stock, example.date, example.sample), "") if example.reason else example.thinking,
        )
        for example in comparison.examples
    ]


def chapters(files: RunFiles) -> list[Chapter]:
    """Shows the warm-up and both trainings, as far as they left something to show."""
    found = []
    for name, (directory, about) in TRAININGS.items():
        log, validation = files.table(directory, "training_log.csv"), files.table(directory, "validation.csv")
        found.append(Chapter(title(name), about, [], learned(name, log, validation)))
    warm_up = warmup_chapters(files, [Figure("accuracy", "accuracy", False)], skilled)
    return warm_up + [chapter for chapter in found if chapter.pictures]


def skilled(numbers: Mapping[str, Any]) -> bool:
    """Tells whether a warm-up's accuracy is above that of a coin by more than two standard errors of its answers."""
    return float(numbers["val_accuracy"]) > 0.5 + 2 * 0.5 / math.sqrt(numbers["asked"])


def sets(record: Mapping[str, Any] | None) -> list[tuple[str, dict[str, int], int]]:
    """Lists the sets of `examples.json` with rises, falls and flat days, and how many decisions have headlines."""
    if not record:
        return []
    return [(name, counts, record["with_news"][name]) for name, counts in record["examples"].items()]


def market(files: RunFiles, comparison: CallComparison) -> str | None:
    """Says of which kind the generated market is; None where bars came from files, or the run has no settings."""
    data = (files.record("config.json") or {}).get("data", {})
    return None if comparison.real_data else data.get("market", {}).get("kind")
