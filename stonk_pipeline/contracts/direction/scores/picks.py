"""Picks answers for the report by rule: good ones, bad ones, and ones that could not be read."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.contracts.direction.rewards import Outcome, total
from stonk_pipeline.contracts.direction.scores.results import CallExample, Kind
from stonk_pipeline.contracts.direction.settings import CallsStage
from stonk_pipeline.schema import Call, Unreadable

COUNT = 3
"""Answers of each kind."""


class Said(NamedTuple):
    """An answer, its place among the decisions and samples, and its reward."""

    row: int
    """Of the decision."""
    sample: int
    answer: Call | Unreadable
    reward: float


def pick_answers(
    examples: Examples, answers: Sequence[Sequence[Call | Unreadable]], truths: Sequence[Outcome], config: CallsStage
) -> tuple[CallExample, ...]:
    """Picks the answers with the highest and with the lowest reward, and the first unreadable ones.

    At most one of each date and kind; of equals the earlier one.

    Args:
        examples: decisions and what came.
        answers: of one model.
        truths: what rewards need of each decision.
        config: weights and shape of the rewards.
    """
    said = [
        Said(row, sample, answer, total(answer, truth, config.rewards, config.shape))
        for row, (given, truth) in enumerate(zip(answers, truths, strict=True))
        for sample, answer in enumerate(given)
    ]
    read = [one for one in said if isinstance(one.answer, Call)]
    kinds: dict[Kind, Iterable[Said]] = {
        "good": sorted(read, key=lambda one: -one.reward),
        "bad": sorted(read, key=lambda one: one.reward),
        "unreadable": [one for one in said if isinstance(one.answer, Unreadable)],
    }
    return tuple(
        _example(kind, one, examples, truths[one.row])
        for kind, ordered in kinds.items()
        for one in _of_distinct_dates(ordered, examples)
    )


def _of_distinct_dates(ordered: Iterable[Said], examples: Examples) -> list[Said]:
    taken: dict[str, Said] = {}
    for one in ordered:
        if len(taken) == COUNT:
            break
        taken.setdefault(examples.decisions[one.row].window.date, one)
    return list(taken.values())


def _example(kind: Kind, said: Said, examples: Examples, truth: Outcome) -> CallExample:
    window, movement = examples.decisions[said.row].window, examples.movements[said.row]
    call = said.answer if isinstance(said.answer, Call) else None
    return CallExample(
        kind=kind,
        stock=window.stock,
        date=window.date,
        sample=said.sample,
        question=truth.question,
        thinking=call.thinking if call else "",
        side=call.side if call else None,
        size=call.change if call else None,
        confidence=call.confidence if call else None,
        reason=said.answer.reason if isinstance(said.answer, Unreadable) else None,
        change=movement.change,
        label=movement.label,
        reward=said.reward,
    )
