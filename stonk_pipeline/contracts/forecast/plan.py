"""Describes the work of a forecast run from its settings and its data, with the length of prompts and answers."""

from typing import Any

from preprocessing import reading
from stonk_pipeline.contract import Answers, Plan
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.question import SHORTER, answer, messages
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import WARM_UP
from stonk_pipeline.contracts.forecast.unskilled import thought
from stonk_pipeline.pipeline.graph import PREPROCESS
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import read_manifest
from stonk_pipeline.sampling.prompts import check_lengths, token_ids
from stonk_pipeline.training import effort

PROMPTS = 500
"""Of the training windows, whose tokens are counted."""
ANSWERS = 100
"""Of the validation windows, whose answers' tokens are counted."""
TRIED = 64
"""Questions that a trial of the real model is given."""
MODELS = 4
"""That are compared: the base model, and those of the three trainings."""


def plan(run: Run, tokenizer: Any) -> Plan:
    """Describes what a run would do, once its windows are made.

    Raises:
        PromptError: a prompt does not fit.
    """
    config: PipelineConfig = run.config
    windows, targets = reading.read_split(run.stage_dir(PREPROCESS.name), "train")
    some = windows[:: max(1, len(windows) // PROMPTS)]
    rooms, limit = limits(config).values(), config.model.max_seq_length
    least, room = min(rooms), max(rooms)
    horizon = len(targets[0].values)
    prompts = questions(tokenizer, some, config.prompt, horizon, room=least, limit=limit)
    check_lengths(tokenizer, prompts, room=room, limit=limit, shorter=SHORTER)
    said = answers(run).texts
    lengths = effort.measured(token_ids(tokenizer, prompts), token_ids(tokenizer, said))
    counts = read_manifest(run.stage_dir(PREPROCESS.name)).numbers["windows"]
    asked = [messages(window, config.prompt, horizon) for window in some[:TRIED]]
    return Plan(lengths, work(config, lengths, counts), asked, said)


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


def work(config: PipelineConfig, lengths: effort.Lengths, windows: dict[str, int]) -> dict[str, effort.Work]:
    """Describes what each step does.

    Args:
        config: settings.
        lengths: tokens of prompts and answers.
        windows: part of the split -> its windows.
    """
    sampling, comparison = config.sampling, config.comparison
    sampled = min(sampling.windows, windows["train"])
    kept = min(sampling.max_examples, sampled * sampling.keep_per_window)
    compared = min(comparison.windows, windows["test"])
    lots = compared + (min(comparison.windows, windows["val"]) if comparison.conformal else 0)
    drawn = effort.Drawing(
        "sampling",
        sampling.engine,
        sampled,
        sampling.samples,
        sampling.max_tokens,
        lengths,
        starts=1,
        prefers_vllm=True,
    )
    asked = effort.Drawing(
        "comparison",
        comparison.engine,
        lots,
        comparison.samples,
        comparison.max_tokens,
        lengths,
        times=MODELS,
        starts=MODELS,
    )
    return {
        "preprocess": effort.Work("indicators and windows"),
        **effort.of_warmup(
            WARM_UP, config.warmup, config.model, config.lora, lengths, config.grpo_first.max_completion_length
        ),
        "grpo-first": effort.of_policy("grpo_first", config.grpo_first, config.lora, lengths, "windows"),
        "sample": effort.Work(f"{drawn.answers:,} answers", (drawn,)),
        "sft": effort.of_fine_tuning("sft", config.sft, config.lora, lengths, kept),
        "grpo-second": effort.of_policy("grpo_second", config.grpo_second, config.lora, lengths, "windows"),
        "compare": effort.Work(f"{MODELS * asked.answers:,} answers of four models", (asked,)),
    }
