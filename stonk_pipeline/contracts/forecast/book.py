"""Collects rewards and the shape of answers at each GRPO step for `training_log.csv`."""

from typing import Any

import numpy as np

from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.rewards import COMPONENTS, Outcome
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.schema import Forecast
from stonk_pipeline.training.telemetry import means_and_spreads
from stonk_pipeline.training.unread import Unread


class RewardBook:
    """A reward function of weight 0 that collects figures of the step's answers for the training log."""

    __name__ = "book"
    columns = (
        *(f"{kind}_{name}" for kind in ("reward", "spread") for name in COMPONENTS),
        *("straight_share", "up_share", "readable_share"),
    )

    def __init__(self, group_size: int, horizon: int, decimals: int) -> None:
        self.group_size = group_size
        self.decimals = decimals
        self.horizon = horizon
        self.last: dict[str, float] = {}
        self.unread = Unread(question.REASONS)

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """Computes means and spreads within groups for the log; the reward itself is 0."""
        answers = [
            question.parse(
                completion[0]["content"], self.horizon, lowest=columns["lowest"][row], highest=columns["highest"][row]
            )
            for row, completion in enumerate(completions)
        ]
        self.unread.note(completions, answers)
        truths = [
            Outcome(
                columns["last"][row], tuple(columns["target"][row]), columns["volatility"][row], columns["cost"][row]
            )
            for row in range(len(answers))
        ]
        scores = {
            name: [component(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
            for name, component in COMPONENTS.items()
        }
        self.last = means_and_spreads(scores, self.group_size)
        read = [answer.values for answer in answers if isinstance(answer, Forecast)]
        lasts = [truth.last for answer, truth in zip(answers, truths, strict=True) if isinstance(answer, Forecast)]
        self.last["readable_share"] = len(read) / len(answers)
        self.last["straight_share"] = _share(
            metrics.straight_lines(np.array(read), self.decimals).tolist() if read else []
        )
        self.last["up_share"] = _share([values[-1] > last for values, last in zip(read, lasts, strict=True)])
        return [0.0] * len(completions)


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
