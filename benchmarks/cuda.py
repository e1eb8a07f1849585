"""What training and sampling take on a card: seconds, tokens a second and memory, by the stages of the recipes.

    .venv/bin/python benchmarks/cuda.py --tokenizer my-model              # all cases
    .venv/bin/python benchmarks/cuda.py --cases qwen-1.5b --limit-gb 15   # does it fit on a card of 16 GB?
    .venv/bin/python benchmarks/cuda.py --cases mine --model my-model     # a real model, settings of qwen-1.5b
    .venv/bin/python benchmarks/cuda.py --miniature --steps 2             # small shapes, on any machine

The cases are stonk-tiny with the recipe `default`, and networks of the shapes of Qwen2.5 with random weights and the
settings of the `qwen` recipes; `-4bit` and `-peft` in a case's name set `model.load_in_4bit` and `model.backend`.
Random weights answer nonsense up to the longest length, so times of sampling are upper bounds, and fine-tuning is given
the unskilled answers that stonk-tiny was built on. `--tokenizer` is a directory or a name of the hub: one that cuts
numbers into digits gives prompts as long as Qwen's. Each part is a process of its own with its own `--timeout` (Unsloth
compiles at its first steps), and a line of the table; what it printed is in `log.txt` of `--home`:

- first: seconds to the end of the first step, start, loading and first validation included (sampling: loading alone);
- a step: median seconds of the later steps (sampling: of all answers);
- tokens/s: of answers drawn and trained on (GRPO), drawn (sampling), or read and taught (SFT);
- GB: the largest allocation, the largest reservation by torch, and the largest allocation of a later step. The driver's
  own memory, half a GB, comes on top.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from cuda_cases import settings, taught  # noqa: E402

from preprocessing import reading  # noqa: E402
from stonk_pipeline.contracts.forecast.prompts import questions  # noqa: E402
from stonk_pipeline.contracts.runs import write_run  # noqa: E402
from stonk_pipeline.models import load  # noqa: E402
from stonk_pipeline.pipeline.run import Run  # noqa: E402
from stonk_pipeline.sampling.engines import Draws, choose_engine, open_engine  # noqa: E402

CASES = ("tiny", "qwen-0.5b", "qwen-1.5b", "direction-qwen-1.5b", "qwen-7b", "qwen-7b-4bit")
PARTS = ("train", "sample", "sft")
HEADS = ("case", "backend", "part", "first, s", "a step, s", "tokens/s", "GB allocated", "GB reserved", "GB a step")


class Enough(Exception):
    """Ends a training after its last step, before the last validation."""


def gigabytes(*, allocated: bool) -> float:
    """The largest since the last call for `allocated`, whose memory of it is then cleared."""
    import torch

    if not torch.cuda.is_available():
        return 0.0
    if not allocated:
        return torch.cuda.max_memory_reserved() / 1e9
    largest = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return largest


def trained(run: Run, step: str, inputs: dict[str, Path]) -> dict[str, Any]:
    """Runs a training stage up to its last step."""
    out = run.directory / f"{step}-measured"
    marks, worked, peaks, reserved = [time.monotonic()], [time.process_time()], [0.0], [0.0]

    def progress(done: int, total: int, note: str) -> None:
        marks.append(time.monotonic())
        worked.append(time.process_time())
        print(f"{done} of {total} steps after {marks[-1] - marks[0]:.0f} s; {note}", flush=True)
        reserved.append(gigabytes(allocated=False))
        peaks.append(gigabytes(allocated=True))
        if done == total:
            raise Enough

    spec = run.spec(step)
    with suppress(Enough):
        spec.load().body(spec.settings(run.config), inputs, out, progress)
    later, processor = (_later(each) for each in (marks, worked))
    backend = load.choose_backend(run.config.model)
    row: dict[str, Any] = {"backend": backend, "first, s": marks[1] - marks[0], "a step, s": later, "CPU s": processor}
    row |= {"GB allocated": max(peaks), "GB reserved": max(reserved), "GB a step": max(peaks[2:], default=0.0)}
    with next(out.rglob("training_log.csv")).open(newline="", encoding="utf-8") as stream:
        last = list(csv.DictReader(stream))[-1]
    if step == "sft":
        return row | {"tokens/s": float(last["tokens_per_second"])}
    grpo = spec.settings(run.config).grpo
    answers = grpo.prompts_per_step * grpo.group_size
    return row | {"tokens/s": answers * float(last["completion_length"]) / later}


def _later(marks: list[float]) -> float:
    """The median step, but for the first two."""
    seconds = [after - before for before, after in pairwise(marks)]
    return statistics.median(seconds[2:] or seconds[1:])


def sampled(run: Run, count: int) -> dict[str, Any]:
    """Draws answers to training windows as rejection sampling does."""
    config = run.config.sampling_stage()
    sampling, began = config.sampling, time.monotonic()
    windows, targets = reading.spread(*reading.read_split(run.stage_dir("preprocess"), "train"), count, config.seed)
    kind = choose_engine(sampling.engine, prefer_vllm=True)
    engine = open_engine(kind, config.model, None, seed=config.seed, scratch=run.directory / "scratch", wanted="auto")
    room, limit = sampling.max_tokens, config.model.max_seq_length
    prompts = questions(engine.tokenizer, windows, config.prompt, len(targets[0].values), room=room, limit=limit)
    engine.draw(prompts[:2], Draws(2, 1.0, 1.0, 4, 0))  # what is compiled or chosen at the first call
    loaded, worked = time.monotonic(), time.process_time()
    drawn = engine.draw(prompts, Draws(sampling.samples, sampling.temperature, sampling.top_p, room, config.seed))
    seconds, processor = time.monotonic() - loaded, time.process_time() - worked
    tokens = sum(len(ids) for of_window in drawn for ids in of_window)
    row: dict[str, Any] = {"backend": engine.name, "first, s": loaded - began, "a step, s": seconds, "CPU s": processor}
    reserved = gigabytes(allocated=False)
    return row | {"tokens/s": tokens / seconds, "GB allocated": gigabytes(allocated=True), "GB reserved": reserved}


def measure(case: str, part: str, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One part of a case, in this process."""
    import torch

    run = write_run(home / "runs" / case, settings(case, options, home))
    if part == "make":
        return {}
    if options.limit_gb and torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(options.limit_gb * 1e9 / whole)
    for step in ("preprocess", "examples"):
        if step in run.graph:
            run.execute(step, lambda *_: None)
    if part == "sample":
        return sampled(run, options.windows)
    if part == "sft":
        return trained(run, "sft", {"examples": taught(run, 3 * options.steps)})
    first = "stage-one" if "stage-one" in run.graph else "grpo-first"
    return trained(run, first, run.inputs(first))


