"""Counts unreadable answers and stops a GRPO training whose first steps have no others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stonk_pipeline.config.training import PolicyConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import Unreadable
from stonk_pipeline.training.telemetry import CsvLog

FIRST_STEPS = 5
"""Steps without one readable answer after which a training is given up. All answers then have one reward, so no step
changed anything, and none will."""


class Unread:
    """Counts answers that cannot be read by their reason, and keeps the last one."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        """`reasons`: of the contract, key -> what it means."""
        self.meanings = reasons
        self.answers = 0
        self.reasons: Counter[str] = Counter()
        self.last = ""

    def note(self, texts: Sequence[str], answers: Sequence[object]) -> None:
        """Counts the answers of a step, given as text and as they were read."""
        self.answers += len(answers)
        for text, answer in zip(texts, answers, strict=True):
            if isinstance(answer, Unreadable):
                self.reasons[answer.reason] += 1
                self.last = text


def stop_unread(log: CsvLog, unread: Unread, grpo: PolicyConfig) -> Any:
    """Makes a trainer callback that ends a training whose first steps hold no readable answer.

    Args:
        log: has a row with `readable_share` for each step, from a callback before this one.
        unread: counts what could not be read.
        grpo: settings, for the remedy.

    Raises:
        StageError: from within the training, after `FIRST_STEPS` steps; says what the answers look like.
    """
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            rows = log.rows
            if len(rows) >= FIRST_STEPS and not any(float(row["readable_share"]) for row in rows):
                raise StageError(_message(len(rows), unread, grpo, float((logs or {}).get(CLIPPED, 0.0))))

    return Stop()


CLIPPED = "completions/clipped_ratio"
"""The trainer's name for the share of answers that were cut off at their longest."""


def _message(steps: int, unread: Unread, grpo: PolicyConfig, clipped: float) -> str:
    reason, count = unread.reasons.most_common(1)[0]
    cut = f"{clipped:.0%} of the last answers were cut off at max_completion_length = {grpo.max_completion_length}: "
    longer = cut + "raise it; or set" if clipped > 0.5 else "set"
    return (
        f"none of the {unread.answers} answers of {steps} steps could be read (most often: {unread.meanings[reason]}; "
        f"{count} of them), so there is nothing that GRPO could learn from. The last one: {shown(unread.last)!r}. "
        f"Remedy: {longer} warmup.when to always, which teaches the model the form first; or choose an "
        "instruction-tuned model, or one that was fine-tuned on answers of this form"
    )
