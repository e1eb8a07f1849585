"""Defines the command-line options and the subcommand that only the direction contract has."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stonk_pipeline.contract import Command, Later, Option
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.yaml import parse_yaml

DIVERSITY = 0.2
"""Weight of the diversity reward where `--diverse-predictions` asks for it."""


def _one_or_two(text: str) -> list[Any]:
    try:
        values = [parse_yaml(part, "") for part in text.split(",")]
        values = [float(value) if isinstance(value, str) else value for value in values]  # YAML reads 1e-5 as a text
    except (ConfigError, ValueError):
        values = []
    if len(values) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give one, or two with a comma (stage I, stage II)")
    return values


def _stages(flag: str, setting: str, help: str) -> Option:
    """An option of both stages: two values with a comma are for stage I and stage II."""
    settings = (f"stage_one.{setting}", f"stage_two.{setting}")
    return Option(
        flag,
        settings,
        {"type": _one_or_two, "metavar": "X[,Y]", "help": f"{help}; two with a comma are for stages I and II"},
    )


OPTIONS = (
    Option("--news", ("news",), {"metavar": "PATH", "help": "JSONL file of headlines, or a folder of them"}),
    Option("--companies", ("companies",), {"metavar": "FILE", "help": "JSON file of company facts"}),
    Option(
        "--records",
        ("records",),
        {"metavar": "PATH", "help": "records with prices, news and facts: a file, or a Hugging Face dataset"},
    ),
    Option("--gate", ("gate.mode",), {"choices": ["report", "strict"], "help": "what a failed gate to stage II does"}),
    Option(
        "--max-train-samples",
        ("examples.max_train_samples",),
        {"type": int, "metavar": "N", "help": "most training examples (default: 2000)"},
    ),
    Option(
        "--lora-rank",
        ("stage_one.lora.rank", "stage_two.lora.rank"),
        {"type": int, "metavar": "N", "help": "rank of the adapters that are trained"},
    ),
    _stages("--epochs", "epochs", "passes over the examples, instead of a number of steps"),
    _stages("--batch-size", "prompts_per_step", "questions in one optimizer step"),
    _stages("--lr", "learning_rate", "learning rate"),
    _stages("--kl-coef", "beta", "weight of the KL divergence from the starting model"),
    _stages("--save-steps", "save_steps", "optimizer steps between checkpoints"),
    Option(
        "--diverse-predictions",
        ("stage_one.rewards.diversity", "stage_two.rewards.diversity"),
        {
            "action": "store_const",
            "const": [DIVERSITY],
            "help": f"penalise a one-sided model (a reward of weight {DIVERSITY})",
        },
    ),
)


def _test(test: argparse.ArgumentParser, add_settings: Callable[[argparse.ArgumentParser], None]) -> None:
    test.add_argument("--run-dir", type=Path, required=True, help="run whose settings and examples are used")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--adapter", type=Path, help="adapter to test (default: the run's last one)")
    which.add_argument("--base", action="store_true", help="test the base model")
    test.add_argument("--set", action="append", default=[], metavar="wait_minutes=MINUTES", help="longest wait")
    test.add_argument("--out", type=Path, help="receives test_results.log, tables and pictures (default: RUN_DIR/test)")


COMMANDS = (
    Command(
        "test",
        "test a saved model of the direction recipe on a run's test days",
        _test,
        Later(f"{__name__.rpartition('.')[0]}.scores.command:test"),
    ),
)
