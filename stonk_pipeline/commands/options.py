"""Adds the command-line options that change settings, and turns them into settings."""

import argparse
import shutil
import subprocess
from collections import Counter
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contract import Contract, Option
from stonk_pipeline.contracts import CONTRACTS, contract_of
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import DEEPEST, shown
from stonk_pipeline.files.yaml import parse_yaml


def _of_all(flag: str, setting: str, help: str | None, kind: type = str) -> Option:
    return Option(flag, (setting,), {"type": kind, "help": help})


COMMON = (
    _of_all("--stock", "data.stocks", "one symbol, several with commas, or all (default: all)"),
    _of_all(
        "--data-dir", "data.data_dir", "folder of CSV or Parquet files, one a stock (default: the generated market)"
    ),
    _of_all("--model", "model.name", "stonk-tiny, a local directory, or a Hugging Face name"),
    _of_all("--max-seq-length", "model.max_seq_length", "tokens of prompt and answer together", int),
    _of_all("--gpu-memory-utilization", "model.gpu_memory_utilization", "share of GPU memory for vLLM, 0 to 1", float),
    _of_all("--cuda-devices", "cuda_devices", "CUDA_VISIBLE_DEVICES for every stage, e.g. 0 or 0,1"),
    _of_all("--results-dir", "results_dir", "where run directories are made (default: results)"),
    _of_all("--models-dir", "models_dir", "where adapters are published (default: models)"),
    _of_all("--folds", "data.folds", "walk-forward: train anew for each of so many test parts (default: 1)", int),
    _of_all("--horizon", "data.horizon", "closes to forecast (default: 10)", int),
    _of_all("--window", "data.window", "closes of context (default: 10)", int),
    _of_all("--seed", "seed", None, int),
    Option(
        "--report-to",
        ("report_to",),
        {"choices": ["trackio", "wandb", "mlflow", "tensorboard"], "help": "tracker that trainings report to as well"},
    ),
)
"""Options that change settings of any run."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that change settings."""
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--recipe", help=f"one of {', '.join(recipe_files())}, or a .yaml file (default: by the machine)"
    )
    for option in COMMON:
        group.add_argument(option.flag, **option.argument)
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other setting, e.g. --set grpo_first.steps=50",
    )
    flags = Counter(option.flag for contract in CONTRACTS for option in contract.options)
    for contract in CONTRACTS:
        own = parser.add_argument_group(f"the {contract.name} contract", contract.about)
        for option in contract.options:
            if flags[option.flag] > 0:  # the first of several contracts adds it, for all of them
                (group if flags[option.flag] > 1 else own).add_argument(option.flag, **option.argument)
                flags[option.flag] = 0


def overrides(args: argparse.Namespace, contract: Contract) -> dict[str, Any]:
    """Collects the settings that the options change, nested.

    Args:
        args: the parsed options.
        contract: whose settings they are.

    Raises:
        ConfigError: a `--set` is not `KEY=VALUE` with a value in YAML, or an option is one of another contract.
    """
    _require_own(args, contract)
    out: dict[str, Any] = {}
    if args.model is not None:  # what a recipe says of its own model does not hold for another
        out = _nested("model.knowledge_cutoff", None)
    for own in (*COMMON, *contract.options):
        value = getattr(args, own.name)
        if own.name == "stock" and value is not None:
            value = [_symbols(value)]
        given = value if isinstance(value, list) else [value] if value is not None else []
        for place, key in enumerate(own.settings if given else ()):
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


def _require_own(args: argparse.Namespace, contract: Contract) -> None:
    """Refuses options that another contract alone has."""
    own = {option.flag for option in contract.options}
    for other in CONTRACTS:
        for option in other.options:
            if option.flag not in own and getattr(args, option.name) is not None:
                raise ConfigError(
                    f"{option.flag} is an option of the {other.name} contract, and these settings are of the contract "
                    f"{contract.name}; a new run with --recipe {other.name} takes it"
                )


def _symbols(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _nested(key: str, value: Any) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    return {head: _nested(rest, value) if rest else value}


def resolve_config(args: argparse.Namespace) -> RunConfig:
    """Resolves a command line to settings.

    Without `--recipe`: `default` for the tiny model on a machine without a GPU, `qwen-1.5b` otherwise.

    Raises:
        ConfigError: see `load_config`.
    """
    recipe = args.recipe
    if recipe is None:
        tiny = args.model == "stonk-tiny" or (args.model is None and not gpu_present())
        recipe = "default" if tiny else "qwen-1.5b"
    return load_config(recipe, overrides(args, contract_of(load_config(recipe))))


def gpu_present() -> bool:
    """Tells whether an NVIDIA GPU answers, by the driver: importing torch would take seconds."""
    command = shutil.which("nvidia-smi")
    return command is not None and subprocess.run([command, "-L"], capture_output=True, check=False).returncode == 0
