"""Times one step of each kind with the real model and the stages' own code, each in a process of its own.

    python -m stonk_pipeline.estimates.trial JOB.json OUT_DIR

A step of GRPO draws, reads and learns; one of fine-tuning learns whole answers; an engine draws one batch. What answers
say earns nothing here, so that a model which cannot write the form yet can be tried as well.
"""

import csv
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline import errors
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, SFTConfig, SFTStage
from stonk_pipeline.contract import Plan
from stonk_pipeline.estimates.memory import LIBRARIES, Place, batch_rows
from stonk_pipeline.estimates.shape import Shape
from stonk_pipeline.runs import capacity, child
from stonk_pipeline.runs.machine import peak_of_process
from stonk_pipeline.runs.manifest import Progress
from stonk_pipeline.training.effort import TRAINER, Drawing, Part, Teaching

LONG = 20.0
"""Seconds after which one step of GRPO is enough: shorter ones are done twice, as the first warms up."""
SHORTER = "make the questions shorter"


class Trial(NamedTuple):
    """What a kind of work took."""

    seconds: float
    """Of an optimizer step, or of one answer."""
    start: float
    """Until it began: imports, weights, the engine."""
    memory: float
    """Bytes at the peak, of the process or of the card."""


class Enough(Exception):
    """Ends a training after the step that was timed."""


def kind_of(part: Part, shape: Shape, place: Place) -> tuple[object, ...]:
    """Tells which parts take the same: of those one is tried."""
    if isinstance(part, Teaching):
        return type(part.settings), part.per_step, part.micro_batch, part.limit, part.lora.rank
    return place.engine(part), batch_rows(part, shape, place), part.samples, part.limit


def tried(plan: Plan, config: RunConfig, shape: Shape, place: Place, out: Path, progress: Progress) -> dict[str, Trial]:
    """Tries each kind of work of a run once and scales it to each step.

    Args:
        plan: of the run.
        config: its settings.
        shape: sizes of the model.
        place: where it runs.
        out: a directory for what is written meanwhile.
        progress: receives what is tried.

    Returns:
        Step -> its seconds without its start, what it takes to start, and its memory.

    Raises:
        PipelineError: a stage would end with the same error.
    """
    kinds: dict[tuple[object, ...], tuple[str, Part]] = {}
    for step, does in plan.work.items():
        for part in does.parts:
            if not (isinstance(part, Drawing) and part.engine == TRAINER):  # a training's step draws, too
                kinds.setdefault(kind_of(part, shape, place), (step, part))
    found = {}
    for number, (kind, (step, part)) in enumerate(kinds.items()):
        progress(number, len(kinds), f"trying {_said(part, place)} as in {step}")
        found[kind] = _in_child(_job(part, plan, config, shape, place), config, out / str(number), step)
    return {step: _of_step(does.parts, found, shape, place) for step, does in plan.work.items()}


def _of_step(parts: tuple[Part, ...], found: Mapping[Any, Trial], shape: Shape, place: Place) -> Trial:
    seconds = start = memory = 0.0
    for part in parts:
        trial = found.get(kind_of(part, shape, place))
        if trial is None:  # a training's own answers
            continue
        if isinstance(part, Teaching):
            seconds += part.texts / part.per_step * trial.seconds
            start += trial.start
            if isinstance(part.settings, SFTConfig):
                seconds += part.unlearned / part.per_step * trial.seconds / 3  # forward alone
        else:
            seconds += part.times * part.answers * trial.seconds
            start += part.starts * trial.start
        memory = max(memory, trial.memory)
    return Trial(seconds, start, memory)


def _said(part: Part, place: Place) -> str:
    if isinstance(part, Teaching):
        return "a step of GRPO" if isinstance(part.settings, PolicyConfig) else "a step of fine-tuning"
    return f"a batch of answers with {place.engine(part)}"


def _job(part: Part, plan: Plan, config: RunConfig, shape: Shape, place: Place) -> dict[str, Any]:
    job = {"model": config.model.model_dump(mode="json"), "seed": config.seed, "asked": plan.asked}
    if isinstance(part, Drawing):
        prompts = max(1, batch_rows(part, shape, place) // part.samples)
        return job | {"engine": place.engine(part), "n": part.samples, "limit": part.limit, "prompts": prompts}
    plain = PolicyConfig if isinstance(part.settings, PolicyConfig) else SFTConfig
    settings = {name: getattr(part.settings, name) for name in plain.model_fields}
    return job | {plain.__name__: settings, "lora": part.lora.model_dump(mode="json"), "said": plan.said}


def _in_child(job: dict[str, Any], config: RunConfig, out: Path, step: str) -> Trial:
    """Tries a job in a process of its own, whose peak of memory is its own as well."""
    out.mkdir(parents=True)
    (out / "job.json").write_text(json.dumps(job), encoding="utf-8")
    settings = child.environment()
    if config.cuda_devices is not None:
        settings["CUDA_VISIBLE_DEVICES"] = config.cuda_devices
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(out / "job.json"), str(out)],
        env=settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    with suppress(ValueError, IndexError, TypeError):
        said = json.loads(done.stdout.strip().splitlines()[-1])
        if "error" in said:
            raise getattr(errors, said["error"][0], errors.StageError)(said["error"][1])
        return Trial(**said)
    last = next(reversed((done.stderr or done.stdout).strip().splitlines()), "no words")
    hint = f"; {capacity.killed_hint('use a smaller model')}" if done.returncode < 0 else ""
    raise errors.StageError(f"{step}: its trial ended with code {done.returncode}: {last:.300}{hint}")


