"""Trains and compares models that say how far tomorrow's high and low lie apart."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from stonk_pipeline.contracts.range import STEPS, RangeStage

from preprocessing.reading import read_split, spread
from stonk_pipeline.contract import Plan, Training
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.verdict import Verdict, judge
from stonk_pipeline.files.untrusted import read_model, read_table
from stonk_pipeline.models import load
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.promotion import Rivals
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.report import frame
from stonk_pipeline.runs.manifest import Progress, Stage, write_atomic
from stonk_pipeline.sampling.ask import alone, draw, part
from stonk_pipeline.sampling.prompts import render, token_ids
from stonk_pipeline.schema import Unreadable, Window
from stonk_pipeline.text import form
from stonk_pipeline.training.effort import measured
from stonk_pipeline.training.lesson import HeldOut, Lesson
from stonk_pipeline.training.policy import train

SHORTER = "shorten data.window"
REASONS = form.REASONS | {"no range": "the answer is no number from 0 to 1000"}


class Case(NamedTuple):
    """What is known on a day, and what came on the next; ranges in percent of the day's close."""

    window: Window
    today: float
    came: float
    end: str


def cases(data: Path, name: str, count: int, seed: int) -> list[Case]:
    """Questions of a part of the split, spread over its dates."""
    windows, targets = spread(*read_split(data, name), count, seed)
    ranges = {}
    for stock in {window.stock for window in windows}:
        bars = pd.read_csv(data / f"{stock}_bars.csv")
        spans = 100 * (bars["high"] - bars["low"]) / bars["close"]
        ranges |= {(stock, date[:10]): span for date, span in zip(bars["date"], spans, strict=True)}
    pairs = zip(windows, targets, strict=True)
    return [Case(one, ranges[one.key], ranges[one.stock, came.end], came.end) for one, came in pairs]


def messages(case: Case) -> form.Messages:
    """The question of a day."""
    closes = ", ".join(f"{close:.2f}" for close in case.window.context)
    asked = f"Closes: {closes}. Today's range: {case.today:.2f} %. How far will tomorrow's high and low lie apart?"
    said = "Answer as <think>reasons</think> <answer>percent</answer>."
    return [{"role": "system", "content": said}, {"role": "user", "content": asked}]


def parse(text: str, case: Case) -> float | Unreadable:
    """The range that an answer states: its first number."""
    parts = form.split(text)
    if isinstance(parts, Unreadable):
        return parts
    try:
        said = float(parts.answer.lstrip("[").split(",")[0].rstrip("]% "))
    except ValueError:
        return Unreadable("no range")
    return said if 0 <= said <= 1000 else Unreadable("no range")


def closeness(answer: float | Unreadable, case: Case) -> float:
    """1 for the range that came, falling with the error; -1 for what cannot be read.

    >>> closeness(2.0, Case(None, 1.0, 2.0, "")), closeness(3.0, Case(None, 1.0, 2.0, ""))
    (1.0, 0.5)
    """
    return -1.0 if isinstance(answer, Unreadable) else 1.0 / (1.0 + abs(answer - case.came))


def losses_of(texts: list[list[str]], asked: list[Case]) -> Losses:
    """Errors of the median answer beside those of today's range; what cannot be read counts as today's range."""
    said = [[parse(text, case) for text in given] for given, case in zip(texts, asked, strict=True)]
    values = [
        np.median([case.today if isinstance(one, Unreadable) else one for one in given])
        for given, case in zip(said, asked, strict=True)
    ]
    came, today = np.array([case.came for case in asked]), np.array([case.today for case in asked])
    dates, ends = tuple(case.window.date for case in asked), tuple(case.end for case in asked)
    return Losses(np.abs(np.array(values) - came), np.abs(today - came), "today's range", dates, ends)


def _prompts(asked: list[Case], tokenizer: Any, room: int, limit: int) -> list[str]:
    return render(tokenizer, [messages(case) for case in asked], room=room, limit=limit, shorter=SHORTER)


