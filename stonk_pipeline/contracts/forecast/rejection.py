"""Runs rejection sampling: draws many answers a window from the first GRPO model and keeps the good ones."""

import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preprocessing import reading
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.sections import SamplingConfig, SamplingStage
from stonk_pipeline.contracts.forecast.selection import Candidate, balance, judge
from stonk_pipeline.errors import StageError
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import Progress, Stage, write_atomic
from stonk_pipeline.sampling.engines import Drawn, Draws, choose_engine, open_engine
from stonk_pipeline.schema import Window
from stonk_pipeline.text.form import Messages
from stonk_pipeline.training.kept_answers import TRAINING_DATA

REJECTED = "rejected.csv"
COLUMNS = ("stock", "date", "sample", "skill", "forecast", "completion", "prompt", "tokens")
REJECTED_COLUMNS = ("stock", "date", "sample", "skill", "reason", "forecast", "completion")


def run(config: SamplingStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Samples answers on training windows and keeps the good ones.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; `policy`: the training stage whose adapter answers.
        out: receives `{STOCK}_sft_training_data.csv`, `rejected.csv` and `selection.json`.
        progress: receives the windows answered so far.

    Returns:
        Numbers of the run: windows, answers, kept, acceptance share, engine.

    Raises:
        StageError: no answer was good enough.
    """
    sampling = config.sampling
    windows, targets = reading.spread(
        *reading.read_split(inputs["dataset"], "train"), sampling.windows, config.seed + 1
    )
    horizon = len(targets[0].values)
    kind = choose_engine(sampling.engine, prefer_vllm=True)
    scratch = out / "scratch"
    adapter = inputs["policy"] / load.ADAPTER
    engine = open_engine(kind, config.model, adapter, seed=config.seed, scratch=scratch, wanted=sampling.engine)
    room, limit = sampling.max_tokens, config.model.max_seq_length
    prompts = questions(engine.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    draws = Draws(sampling.samples, sampling.temperature, sampling.top_p, room, config.seed)
    drawn = engine.draw(prompts, draws, progress)
    texts = [[engine.chat.read(ids) for ids in of_window] for of_window in drawn]
    answers = question.read_all(texts, windows, horizon)
    judged = judge(
        windows,
        targets,
        texts,
        answers,
        min_skill=sampling.min_skill,
        keep_per_window=sampling.keep_per_window,
        chance=random.Random(config.seed) if sampling.keep == "random" else None,
    )
    chosen = balance(windows, judged, max_examples=sampling.max_examples, seed=config.seed)
    shutil.rmtree(scratch, ignore_errors=True)
    record = summary(windows, chosen) | {"engine": engine.name}
    asked = [question.messages(window, config.prompt, horizon) for window in windows]
    write(out, config.stock_name, windows, asked, chosen, drawn, config.prompt.decimals)
    if not record["kept"]:
        raise StageError(nothing_kept(record, config.sampling, out / REJECTED))
    write_atomic(out / "selection.json", json.dumps(record, indent=2))
    return {
        name: record[name] for name in ("windows", "answers", "kept", "acceptance_share", "mean_skill_kept", "engine")
    }


def nothing_kept(record: Mapping[str, Any], sampling: SamplingConfig, rejected: Path) -> str:
    """Explains why no answer was kept, and what helps.

    Args:
        record: see `summary`.
        sampling: settings.
        rejected: file of the answers, each with its reason.
    """
    count, reasons = record["answers"], record["reasons"]
    if all(reason in question.REASONS for reason in reasons):
        return (
            f"none of {count} answers could be read (most often: {question.REASONS[next(iter(reasons))]}); they are in "
            f"{rejected}. If they are cut off, raise sampling.max_tokens ({sampling.max_tokens}); else set warmup.when "
            "to always, which teaches the form first, train the first model longer, or choose an instruction-tuned one"
        )
    return (
        f"none of {count} answers had a skill of {sampling.min_skill:g}: {reasons}; they are in {rejected}. Lower "
        "sampling.min_skill, raise sampling.samples, or train the first model longer"
    )


def summary(windows: Sequence[Window], chosen: Sequence[Candidate]) -> dict[str, Any]:
    """Counts what was kept and why the rest was not."""
    kept = [candidate for candidate in chosen if not candidate.reason]
    return {
        "windows": len(windows),
        "answers": len(chosen),
        "kept": len(kept),
        "acceptance_share": len(kept) / len(chosen),
        "mean_skill_kept": sum(candidate.skill for candidate in kept) / max(1, len(kept)),
        "reasons": dict(Counter(candidate.reason for candidate in chosen if candidate.reason).most_common()),
        "kept_by_stock": dict(sorted(Counter(windows[candidate.window].stock for candidate in kept).items())),
        "kept_by_year": dict(sorted(Counter(windows[candidate.window].date[:4] for candidate in kept).items())),
    }


def write(
    out: Path,
    name: str,
    windows: Sequence[Window],
    asked: Sequence[Messages],
    chosen: Sequence[Candidate],
    drawn: Drawn,
    decimals: int,
) -> None:
    """Writes the kept examples, with the tokens that were drawn, and the rejected ones with their reasons."""
    with (
        (out / f"{name}_{TRAINING_DATA}").open("w", newline="", encoding="utf-8") as kept_file,
        (out / REJECTED).open("w", newline="", encoding="utf-8") as rejected_file,
    ):
        kept = csv.DictWriter(kept_file, COLUMNS, extrasaction="ignore")
        rejected = csv.DictWriter(rejected_file, REJECTED_COLUMNS, extrasaction="ignore")
        kept.writeheader()
        rejected.writeheader()
        for candidate in chosen:
            window = windows[candidate.window]
            row = {
                "stock": window.stock,
                "date": window.date,
                "sample": candidate.sample,
                "skill": f"{candidate.skill:.4f}",
                "reason": candidate.reason,
                "forecast": question.join(candidate.values, decimals) if candidate.values else "",
                "completion": candidate.completion,
                "prompt": json.dumps(asked[candidate.window]),
                "tokens": json.dumps(drawn[candidate.window][candidate.sample]),
            }
            (rejected if candidate.reason else kept).writerow(row)


STAGE = Stage("sft_data_generation", SamplingStage, run)
