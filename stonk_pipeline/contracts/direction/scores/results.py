"""Defines what gate and comparison of called directions leave, as typed values, and writes and reads their files."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pandas as pd

from stonk_pipeline.contracts.direction.rewards import Quality
from stonk_pipeline.contracts.direction.scores.calls import MAJORITY, YESTERDAY, CallGroup, CallRow
from stonk_pipeline.contracts.direction.scores.gate import GateFigures, Transition
from stonk_pipeline.evaluation.results import COMPARISON, Result, Table, read_result, write_results
from stonk_pipeline.evaluation.verdict import Verdict
from stonk_pipeline.schema import Label, Side

Kind = Literal["good", "bad", "unreadable"]
MODELS = ("base", "stage_one", "stage_two")
"""Models in the order they are made; the verdict is about the last one."""
TITLES = {
    "base": "Base model",
    "stage_one": "Stage I",
    "stage_two": "Stage II",
    MAJORITY: "Majority class",
    YESTERDAY: "Yesterday's sign",
}
EVALUATION, TRANSITION = "evaluation.json", "transition.json"


def title(name: str) -> str:
    """Returns the name of a caller that people read."""
    return TITLES.get(name, name)


class ModelScores(Result):
    """Scores of one model: of its calls, and of its single answers."""

    row: CallRow
    """Of its answers to a decision taken together (`calls.combine`)."""
    single_accuracy: float
    """Share of sides that were right when each answer is a call of its own."""
    reward: float
    """Mean weighted reward of an answer."""
    components: dict[str, float]
    """Component -> mean, before its weight."""
    quality: Quality
    """Mean of its answers."""
    unreadable: dict[str, int]
    """Reason -> answers."""
    answers: int

    @property
    def name(self) -> str:
        """Returns the name of the model."""
        return self.row.name


class Gain(Result):
    """The gain of a model over an earlier one, on the same days."""

    name: str
    over: str
    accuracy: float
    """Difference of the accuracies."""
    low: float | None
    high: float | None
    """Of the interval; None where the dates are too few for one."""
    reward: float
    """Difference of the mean rewards."""


class CallExample(Result):
    """An answer for the report's examples."""

    kind: Kind
    stock: str
    date: str
    sample: int
    """Which of the model's answers to this decision, from 0."""
    question: str
    """The user message."""
    thinking: str
    side: Side | None
    """What was called; None where the answer could not be read, as the next two."""
    size: float | None
    """Of the called change, in percent."""
    confidence: float | None
    reason: str | None
    """Why it could not be read."""
    change: float
    """What came, in percent."""
    label: Label
    reward: float


class GateRecord(Result):
    """The scores of stage I on the validation part (`evaluation.json` of the gate)."""

    figures: GateFigures
    scores: ModelScores
    baselines: tuple[CallRow, ...]
    mode: Literal["report", "strict"]


class CallComparison(Result):
    """All numbers of a comparison of called directions."""

    verdict: Verdict
    alarm: str | None
    """Why the accuracy on real bars looks like a leak."""
    cutoff: str | None
    """Last day that the base model may have read about (ISO)."""
    unread_decisions: int | None
    """Test decisions made after it."""
    unread_verdict: Verdict | None
    """The verdict on these alone; None where there are none."""
    models: tuple[ModelScores, ...]
    """In the order they were made."""
    baselines: tuple[CallRow, ...]
    gains: tuple[Gain, ...]
    groups: tuple[CallGroup, ...]
    """Each model's accuracy by stock, by month, and with and without headlines."""
    examples: tuple[CallExample, ...]
    """Answers of the last model."""
    transition: Transition | None
    """What the gate said; None where there was none."""
    weights: dict[str, float]
    """Component -> its weight in the reward."""
    informative_share: float | None
    """Share of the generated headlines that tell of the next day; None for real ones."""
    real_data: bool
    market_up: float
    """Share of rises among the days that moved."""
    days_ahead: int
    first_date: str
    last_date: str
    dates: int
    stocks: int
    samples: int
    """Answers to a decision."""
    resamples: int
    confidence: float
    seed: int

    @property
    def final(self) -> ModelScores:
        """Returns the scores of the last model."""
        return self.models[-1]

    @property
    def rows(self) -> tuple[CallRow, ...]:
        """Lists the rows of models, then of baselines."""
        return (*(model.row for model in self.models), *self.baselines)

    def frame(self) -> pd.DataFrame:
        """Builds a frame with one row a model or baseline, one column a number."""
        records = [
            row.model_dump(exclude={"confusion", "bins"}) | {"kind": "baseline", "reward": None} for row in self.rows
        ]
        for record, model in zip(records, self.models, strict=False):
            record |= {"kind": "model", "single_accuracy": model.single_accuracy, "reward": model.reward}
            record |= {f"reward_{name}": value for name, value in model.components.items()}
            record |= {f"quality_{name}": value for name, value in asdict(model.quality).items()}
        return pd.DataFrame(records)


def write_calls(comparison: CallComparison, directory: Path) -> None:
    """Writes `comparison.json` with all numbers, `verdict.json`, and each table as a CSV file.

    The tables: `comparison.csv` (models and baselines), `by_group.csv`, `reliability.csv` and `confusion.csv`.
    """
    tables: dict[str, Table] = {
        "comparison": comparison.frame(),
        "by_group": [group.model_dump() for group in comparison.groups],
        "reliability": [{"name": row.name} | b.model_dump() for row in comparison.rows for b in row.bins],
        "confusion": _confusion(comparison.rows),
    }
    write_results(directory, comparison, comparison.verdict, tables)


def _confusion(rows: Sequence[CallRow]) -> list[dict[str, str | int]]:
    return [
        {"name": row.name, "came": came, "called": called, "decisions": count}
        for row in rows
        for came, counts in row.confusion.items()
        for called, count in counts.items()
    ]


def read_calls(directory: Path) -> CallComparison:
    """Reads `comparison.json` of a comparison of called directions; errors as those of `read_result`, as below."""
    return read_result(directory / COMPARISON, CallComparison, "this stage")


def read_transition(directory: Path) -> Transition:
    """Reads `transition.json` of a gate."""
    return read_result(directory / TRANSITION, Transition, "this stage")


def read_evaluation(directory: Path) -> GateRecord:
    """Reads `evaluation.json` of a gate."""
    return read_result(directory / EVALUATION, GateRecord, "this stage")
