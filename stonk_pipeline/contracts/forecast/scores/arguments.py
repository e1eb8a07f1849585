"""Options of the `evaluate` command."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stonk_pipeline.contracts.forecast.scores.matching import MIN_SHARE


def add_evaluate(commands: Any, add_config_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Adds the command to those of `python -m stonk_pipeline`."""
    evaluate = commands.add_parser("evaluate", help="score forecasts or a saved model by a published protocol")
    evaluate.add_argument("--protocol", choices=["vta"], required=True, help="vta: the table of arXiv 2511.08616")
    evaluate.add_argument(
        "--forecasts",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="CSV or Parquet with stock, date (of the last known close) and values (10 prices); repeatable",
    )
    evaluate.add_argument(
        "--min-share",
        type=_share,
        default=MIN_SHARE,
        metavar="SHARE",
        help=f"least share of the test windows that a file has forecasts for, 0 to 1 (default: {MIN_SHARE})",
    )
    evaluate.add_argument("--adapter", type=Path, help="adapter to ask, e.g. models/stonk-tiny/AAPL/grpo_lora_2nd")
    evaluate.add_argument("--base", action="store_true", help="ask the base model, without an adapter")
    add_config_options(evaluate)


def _share(text: str) -> float:
    """A share as an option's value; argparse names the option where it is none."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value
