"""How right a dry run is: what it says of time and memory beside what the stages of a real run take.

    .venv/bin/python benchmarks/estimates.py                                   # stonk-tiny, every step of `small`
    .venv/bin/python benchmarks/estimates.py --recipe default                  # the same of the default run
    .venv/bin/python benchmarks/estimates.py --shape smollm2-135m              # random weights, a few steps
    .venv/bin/python benchmarks/estimates.py --shape gemma-270m --measure      # `--dry-run --measure` beside it
    .venv/bin/python benchmarks/estimates.py --model my-model

Random weights answer nonsense: time and memory do not depend on it, but nothing can be kept of their answers. So of a
shape the first GRPO, fine-tuning on made-up answers and the comparison of the base model alone are run, with few steps.
Each step is a process of its own. Its seconds are those of the processor divided by the threads where other work runs
beside it (`OMP_NUM_THREADS=1` makes the two the same), and its memory is the largest that it had.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from cuda_cases import taught  # noqa: E402

from stonk_pipeline.commands.plan import look  # noqa: E402
from stonk_pipeline.config.run import RunConfig  # noqa: E402
from stonk_pipeline.config.validation import merge  # noqa: E402
from stonk_pipeline.contracts.recipes import load_config, make_config  # noqa: E402
from stonk_pipeline.contracts.runs import open_run, write_run  # noqa: E402
from stonk_pipeline.errors import StageError  # noqa: E402
from stonk_pipeline.files.yaml import parse_yaml  # noqa: E402
from stonk_pipeline.models.locations import EMBEDDED_MODELS  # noqa: E402
from stonk_pipeline.runs.machine import peak_of_process  # noqa: E402

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2-135m": (
        "LlamaConfig",
        {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
        | {"intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True},
    ),
    "gemma-270m": (
        "Gemma3TextConfig",
        {"hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1}
        | {"intermediate_size": 2048, "vocab_size": 262144, "head_dim": 256, "sliding_window": 512},
    ),
}
"""Models of which the shape alone is taken: class of their settings in transformers, and sizes."""
FEW: dict[str, Any] = {
    "model": {"max_seq_length": 512},
    "grpo_first": {"steps": 2, "prompts_per_step": 4, "group_size": 4, "micro_batch": 4, "save_steps": 2}
    | {"validation_windows": 4, "validation_samples": 2},
    "sft": {"epochs": 1, "batch_size": 8, "micro_batch": 4, "evaluations": 1},
    "sampling": {"engine": "transformers", "windows": 60, "samples": 4, "max_examples": 36},
    "comparison": {"engine": "transformers", "windows": 12, "samples": 2, "conformal": False},
}
"""Settings of a run of a shape."""
OF_SHAPE = ("preprocess", "grpo-first", "sft", "compare")
HEADS = ("step", "estimated, s", "taken, s", "ratio", "estimated, GB", "peak, GB", "ratio")


class Taken(NamedTuple):
    """What a step took."""

    seconds: float
    memory: float
    said: str


def make(name: str, out: Path, tokenizer: Path) -> Path:
    """Writes a model of a shape with random weights and the tokenizer of another one."""
    import torch
    import transformers

    kind, sizes = SHAPES[name]
    tokens = transformers.AutoTokenizer.from_pretrained(tokenizer)
    ends = {"eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id, "bos_token_id": None}
    config = getattr(transformers, kind)(**sizes, max_position_embeddings=8192, **ends)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(out)
    tokens.save_pretrained(out)
    return out


def settings(options: argparse.Namespace, home: Path) -> RunConfig:
    """The settings of the run that is estimated and done."""
    given: dict[str, Any] = {"results_dir": str(home), "models_dir": str(home / "models"), "promotion": "off"}
    if options.shape:
        tokenizer = Path(options.tokenizer) if options.tokenizer else EMBEDDED_MODELS["stonk-tiny"]
        given = merge(
            given, FEW | {"model": FEW["model"] | {"name": str(make(options.shape, home / "model", tokenizer))}}
        )
    if options.model:
        given = merge(given, {"model": {"name": options.model}})
    for text in options.set:
        name, _, value = text.partition("=")
        for part in reversed(name.split(".")):
            value = {part: parse_yaml(value, text) if isinstance(value, str) else value}  # type: ignore[assignment]
        given = merge(given, value)  # type: ignore[arg-type]
    return make_config(merge(load_config(options.recipe).model_dump(mode="json"), given), source="settings")


def step(directory: Path, name: str, *, alone: bool) -> None:
    """Does a step in this process; of a shape with inputs that are made up."""
    run = open_run(directory)
    if not alone or name == "preprocess":
        run.execute(name, lambda *_: None)
        return
    inputs = {"dataset": run.stage_dir("preprocess")}
    if name == "sft":
        examples = run.config.sampling.max_examples
        inputs = {"examples": taught(run, examples * run.config.sft.epochs / 1.2 / run.config.sft.batch_size)}
    out = directory / f"{name}-alone"
    out.mkdir()
    spec = run.spec(name)
    with suppress(StageError):  # nothing can be read of random answers, which is said once all are there
        spec.load().body(spec.settings(run.config), inputs, out, lambda *_: None)


def taken(directory: Path, name: str, *, alone: bool) -> Taken:
    """Does a step in a process of its own and weighs it."""
    command = [sys.executable, __file__, "--step", name, "--home", str(directory), *(["--alone"] if alone else [])]
    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    with (directory / f"{name}.log").open("w", encoding="utf-8") as log:
        begun = time.monotonic()
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        _, status, used = os.wait4(child.pid, 0)
    gone = time.monotonic() - begun
    seconds = min(gone, (used.ru_utime + used.ru_stime) / threads) if threads else gone
    last = (directory / f"{name}.log").read_text(encoding="utf-8").strip().splitlines()[-1:]
    if status:
        return Taken(seconds, 1.0, f"failed: {last}")
    return Taken(seconds, float((directory / f"{name}.peak").read_text(encoding="utf-8")), "")


def estimate(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """What a dry run says of each step: seconds, bytes, and what they are for."""
    outlook = look(open_run(directory).config, measure=options.measure, say=lambda text: print(text, file=sys.stderr))
    return {"seconds": outlook.seconds, "needs": outlook.needs, "lengths": outlook.plan.lengths._asdict()}


def main() -> None:
    """Prints a row for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--model", help="directory or name of a model")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--tokenizer", help="directory of the tokenizer of a shape; that of stonk-tiny if not given")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--measure", action="store_true", help="estimate with a trial of the model itself")
    parser.add_argument("--steps", nargs="+", help="only these; all if not given")
    parser.add_argument("--home", type=Path, help="where models and runs go; a temporary directory if not given")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--say", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step(options.home, options.step, alone=options.alone)
        (options.home / f"{options.step}.peak").write_text(str(peak_of_process()), encoding="utf-8")
        return
    if options.say:
        print(f"\n{json.dumps(estimate(options, options.home))}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        run = write_run(home / "run", settings(options, home))
        command = [sys.executable, __file__, "--say", "--home", str(run.directory)]
        command += ["--measure"] if options.measure else []
        begun = time.monotonic()
        said = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        )
        print(f"estimated in {time.monotonic() - begun:.0f} s; {said['lengths']}\n")
        print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}", flush=True)
        for name in options.steps or (OF_SHAPE if options.shape else run.graph):
            found = taken(run.directory, name, alone=bool(options.shape))
            seconds, needs = said["seconds"].get(name, 0.0), said["needs"].get(name, {})
            if options.shape and name == "compare":  # of four models
                start = run.graph[name].start_seconds
                seconds = (seconds - start) / 4 + start
            size = sum(needs.values())
            row = f"| {name} | {seconds:.1f} | {found.seconds:.1f} | {seconds / found.seconds:.2f} | "
            row += f"{size / 1e9:.2f} | {found.memory / 1e9:.2f} | {size / found.memory:.2f} |"
            told = ", ".join(f"{part} {bytes_ / 1e9:.2f}" for part, bytes_ in needs.items())
            print(f"{row} {found.said or told}", flush=True)


if __name__ == "__main__":
    main()
