"""Scores models that call directions: their calls, their rewards, their reasoning, with a verdict on the last one.

Pure: examples and read answers in, values out. Nothing here depends on where answers come from.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from statistics import fmean

import numpy as np

from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.contracts.direction.question import question
from stonk_pipeline.contracts.direction.rewards import COMPONENTS, Outcome, Quality, outcome, score_answer, total
from stonk_pipeline.contracts.direction.scores.calls import (
    Caller,
    CallGroup,
    Cases,
    baselines,
    by_group,
    cases,
    combine,
    credits,
    score,
)
from stonk_pipeline.contracts.direction.scores.gate import GateFigures, Transition, leakage_alarm, loss_figures
from stonk_pipeline.contracts.direction.scores.picks import pick_answers
from stonk_pipeline.contracts.direction.scores.results import CallComparison, Gain, GateRecord, ModelScores
from stonk_pipeline.contracts.direction.scores.verdict import gain_of, give_verdict
from stonk_pipeline.contracts.direction.settings import CallsStage
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.verdict import Verdict, unread
from stonk_pipeline.market.headlines import is_company_news
from stonk_pipeline.sampling.answers import check_answers
from stonk_pipeline.schema import Call, Headline, Unreadable

Answers = Sequence[Sequence[Call | Unreadable]]
"""N decisions of S >= 1 answers each."""


def compare_calls(
    examples: Examples,
    answers: Mapping[str, Answers],
    config: CallsStage,
    *,
    gate: Transition | None = None,
    informative_share: float | None = None,
) -> CallComparison:
    """Compares models with each other, with the majority class and with yesterday's sign.

    Args:
        examples: N decisions and what came.
        answers: model -> its answers, in the order the models were made. The verdict is about the last one.
        config: settings.
        gate: what the gate said.
        informative_share: of generated headlines, where it is known.

    Raises:
        StageError: nothing to compare, answers that do not fit the decisions, or no day that moved.
    """
    _check(examples, answers)
    known, truths = cases(examples, config.days_ahead), outcomes(examples, config)
    callers = [combine(name, given) for name, given in answers.items()]
    models = [
        measure(caller, given, truths, known, config) for caller, given in zip(callers, answers.values(), strict=True)
    ]
    dates = sorted(set(known.dates))
    verdict = give_verdict(callers[-1], known, config.comparison, config.seed)
    later, unread_verdict = _unread(examples, answers, verdict, config)
    return CallComparison(
        verdict=verdict,
        alarm=_alarm(models, config),
        cutoff=config.model.knowledge_cutoff,
        unread_decisions=later,
        unread_verdict=unread_verdict,
        models=tuple(models),
        baselines=tuple(score(baseline, known) for baseline in baselines(known)),
        gains=tuple(_gains(callers, models, known, config)),
        groups=tuple(group for caller in callers for group in _groups(caller, known, examples, not config.real_data)),
        examples=pick_answers(examples, list(answers.values())[-1], truths, config),
        transition=gate,
        weights=config.rewards.model_dump(),
        informative_share=informative_share,
        real_data=config.real_data,
        market_up=examples.up_share,
        days_ahead=config.days_ahead,
        first_date=dates[0],
        last_date=dates[-1],
        dates=len(dates),
        stocks=len(set(known.stocks)),
        samples=len(next(iter(answers.values()))[0]),
        resamples=config.comparison.resamples,
        confidence=config.comparison.confidence,
        seed=config.seed,
    )


def judge_gate(
    examples: Examples, answers: Answers, losses: Sequence[float], config: CallsStage, name: str
) -> GateRecord:
    """Measures stage I on the validation part.

    Args:
        examples: N decisions and what came.
        answers: of stage I.
        losses: of its training, oldest first.
        config: settings.
        name: of the model.

    Raises:
        StageError: answers that do not fit the decisions, or no day that moved.
    """
    _check(examples, {name: answers})
    known = cases(examples, config.days_ahead)
    model = measure(combine(name, answers), answers, outcomes(examples, config), known, config)
    loss, spread = loss_figures(losses, config.gate)
    return GateRecord(
        figures=_figures(model, config.real_data).model_copy(update={"loss": loss, "loss_spread": spread}),
        scores=model,
        baselines=tuple(score(baseline, known) for baseline in baselines(known)),
        mode=config.gate.mode,
    )


def outcomes(examples: Examples, config: CallsStage) -> list[Outcome]:
    """Builds the outcome of each decision for the rewards; the market's share of rises is that of these days."""
    return [
        replace(
            outcome(decision, movement, question(decision, config.prompt, config.days_ahead), config.days_ahead),
            market_up=examples.up_share,
        )
        for decision, movement in zip(*examples, strict=True)
    ]


