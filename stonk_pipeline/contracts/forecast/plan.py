"""Estimates the work of a forecast run from its settings and its data, and the length of prompts and answers."""

import math
from typing import Any

from preprocessing import reading
from stonk_pipeline.contract import Answers, Plan
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.question import SHORTER, answer
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import WARM_UP
from stonk_pipeline.contracts.forecast.unskilled import thought
from stonk_pipeline.pipeline.graph import PREPROCESS
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest
from stonk_pipeline.sampling.prompts import check_lengths
from stonk_pipeline.training import effort

PROMPTS = 500
"""Of the training windows, whose tokens are counted."""
ANSWERS = 100
"""Of the validation windows, whose answers' tokens are counted."""


def plan(run: Run, tokenizer: Any) -> Plan:
    """Estimates what a run would do, once its windows are made.

    Raises:
        PromptError: a prompt does not fit.
    """
    config: PipelineConfig = run.config
    windows, targets = reading.read_split(run.stage_dir(PREPROCESS.name), "train")
    some = windows[:: max(1, len(windows) // PROMPTS)]
    rooms, limit = limits(config).values(), config.model.max_seq_length
    least, room = min(rooms), max(rooms)
    prompts = questions(tokenizer, some, config.prompt, len(targets[0].values), room=least, limit=limit)
    longest = check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=SHORTER)
    counts = read_manifest(run.stage_dir(PREPROCESS.name)).numbers["windows"]
    at_once = config.grpo_first.micro_batch * config.grpo_first.max_completion_length
    return Plan(longest, work(config, longest, counts), at_once)


def limits(config: PipelineConfig) -> dict[str, int]:
    """Lists the settings that cut an answer off: dotted name -> tokens."""
    return {
        "grpo_first.max_completion_length": config.grpo_first.max_completion_length,
        "sampling.max_tokens": config.sampling.max_tokens,
        "grpo_second.max_completion_length": config.grpo_second.max_completion_length,
        "comparison.max_tokens": config.comparison.max_tokens,
    }


def answers(run: Run) -> Answers:
    """Writes answers to questions of a run as if it had been known what came, each after two sentences of thinking."""
    config: PipelineConfig = run.config
    windows, targets = reading.read_split(run.stage_dir(PREPROCESS.name), "val")
    every, prompt = max(1, len(windows) // ANSWERS), config.prompt
    texts = []
    for window, target in zip(windows[::every], targets[::every], strict=True):
        move, days = target.values[-1] - window.last, len(target.values)
        texts.append(answer(thought(window, move, (days + 1) // 2, days, prompt), target.values, prompt.decimals))
    return Answers(f"{config.data.horizon} closes", texts, limits(config))


def work(config: PipelineConfig, prompt: int, windows: dict[str, int]) -> dict[str, tuple[str, float]]:
    """Estimates the work of each step: (what it does, operations a parameter): 2 for each token forward, 4 backward.

    Args:
        config: settings.
        prompt: tokens of the longest prompt.
        windows: part of the split -> its windows.
    """
    sampled = min(config.sampling.windows, windows["train"])
    answers = sampled * config.sampling.samples
    kept = min(config.sampling.max_examples, sampled * config.sampling.keep_per_window)
    compared = 4 * min(config.comparison.windows, windows["test"]) * config.comparison.samples
    steps = math.ceil(config.sft.epochs * kept / config.sft.batch_size)
    length = prompt + config.sampling.max_tokens
    room, first = config.grpo_first.max_completion_length, {"preprocess": ("indicators and windows", 0.0)}
    if config.warmup.when != "never":
        first[WARM_UP] = effort.of_warmup(config.warmup, config.model, prompt, room)
    return first | {
        "grpo-first": effort.of_policy(config.grpo_first, prompt, "windows"),
        "sample": (f"{answers} answers", 6 * answers * length),
        "sft": (f"at most {steps} steps of {config.sft.batch_size}", 6 * config.sft.epochs * kept * length),
        "grpo-second": effort.of_policy(config.grpo_second, prompt, "windows"),
        "compare": (f"{compared} answers of four models", 6 * compared * length),
    }
