"""Runs an operations flow from the terminal, with its settings as options, one a field."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import State

from stonk_pipeline.commands.parser import Parser
from stonk_pipeline.config.base import Settings
from stonk_pipeline.files.brief import words
from stonk_pipeline.files.yaml import parse_yaml
from stonk_pipeline.runs import interrupt, program
from tasks import server

LISTS = {"symbols", "stocks"}
"""Settings that are written with commas."""


def main(flow: Callable[..., Any], settings: type[Settings], description: str, argv: list[str] | None = None) -> int:
    """Runs a flow with the settings of a command line; the exit code is 0 only if it ends as completed."""
    parser = Parser(
        prog=program.flow(flow.__name__),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in settings.model_fields.items():
        text = " ".join((field.description or "").split()).replace("%", "%%")
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar="VALUE", help=f"{text} (default: {words(field.default) or 'none'})"
        )
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    for name in LISTS & given.keys():
        given[name] = [part.strip() for part in given[name].split(",")]
    try:
        if "overrides" in given:
            given["overrides"] = parse_yaml(given["overrides"], "--overrides")
        config = settings.model_validate(given)
        interrupt.raise_again()
        with server.for_this_run(lambda line: sys.stderr.write(f"{line}\n")):
            state: State[Any] = flow(config, return_state=True)
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    except Exception as error:  # of the flow's own errors its state tells
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{state.name}: {state.message or state.result(raise_on_failure=False)}\n")
    return 0 if state.is_completed() else 1
