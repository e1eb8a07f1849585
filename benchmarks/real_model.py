"""What a real small language model takes on this machine: fetched, checked, and measured by the stages of its recipe.

    .venv/bin/python benchmarks/real_model.py                             # smollm2: every part
    .venv/bin/python benchmarks/real_model.py --models gemma-270m --parts check sample
    .venv/bin/python benchmarks/real_model.py --models my-model --set prompt.indicators=false --set lora.rank=8

A model's recipe has its name. Any other model gets the settings of `smollm2`. Each part is a process of its
own, and a line of the table; what it printed is in `log.txt` of `--home`:

- check: the perplexity of a paragraph of plain English, and how many of twelve next words are right;
- prompt: tokens of a question and of its parts;
- train: GRPO, `--steps` steps; sample-vllm and sample-transformers: `--windows` windows, as rejection sampling does;
- sft: fine-tuning on unskilled answers, three times as many steps.

Seconds of the first step (with loading) and of a later one (sampling: of loading, and of all answers), that one in
seconds of processor time, which other work on the machine lengthens less, tokens a second (GRPO and sampling: of
answers drawn; SFT: read or taught) and the largest resident memory of the process in GB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from cuda import sampled, trained  # noqa: E402
from cuda_cases import taught  # noqa: E402
from plain_english import next_words, perplexity, right_words  # noqa: E402

from preprocessing import reading  # noqa: E402
from stonk_pipeline.commands.options import one_setting  # noqa: E402
from stonk_pipeline.config.validation import merge  # noqa: E402
from stonk_pipeline.contracts.forecast import question  # noqa: E402
from stonk_pipeline.contracts.recipes import load_config  # noqa: E402
from stonk_pipeline.contracts.runs import write_run  # noqa: E402
from stonk_pipeline.models import load  # noqa: E402
from stonk_pipeline.models.locations import base_location  # noqa: E402
from stonk_pipeline.pipeline.run import Run  # noqa: E402

MODELS = ("smollm2", "gemma-270m")
PARTS = ("check", "prompt", "train", "sample-transformers", "sample-vllm", "sft")
HEADS = ("model", "part", "first, s", "a step, s", "CPU s", "tokens/s", "GB", "more")


def settings(model: str, options: argparse.Namespace, home: Path) -> Any:
    """The recipe of a model with few steps."""
    recipe = model if model in MODELS else MODELS[0]
    few: dict[str, Any] = {
        "models_dir": str(home / "models"),
        "warmup": "never",
        "data": {"market": {"days": 500}},
        "grpo_first": {"steps": options.steps, "validation_windows": 4, "validation_samples": 2},
        "sft": {"evaluations": 1, "epochs": 1},
    }
    few |= {} if model in MODELS else {"model": {"name": model}}
    for text in options.set:
        few = merge(few, one_setting(text, f"--set {text}"))
    return load_config(recipe, few)


def checked(run: Run) -> dict[str, Any]:
    """How well the model knows English."""
    network, tokenizer = load.load_base(run.config.model)
    said = next_words(network, tokenizer)
    more = f"perplexity {perplexity(network, tokenizer):.1f}; {right_words(said)} of {len(said)} next words right"
    return {"more": f"{more}; {sum(each.numel() for each in network.parameters()):,} parameters"}


def counted(run: Run) -> dict[str, Any]:
    """Tokens of a question, and of each of its parts."""
    config = run.config
    windows, targets = reading.read_split(run.stage_dir("preprocess"), "train")
    tokenizer = load.load_tokenizer(base_location(config.model))
    asked = [question.messages(window, config.prompt, len(targets[0].values)) for window in windows[::50]]
    whole = [tokenizer.apply_chat_template(each, add_generation_prompt=True, tokenize=False) for each in asked]

    def tokens(texts: list[str]) -> float:
        return sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]) / len(texts)

    lengths = {"whole": tokens(whole), "system": tokens([each[0]["content"] for each in asked])}
    for place, line in enumerate(asked[0][1]["content"].split("\n")):
        name = line.partition(":")[0].partition(",")[0]
        lengths[name] = tokens([each[1]["content"].split("\n")[place] for each in asked])
    plain = [question.answer("", target.values, config.prompt.decimals) for target in targets[::50]]
    lengths["answer without thinking"] = tokens(plain)
    return {"more": ", ".join(f"{name} {length:.0f}" for name, length in lengths.items())}


def measure(model: str, part: str, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One part, in this process."""
    run = write_run(home / "runs" / Path(model).name, settings(model, options, home))
    run.execute("preprocess", lambda *_: None)
    kind, _, engine = part.partition("-")
    if kind == "sample":
        sampling = run.config.sampling.model_copy(update={"engine": engine})
        row = sampled(replace(run, config=run.config.model_copy(update={"sampling": sampling})), options.windows)
    elif kind == "train":
        row = trained(run, "grpo-first", run.inputs("grpo-first"))
    elif kind == "sft":
        row = trained(run, "sft", {"examples": taught(run, 3 * options.steps)})
    else:
        row = checked(run) if kind == "check" else counted(run)
    return row | {"GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def child(model: str, part: str, arguments: list[str], options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """The same in a process of its own; where it fails, its last words."""
    command = [sys.executable, __file__, *arguments, "--home", str(home), "--only", model, part]
    with (home / "log.txt").open("a+", encoding="utf-8") as log:
        before = log.tell()
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        log.seek(before)
        lines = log.read().strip().splitlines() or [""]
    return json.loads(lines[-1]) if lines[-1].startswith('{"') else {"more": f"failed: {lines[-1][:300]}"}


def main() -> None:
    """Prints a line for each part of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS[:1], help="smollm2, gemma-270m, or a directory or name")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--steps", type=int, default=3, help="of GRPO; three times as many of fine-tuning")
    parser.add_argument("--windows", type=int, default=16, help="sampled, with the recipe's answers each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting")
    parser.add_argument("--home", type=Path, help="where runs go; a temporary directory if not given")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(f"\n{json.dumps(measure(*options.only, options, options.home))}", flush=True)
        return
    print(f"| {' | '.join(HEADS)} |\n|{' --- |' * len(HEADS)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        for model in options.models:
            for part in options.parts:
                row = {"model": model, "part": part} | child(model, part, sys.argv[1:], options, home)
                cells = (
                    f"{row.get(head, '')}" if isinstance(row.get(head, ""), str) else f"{row[head]:,.1f}"
                    for head in HEADS
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
