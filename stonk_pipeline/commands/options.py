"""Adds the command-line options that change settings, and turns them into settings."""

import argparse
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contract import Contract, Option
from stonk_pipeline.contracts import CONTRACTS, contract_of
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import DEEPEST, shown
from stonk_pipeline.files.yaml import parse_yaml
from stonk_pipeline.models.packaged import PACKAGED


def _of_all(flag: str, setting: str, help: str, metavar: str, kind: type = str) -> Option:
    return Option(flag, (setting,), {"type": kind, "help": help, "metavar": metavar})


GROUPS = {
    "data": (
        _of_all("--stock", "data.stocks", "one symbol, several with commas, or all (default: all)", "SYMBOLS"),
        _of_all(
            "--data-dir",
            "data.data_dir",
            "folder of CSV or Parquet files, one a stock, or one file (default: the generated market)",
            "DIR",
        ),
        _of_all("--window", "data.window", "closes of context (default: 10)", "N", int),
        _of_all("--horizon", "data.horizon", "closes to forecast (default: 10)", "N", int),
        _of_all(
            "--folds", "data.folds", "walk-forward: train anew for each of so many test parts (default: 1)", "N", int
        ),
    ),
    "model": (
        _of_all(
            "--model",
            "model.name",
            "stonk-tiny, smollm2, gemma-270m, a local directory, or a Hugging Face name",
            "NAME",
        ),
        _of_all("--max-seq-length", "model.max_seq_length", "tokens of prompt and answer together", "N", int),
        _of_all(
            "--gpu-memory-utilization",
            "model.gpu_memory_utilization",
            "share of GPU memory for vLLM, 0 to 1",
            "SHARE",
            float,
        ),
    ),
    "run": (
        _of_all("--seed", "seed", "of all that is drawn at random, the generated bars excepted (default: 0)", "N", int),
        _of_all("--cuda-devices", "cuda_devices", "CUDA_VISIBLE_DEVICES for every stage, e.g. 0 or 0,1", "IDS"),
        _of_all("--results-dir", "results_dir", "where run directories are made (default: results)", "DIR"),
        _of_all("--models-dir", "models_dir", "where adapters are published (default: models)", "DIR"),
        Option(
            "--report-to",
            ("report_to",),
            {
                "choices": ["trackio", "wandb", "mlflow", "tensorboard"],
                "help": "tracker that trainings report to as well",
            },
        ),
    ),
}
"""Options that change settings of any run, by what they are about."""
COMMON = tuple(option for group in GROUPS.values() for option in group)
EVERY = (*COMMON, *(option for contract in CONTRACTS for option in contract.options))
"""With those of single contracts."""


def add_config_options(
    parser: argparse.ArgumentParser,
    contracts: Sequence[Contract] = CONTRACTS,
    leave_out: Collection[str] = (),
) -> None:
    """Adds the options that change settings.

    Args:
        parser: of a command.
        contracts: those that the command is for; options that only others have are not known to it.
        leave_out: options that mean nothing to the command.
    """
    flags = Counter(option.flag for contract in CONTRACTS for option in contract.options)
    every = [option for contract in contracts for option in contract.options]
    shared = {option.flag: option for option in reversed(every) if flags[option.flag] > 1}  # the first one's words
    groups = {
        "settings": (),
        **GROUPS,
        "model": (*GROUPS["model"], *shared.values()),
        **{
            f"{contract.name} contract: {contract.about}": [one for one in contract.options if flags[one.flag] == 1]
            for contract in contracts
        },
    }
    folders = {contract.recipes for contract in contracts}
    recipes = ", ".join(name for name, path in recipe_files().items() if path.parent in folders)
    for title, options in groups.items():
        taken = [option for option in options if option.flag not in leave_out]
        if not taken and title != "settings":
            continue
        group = parser.add_argument_group(title)
        if title == "settings":
            text = f"{recipes}, a .yaml file, or the directory of a run (default: by the machine)"
            group.add_argument("--recipe", metavar="NAME", help=text)
            text = "any other setting, e.g. --set grpo_first.steps=50; repeatable"
            group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
        for option in taken:
            group.add_argument(option.flag, **option.argument)
    parser.set_defaults(**{option.name: None for option in EVERY})  # those that are left out, too


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
        out = nested("model.knowledge_cutoff", None)
    for own in (*COMMON, *contract.options):
        value = getattr(args, own.name)
        if own.name == "stock" and value is not None:
            value = [_symbols(value)]
        given = value if isinstance(value, list) else [value] if value is not None else []
        for place, key in enumerate(own.settings if given else ()):
            out = merge(out, nested(key, given[min(place, len(given) - 1)]))
    for text in args.set:
        out = merge(out, one_setting(text, f"--set {shown(text)}"))
    model = out.get("model")
    if isinstance(model, dict) and "name" in model:  # a commit is one of a model
        out = merge(nested("model.revision", None), out)
    return out


def one_setting(text: str, place: str) -> dict[str, Any]:
    """Reads `KEY=VALUE` and returns the setting, nested.

    Args:
        text: a dotted name, and a value in YAML.
        place: where it was given, for the message.

    Raises:
        ConfigError: it is something else.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")) or key.count(".") >= DEEPEST:
        raise ConfigError(f"{place}: write it as KEY=VALUE, e.g. grpo_first.steps=50")
    return nested(key, parse_yaml(value, place))


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


def nested(key: str, value: Any) -> dict[str, Any]:
    """Returns a setting as a table in tables, from its dotted name."""
    head, _, rest = key.partition(".")
    return {head: nested(rest, value) if rest else value}


def resolve_config(args: argparse.Namespace) -> RunConfig:
    """Resolves a command line to settings.

    Without `--recipe`: that of the model's own name, if there is one; `default` for the tiny model on a machine without
    a GPU; `qwen-1.5b` otherwise.

    Raises:
        ConfigError: see `load_config`.
    """
    recipe = args.recipe
    if recipe is None and args.model in PACKAGED:
        recipe, args = args.model, argparse.Namespace(**vars(args) | {"model": None})
    if recipe is None:
        tiny = args.model == "stonk-tiny" or (args.model is None and not gpu_present())
        recipe = "default" if tiny else "qwen-1.5b"
    return load_config(recipe, overrides(args, contract_of(load_config(recipe))))


def gpu_present() -> bool:
    """Tells whether an NVIDIA GPU answers, by the driver: importing torch would take seconds."""
    command = shutil.which("nvidia-smi")
    return command is not None and subprocess.run([command, "-L"], capture_output=True, check=False).returncode == 0
