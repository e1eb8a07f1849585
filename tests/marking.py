"""Lessons of both contracts on questions of a moment, and what they say of answers that are given as text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from stonk_pipeline.contracts.direction import lesson as calls
from stonk_pipeline.contracts.direction import rewards as of_calls
from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.contracts.forecast import lesson as forecasts
from stonk_pipeline.contracts.forecast import rewards as of_forecasts
from stonk_pipeline.contracts.forecast import tiny
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.schema import Call, Decision, Forecast, Movement, Target, Window
from stonk_pipeline.training.lesson import Lesson, Marks
from stonk_pipeline.training.telemetry import CsvLog

TOKENIZER = AutoTokenizer.from_pretrained(tiny.DIRECTORY)
CHAT = Chat.of(TOKENIZER, [TOKENIZER.eos_token_id])
WINDOW = Window("SIM01", "2024-01-02", (99.0, 100.0), {}, {}, 1.0, 0.0, 1.0)


def forecast_lesson(truths: Sequence[of_forecasts.Outcome], **settings: Any) -> Lesson[Forecast, of_forecasts.Outcome]:
    """What the first GRPO stage would teach, if this came."""
    shown = {"indicators": False, "statistics": False, "decimals": 1}
    stage = make_config({"prompt": shown, "grpo_first": settings}, source="the test").grpo_stage("first")
    part = [WINDOW], [Target("", "", (1.0,))]
    return replace(forecasts.lesson(stage, TOKENIZER, part, part), truths=truths)


def call_lesson(truths: Sequence[of_calls.Outcome]) -> Lesson[Call, of_calls.Outcome]:
    """What stage I would teach, if this came."""
    stage = make_config({"contract": "direction"}, source="the test").policy_stage("one")
    part = Examples([Decision(WINDOW)], [Movement("2024-01-03", 1.0, "up")])
    return replace(calls.lesson(stage, TOKENIZER, part, part), truths=truths)


def marks_of(lesson: Lesson[Any, Any], directory: Path, group_size: int = 2, after_step: int = 0) -> Marks[Any, Any]:
    """Marks of a training that writes its log to a directory."""
    log = CsvLog(directory / "training_log.csv", lesson.columns)
    log.start(after_step)
    return Marks(lesson, CHAT, group_size, log)


def spelled(texts: Sequence[str]) -> list[list[int]]:
    """Answers as the trainer hands them to rewards."""
    return [CHAT.write(text) for text in texts]
