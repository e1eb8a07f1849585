"""Defines the subcommands that only the forecast contract has; what they do is imported when they run."""

import argparse
from collections.abc import Callable
from pathlib import Path

from stonk_pipeline.contract import Command, Later
from stonk_pipeline.contracts.forecast.scores.matching import MIN_SHARE

AddSettings = Callable[[argparse.ArgumentParser], None]
AddOptions = Callable[[argparse.ArgumentParser, AddSettings], None]


def _evaluate(evaluate: argparse.ArgumentParser, add_settings: AddSettings) -> None:
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
    add_settings(evaluate)


def _share(text: str) -> float:
    """A share as an option's value; argparse names the option where it is none."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _runs(runs: argparse.ArgumentParser, add_settings: AddSettings) -> None:
    runs.add_argument("directories", nargs="+", type=Path, metavar="RUN_DIR")
    runs.add_argument("--out", type=Path, default=Path("results/runs.html"))


def _forecast(made: argparse.ArgumentParser, add_settings: AddSettings) -> None:
    made.add_argument("--adapter", type=Path, help="adapter to ask (default: the champion of the registry)")
    made.add_argument("--base", action="store_true", help="ask the base model, without an adapter")
    made.add_argument("--key", metavar="MODEL/STOCK", help="which champion, where several know the stock")
    made.add_argument("--calendar", help="exchange calendar, ISO 10383 (default: XNYS, or 24/7 for bars of all days)")
    made.add_argument("--samples", type=int, default=64, help="answers for the quantiles (default: 64)")
    made.add_argument("--forecasts-dir", default="forecasts", help="where forecasts and the log lie")
    page = made.add_mutually_exclusive_group()
    page.add_argument("--page", action="store_true", help="then write index.html beside the log: fans and the record")
    page.add_argument("--page-only", action="store_true", help="write that page from the log alone; no model is asked")
    add_settings(made)


def _score(scored: argparse.ArgumentParser, add_settings: AddSettings) -> None:
    scored.add_argument("--data-dir", required=True, help="folder of CSV or Parquet files, one a stock")
    scored.add_argument("--forecasts-dir", type=Path, default=Path("forecasts"))
    _folder_of_records(scored, "models", "with a registry")


def _verify(verified: argparse.ArgumentParser, add_settings: AddSettings) -> None:
    verified.add_argument("--forecasts-dir", type=Path, default=Path("forecasts"))
    verified.add_argument("--head", help="a digest that was published once; it must still be in the log")
    _folder_of_records(verified, "data", "that ingests fill", "bars")
    _folder_of_records(verified, "models", "with a registry")


def _folder_of_records(command: argparse.ArgumentParser, option: str, what: str, default: str = "models") -> None:
    command.add_argument(
        f"--{option}-dir",
        type=Path,
        action="append",
        help=f"folder {what}, whose record is compared with the log; repeatable (default: {default})",
    )


def _command(name: str, help: str, options: AddOptions, run: str) -> Command:
    return Command(name, help, options, Later(f"{__name__.rpartition('.')[0]}.{run}"))


COMMANDS = (
    _command("runs", "set several compared runs side by side on one page", _runs, "page.runs:command"),
    _command("evaluate", "score forecasts or a saved model by a published protocol", _evaluate, "evaluate:command"),
    _command("forecast", "forecast the next sessions, and log it before they come", _forecast, "live.command:forecast"),
    _command("score", "mark logged forecasts whose outcome is there", _score, "live.command:score"),
    _command("verify", "prove that no logged forecast was changed afterwards", _verify, "live.command:verify"),
)