def child(case: str, part: str, arguments: list[str], options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """The same in a process of its own; where it fails, its last words."""
    command = [sys.executable, __file__, *arguments, "--home", str(home), "--only", case, part]
    with (home / "log.txt").open("a+", encoding="utf-8") as log:
        before, late = log.tell(), ""
        try:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=options.timeout, cwd=ROOT)
        except subprocess.TimeoutExpired:
            late = f"not done after {options.timeout:.0f} s: "
        log.seek(before)
        lines = log.read().strip().splitlines() or [""]
    return json.loads(lines[-1]) if lines[-1].startswith('{"') else {"failed": late + lines[-1][:300]}


def main() -> None:
    """Prints a line for each part of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--parts", nargs="+", default=PARTS)
    parser.add_argument("--steps", type=int, default=3, help="of GRPO; three times as many of fine-tuning")
    parser.add_argument("--micro-batch", type=int, help="of all trainings, in place of the recipe's")
    parser.add_argument("--windows", type=int, default=32, help="sampled; 8 answers each")
    parser.add_argument("--validation-windows", type=int, default=64)
    parser.add_argument("--limit-gb", type=float, help="the most that torch may take of the card")
    parser.add_argument("--tokenizer", default="Qwen/Qwen2.5-0.5B-Instruct")
    parser.add_argument("--model", help="directory or name of the case `mine`")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for each part")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--home", type=Path, help="where models and runs go; a temporary directory if not given")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(f"\n{json.dumps(measure(*options.only, options, options.home))}", flush=True)
        return
    card = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.is_available() and torch.cuda.get_device_name())"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    if card == "False" and not options.miniature:
        print("No NVIDIA card here, so there is nothing to measure; --miniature shows that the script runs.")
        return
    print(f"card: {card}\n\n| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        for case in options.cases:
            child(
                case, "make", sys.argv[1:], options, home
            )  # by itself: Unsloth has to be imported before transformers
            for part in options.parts:
                if part == "train" or not case.startswith("direction"):
                    row = {"case": case, "part": part} | child(case, part, sys.argv[1:], options, home)
                    cells = (
                        f"{row.get(head, '')}" if isinstance(row.get(head, ""), str) else f"{row[head]:,.1f}"
                        for head in HEADS
                    )
                    print(f"| {' | '.join(cells)} | {row.get('failed', '')}", flush=True)


if __name__ == "__main__":
    main()
