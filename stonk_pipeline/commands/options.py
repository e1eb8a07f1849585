"""Options of the command lines, and the settings that they change."""

import argparse
import shutil
import subprocess
from typing import Any, TypeVar

from stonk_pipeline.config.recipes import AnyConfig, load_config, make_config, merge, recipe_names
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import DEEPEST, shown
from stonk_pipeline.files.yaml import parse_yaml

WAIT = "wait_minutes"
"""The setting that a command with a trained model's settings takes as well."""
Config = TypeVar("Config", bound=RunConfig)
OPTIONS = {
    "stock": "data.stocks",
    "data_dir": "data.data_dir",
    "model": "model.name",
    "max_seq_length": "model.max_seq_length",
    "lora_rank": "lora.rank",
    "gpu_memory_utilization": "model.gpu_memory_utilization",
    "cuda_devices": "cuda_devices",
    "results_dir": "results_dir",
    "models_dir": "models_dir",
    "folds": "data.folds",
    "horizon": "data.horizon",
    "window": "data.window",
    "seed": "seed",
}
"""Options and the settings they change."""
CALLS = {
    "news": ("news",),
    "companies": ("companies",),
    "records": ("records",),
    "gate": ("gate.mode",),
    "max_train_samples": ("examples.max_train_samples",),
    "epochs": ("stage_one.epochs", "stage_two.epochs"),
    "batch_size": ("stage_one.prompts_per_step", "stage_two.prompts_per_step"),
    "lr": ("stage_one.learning_rate", "stage_two.learning_rate"),
    "kl_coef": ("stage_one.beta", "stage_two.beta"),
    "save_steps": ("stage_one.save_steps", "stage_two.save_steps"),
    "diverse_predictions": ("stage_one.rewards.diversity", "stage_two.rewards.diversity"),
}
"""Options of the direction recipe. Of two settings, the second gets an option's second value, or the first as well."""
DIVERSITY = 0.2
"""Weight of the diversity reward where `--diverse-predictions` asks for it."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that change settings."""
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--recipe", help=f"one of {', '.join(recipe_names())}, or a .yaml file (default: by the machine)"
    )
    group.add_argument("--stock", help="one symbol, several with commas, or all (default: all)")
    group.add_argument("--data-dir", help="folder of CSV or Parquet files, one a stock (default: the generated market)")
    group.add_argument("--model", help="stonk-tiny, a local directory, or a Hugging Face name")
    group.add_argument("--max-seq-length", type=int, help="tokens of prompt and answer together")
    group.add_argument("--lora-rank", type=int)
    group.add_argument("--gpu-memory-utilization", type=float, help="share of GPU memory for vLLM, 0 to 1")
    group.add_argument("--cuda-devices", help="CUDA_VISIBLE_DEVICES for every stage, e.g. 0 or 0,1")
    group.add_argument("--results-dir", help="where run directories are made (default: results)")
    group.add_argument("--models-dir", help="where adapters are published (default: models)")
    group.add_argument("--folds", type=int, help="walk-forward: train anew for each of so many test parts (default: 1)")
    group.add_argument("--horizon", type=int, help="closes to forecast (default: 10)")
    group.add_argument("--window", type=int, help="closes of context (default: 10)")
    group.add_argument("--seed", type=int)
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other setting, e.g. --set grpo_first.steps=50",
    )
    _add_call_options(parser)


def _add_call_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the direction recipe", "two values with a comma are for stages I and II")
    group.add_argument("--news", help="JSONL file of headlines, or a folder of them")
    group.add_argument("--companies", help="JSON file of company facts")
    group.add_argument("--records", help="records with prices, news and facts: a file, or a Hugging Face dataset")
    group.add_argument("--gate", choices=["report", "strict"], help="what a failed gate to stage II does")
    group.add_argument("--max-train-samples", type=int, help="most training examples (default: 2000)")
    group.add_argument("--epochs", type=_one_or_two, help="passes over the examples, instead of a number of steps")
    group.add_argument("--batch-size", type=_one_or_two, help="questions in one optimizer step")
    group.add_argument("--lr", type=_one_or_two, help="learning rate")
    group.add_argument("--kl-coef", type=_one_or_two, help="weight of the KL divergence from the starting model")
    group.add_argument("--save-steps", type=_one_or_two, help="optimizer steps between checkpoints")
    group.add_argument(
        "--diverse-predictions",
        action="store_const",
        const=[DIVERSITY],
        help=f"penalise a one-sided model (a reward of weight {DIVERSITY})",
    )