def measure(
    caller: Caller, answers: Answers, truths: Sequence[Outcome], known: Cases, config: CallsStage
) -> ModelScores:
    """Computes all scores of one model.

    Args:
        caller: its answers to each decision, taken together.
        answers: each of them.
        truths: of each decision; `called_up` becomes the model's own share of rises over all of them.
        known: the same, as arrays.
        config: weights and shape of the rewards.
    """
    sides = [call.side == "up" for given in answers for call in given if isinstance(call, Call)]
    called_up = fmean(sides) if sides else 0.5
    pairs = [
        (answer, replace(truth, called_up=called_up))
        for given, truth in zip(answers, truths, strict=True)
        for answer in given
    ]
    shape, qualities = config.shape, [score_answer(*pair, config.shape) for pair in pairs]
    return ModelScores(
        row=score(caller, known),
        single_accuracy=_single_accuracy(answers, known),
        reward=fmean(total(answer, truth, config.rewards, shape) for answer, truth in pairs),
        components={name: fmean(reward(*pair, shape) for pair in pairs) for name, reward in COMPONENTS.items()},
        quality=Quality(*(fmean(getattr(each, part.name) for each in qualities) for part in fields(Quality))),
        unreadable=dict(Counter(answer.reason for answer, _ in pairs if isinstance(answer, Unreadable)).most_common()),
        answers=len(pairs),
    )


def _check(examples: Examples, answers: Mapping[str, Answers]) -> None:
    check_answers(answers, len(examples.decisions), "decision")
    if all(movement.label == "flat" for movement in examples.movements):
        raise StageError("no day moved by more than the flat threshold; lower examples.flat_percent")


def _figures(model: ModelScores, real_data: bool) -> GateFigures:
    return GateFigures(
        reward=model.reward,
        accuracy=model.row.accuracy,
        balanced_accuracy=model.row.balanced_accuracy,
        reasoning=model.quality.reasoning,
        decisions=model.row.moved,
        real_data=real_data,
    )


def _single_accuracy(answers: Answers, known: Cases) -> float:
    """Each answer a call of its own, what cannot be read a coin."""
    up = np.array([[call.up_probability if isinstance(call, Call) else 0.5 for call in given] for given in answers])
    return float(credits(up[known.moved], known.rose[:, None]).mean())


def _alarm(models: Sequence[ModelScores], config: CallsStage) -> str | None:
    """Of the most accurate model, whichever it is: one that is too good before any training has read the future."""
    best = max(models, key=lambda model: model.row.accuracy)
    return leakage_alarm(_figures(best, config.real_data), config.gate)


def _unread(
    examples: Examples, answers: Mapping[str, Answers], whole: Verdict, config: CallsStage
) -> tuple[int | None, Verdict | None]:
    """Decisions that the base model cannot have read about, and the verdict on them, if a day of them moved."""
    cutoff = config.model.knowledge_cutoff
    if cutoff is None:
        return None, None

    def again(rows: list[int]) -> Verdict | None:
        known, given = cases(examples.take(rows), config.days_ahead), answers[whole.model]
        if not known.moved.any():
            return None
        return give_verdict(combine(whole.model, [given[row] for row in rows]), known, config.comparison, config.seed)

    return unread(whole, [decision.window.date for decision in examples.decisions], cutoff, again)


def _gains(
    callers: Sequence[Caller], models: Sequence[ModelScores], known: Cases, config: CallsStage
) -> Iterator[Gain]:
    """Of each model over the one before it, and of the last one over the first."""
    pairs = [*pairwise(range(len(callers)))]
    if len(callers) > 2:
        pairs.append((0, len(callers) - 1))
    for before, after in pairs:
        gain, low, high = gain_of(callers[after], callers[before], known, config.comparison, config.seed)
        reward = models[after].reward - models[before].reward
        names = {"name": callers[after].name, "over": callers[before].name}
        yield Gain(**names, accuracy=gain, low=low, high=high, reward=reward)


def _groups(caller: Caller, known: Cases, examples: Examples, generated: bool) -> list[CallGroup]:
    """By stock and month, and by the news: none, some, and on a generated market company news of the day itself."""
    news = tuple(_news(decision.headlines, generated) for decision in examples.decisions)
    by_news = [group for group in by_group(caller, known._replace(stocks=news)) if group.by == "stock"]
    return [*by_group(caller, known), *(group.model_copy(update={"by": "news"}) for group in by_news)]


def _news(headlines: Sequence[Headline], generated: bool) -> str:
    of_today = [headline for headline in headlines if headline.hours is not None and headline.hours < 24]
    if generated and any(is_company_news(headline.text) for headline in of_today):
        return "company news of the day"
    return "no headlines" if not headlines else "other headlines" if generated else "headlines"