def _learn(config: RangeStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    grpo, data = config.grpo, inputs["dataset"]
    asked = cases(data, "train", grpo.steps * grpo.prompts_per_step, config.seed)
    held_out = cases(data, "val", grpo.validation_windows, config.seed)
    loaded = load.load_for_training(config.model, config.lora, config.seed, fast_inference=load.colocates())
    lesson = Lesson(
        asked=[messages(case) for case in asked],
        truths=asked,
        read=parse,
        reasons=REASONS,
        rewards={"closeness": closeness},
        weights={"closeness": 1.0},
        logged=("closeness",),
        describe={},
        held_out=HeldOut(
            prompts=_prompts(held_out, loaded.tokenizer, grpo.max_completion_length, config.model.max_seq_length),
            truths=held_out,
            columns=("closeness", "readable_share"),
            figures=partial(_figures, held_out),
            merit=lambda row: row["closeness"],
        ),
    )
    return train(config.model, grpo, loaded, lesson, config.seed, out, progress)


def _figures(asked: list[Case], answers: list[list[float | Unreadable]]) -> dict[str, float]:
    pairs = [(answer, case) for case, given in zip(asked, answers, strict=True) for answer in given]
    readable = [not isinstance(answer, Unreadable) for answer, _ in pairs]
    return {
        "closeness": float(np.mean([closeness(*pair) for pair in pairs])),
        "readable_share": float(np.mean(readable)),
    }


def _compare(config: RangeStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    asked = cases(inputs["dataset"], "test", config.comparison.windows, config.seed)
    skills = {}
    for place, (name, adapter) in enumerate({"base": None, "learned": inputs["learned"] / load.ADAPTER}.items()):
        heard = part(progress, place, 2, name)
        found = losses_of(
            draw(config.model, config.comparison, config.seed, partial(_prompts, asked), adapter, out, heard), asked
        )
        skills[name] = float(found.skill())
    ruling = judge(found, config.comparison, config.seed)
    sentence = f"Its errors are {1 - ruling.skill:.2f} times those of {found.against}."
    verdict = Verdict(model="learned", sentence=sentence, **ruling.model_dump())
    write_atomic(out / "verdict.json", verdict.model_dump_json())
    return {"skills": skills, "finding": verdict.finding}


TRAIN = Stage("training", RangeStage, _learn)
COMPARE = Stage("model_comparison", RangeStage, _compare)


def plan(run: Run, tokenizer: Any) -> Plan:
    """The lengths of a run's prompts."""
    asked = cases(run.stage_dir("preprocess"), "train", 500, 0)
    room, limit = run.config.grpo.max_completion_length, run.config.model.max_seq_length
    prompts = _prompts(asked, tokenizer, room, limit)
    return Plan(measured(token_ids(tokenizer, prompts), []), {}, [], [])


def training(run: Run) -> Training:
    """What the training reads."""
    data = run.stage_dir("preprocess")
    (windows, targets), (_, val) = read_split(data, "train"), read_split(data, "val")
    last = max(target.end for target in targets)
    about = read_table(data / "dataset.json", StageError, "run the preprocessing stage again")
    first, seen = min(window.date for window in windows), max(target.end for target in val)
    return Training("preprocess", about, first, last, max(last, seen))


def losses(registry: Registry, entry: Entry, champion: Entry | None, run: Run, progress: Progress) -> Rivals:
    """Errors of both models on test days later than all that they have seen."""
    models, config = [model for model in (entry, champion) if model], run.config
    seen = max(model.seen_until for model in models)
    every = cases(run.stage_dir("preprocess"), "test", config.comparison.windows, config.seed)
    asked = [case for case in every if case.window.date > seen]
    if not asked:
        return Rivals()
    with alone("promotion", config.wait_minutes, config.model) as scratch:
        told = partial(draw, config.model, config.comparison, config.seed, partial(_prompts, asked))
        return Rivals(*(losses_of(told(registry.adapter(model), scratch, progress), asked) for model in models))


def page(files: frame.RunFiles, remark: str) -> str:
    """The HTML report."""
    comparison = SimpleNamespace(verdict=_verdict(files.root / "model_comparison"), cutoff=None)
    return frame.render(Path(__file__).parent, files, remark, STEPS, comparison, str.capitalize, chapters=[])


def show(directory: Path, console: Any) -> None:
    """Prints the verdict."""
    console.print(_verdict(directory).sentence)


def _verdict(directory: Path) -> Verdict:
    return read_model(directory / "verdict.json", Verdict, StageError, "run the comparison again")