def _one_or_two(text: str) -> list[Any]:
    try:
        values = [parse_yaml(part, "") for part in text.split(",")]
        values = [float(value) if isinstance(value, str) else value for value in values]  # YAML reads 1e-5 as a text
    except (ConfigError, ValueError):
        values = []
    if len(values) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give one, or two with a comma (stage I, stage II)")
    return values


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options change, nested.

    Raises:
        ConfigError: a `--set` is not `KEY=VALUE` with a value in YAML.
    """
    out: dict[str, Any] = {}
    if args.model is not None:  # what a recipe says of its own model does not hold for another
        out = _nested("model.knowledge_cutoff", None)
    for option, key in OPTIONS.items():
        value = getattr(args, option)
        if value is not None:
            out = merge(out, _nested(key, _symbols(value) if option == "stock" else value))
    for option, keys in CALLS.items():
        value = getattr(args, option)
        given = value if isinstance(value, list) else [value] if value is not None else []
        for place, key in enumerate(keys if given else ()):
            out = merge(out, _nested(key, given[min(place, len(given) - 1)]))
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")) or key.count(".") >= DEEPEST:
            raise ConfigError(f"--set {shown(text)}: write it as KEY=VALUE, e.g. --set grpo_first.steps=50")
        out = merge(out, _nested(key, parse_yaml(value, f"--set {shown(text)}")))
    model = out.get("model")
    if isinstance(model, dict) and "name" in model:  # a commit is one of a model
        out = merge(_nested("model.revision", None), out)
    return out


def with_wait(config: Config, texts: list[str]) -> Config:
    """The settings of a trained model, with another longest wait for an accelerator where a `--set` asks for one.

    Raises:
        ConfigError: another setting is to be changed, or the value is out of bounds.
    """
    for text in texts:
        key, _, value = text.partition("=")
        if key != WAIT:
            raise ConfigError(f"--set {shown(text)}: settings are those of the training; {WAIT} alone can be changed")
        given = {WAIT: parse_yaml(value, f"--set {shown(text)}")}
        changed = make_config(merge(config.model_dump(mode="json"), given), source="command line")
        config = config.model_copy(update={WAIT: changed.wait_minutes})
    return config


def _symbols(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _nested(key: str, value: Any) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    return {head: _nested(rest, value) if rest else value}


def resolve_config(args: argparse.Namespace) -> AnyConfig:
    """The settings that a command line asks for.

    Without `--recipe`: `default` for the tiny model on a machine without a GPU, `qwen-1.5b` otherwise.

    Raises:
        ConfigError: see `config.load_config`.
    """
    recipe = args.recipe
    if recipe is None:
        tiny = args.model == "stonk-tiny" or (args.model is None and not gpu_present())
        recipe = "default" if tiny else "qwen-1.5b"
    changed = overrides(args)
    if load_config(recipe).contract == "direction":
        lora = changed.pop("lora", None)  # each stage has an adapter of its own
        stages = {} if lora is None else {stage: {"lora": lora} for stage in ("stage_one", "stage_two")}
        return load_config(recipe, merge(changed, stages))
    alien = [option.replace("_", "-") for option in CALLS if getattr(args, option) is not None]
    if alien:
        raise ConfigError(f"--{alien[0]} is an option of the direction recipe: add --recipe direction")
    return load_config(recipe, changed)


def gpu_present() -> bool:
    """Whether an NVIDIA GPU answers; asks the driver, not torch, which takes seconds to import."""
    command = shutil.which("nvidia-smi")
    return command is not None and subprocess.run([command, "-L"], capture_output=True, check=False).returncode == 0