def try_policy(job: Mapping[str, Any], out: Path) -> tuple[float, float]:
    """Times a step of GRPO: (when it began, seconds of the step)."""
    from operator import itemgetter

    from stonk_pipeline.models import load
    from stonk_pipeline.training.lesson import HeldOut, Lesson
    from stonk_pipeline.training.policy import train

    model, asked = ModelConfig(**job["model"]), job["asked"]
    grpo = PolicyConfig(**job["PolicyConfig"] | {"steps": 3, "save_steps": 1000})
    marks: list[float] = []

    def begun(answers: list[list[Any]]) -> dict[str, float]:
        marks.append(time.monotonic())  # the first validation, of nothing, is over
        return {"chance": 0.0, "other": 0.0}

    def progress(done: int, total: int, note: str) -> None:
        marks.append(time.monotonic())
        if done == total or marks[-1] - marks[-2] > LONG:
            raise Enough

    loaded = load.load_for_training(model, LoraConfig(**job["lora"]), job["seed"], fast_inference=load.colocates())
    count = grpo.steps * grpo.prompts_per_step
    lesson: Lesson[str, None] = Lesson(
        asked=[asked[place % len(asked)] for place in range(count)],
        truths=[None] * count,
        read=lambda text, truth: text,
        reasons={},
        rewards={"chance": _chance},
        weights={"chance": 1.0},
        logged=("chance",),
        describe={},
        held_out=HeldOut([], [], ("chance", "other"), begun, itemgetter("chance")),
    )
    with suppress(Enough):
        train(model, grpo, loaded, lesson, job["seed"], out, progress)
    return marks[0], marks[-1] - marks[-2]


def _chance(answer: Any, truth: None) -> float:
    """A reward that differs among answers and says nothing of them."""
    return len(str(answer)) % 7 / 7


def try_fine_tuning(job: Mapping[str, Any], out: Path) -> tuple[float, float]:
    """Times a step of fine-tuning: (when it began, seconds of the step)."""
    from stonk_pipeline.training import sft
    from stonk_pipeline.training.kept_answers import TRAINING_DATA

    settings = SFTConfig(**job["SFTConfig"] | {"epochs": 1, "evaluations": 1, "val_share": 0.1})
    asked, said = job["asked"], job["said"]
    taught = out / "taught"
    taught.mkdir()
    count = max(24, math.ceil(3.5 * settings.batch_size))
    with (taught / f"TRIAL_{TRAINING_DATA}").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.DictWriter(stream, ("date", "prompt", "completion"))
        rows.writeheader()
        for place in range(count):
            prompt = json.dumps(asked[place % len(asked)])
            rows.writerow({"date": f"{place:06d}", "prompt": prompt, "completion": said[place % len(said)]})
    marks: list[float] = []

    def progress(done: int, total: int, note: str) -> None:
        marks.append(time.monotonic())
        if len(marks) == 3 or (len(marks) == 2 and marks[1] - marks[0] > LONG):
            raise Enough

    config = SFTStage(model=ModelConfig(**job["model"]), lora=LoraConfig(**job["lora"]), sft=settings, seed=job["seed"])
    with suppress(Enough):
        sft.run(config, {"examples": taught}, out, progress)
    step = marks[-1] - marks[-2]
    return marks[0] - step, step


def try_drawing(job: Mapping[str, Any], out: Path) -> tuple[float, float]:
    """Times a batch of answers: (when it began, seconds of one answer)."""
    from stonk_pipeline.sampling.engines import Draws, open_engine
    from stonk_pipeline.sampling.prompts import render

    model = ModelConfig(**job["model"])
    engine = open_engine(job["engine"], model, None, seed=job["seed"], scratch=out / "scratch", wanted="auto")
    asked = [job["asked"][place % len(job["asked"])] for place in range(job["prompts"])]
    prompts = render(engine.tokenizer, asked, room=job["limit"], limit=model.max_seq_length, shorter=SHORTER)
    engine.draw(prompts[:1], Draws(1, 1.0, 1.0, 2, 0))  # what is made at the first call
    begun = time.monotonic()
    engine.draw(prompts, Draws(job["n"], 1.0, 1.0, job["limit"], job["seed"]))
    return begun, (time.monotonic() - begun) / (len(prompts) * job["n"])


def peak() -> float:
    """Returns the largest memory that this process has had, or that it has taken of the card, in bytes."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() + LIBRARIES["card"]
    return float(peak_of_process())


def main() -> int:
    """Tries the job of a file and prints what it took as JSON, or why it cannot be done."""
    born = time.monotonic()
    child.die_with_parent()
    job, out = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    attempt = try_policy if "PolicyConfig" in job else try_fine_tuning if "SFTConfig" in job else try_drawing
    try:
        begun, seconds = attempt(job, out)
        said: dict[str, Any] = Trial(seconds, begun - born, peak())._asdict()
    except Exception as error:
        known = capacity.explain(error, "trial", out, "use a smaller model")
        if known is None and not isinstance(error, errors.PipelineError):
            raise
        said = {"error": [type(known or error).__name__, str(known or error)]}
    sys.stdout.write(f"\n{json.dumps(said)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
