"""Runs a flow from the terminal: reads options, shows a live table, prints the scores and the report's path."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from stonk_pipeline.commands import options
from stonk_pipeline.commands.parser import Parser, add_completion
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import open_run, run_at
from stonk_pipeline.errors import ConfigError, PipelineError, of_system
from stonk_pipeline.estimates.fit import require_room
from stonk_pipeline.models.readiness import require_libraries
from stonk_pipeline.pipeline.base_model import resettled
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import LOG, Run
from stonk_pipeline.pipeline.run import discard as discard_step
from stonk_pipeline.runs import interrupt, program
from stonk_pipeline.training.tracking import require_tracker
from tasks import begin, live, server

Flows = Mapping[str, Callable[[Any], str]]
"""Contract -> the flow that trains for it; takes the settings and returns the run's directory."""


def main(flows: Flows, argv: list[str] | None = None) -> int:
    """Runs the flow that a command line asks for; the exit code is 0 only if every stage is done."""
    parser = Parser(prog=program.pipeline(), description="Daily bars in, trained forecasters and a verdict out.")
    options.add_config_options(parser)
    parser.add_argument(
        "--continue", dest="run_dir", metavar="RUN_DIR", help="go on with a run: do what it has not done yet"
    )
    parser.add_argument(
        "--force", metavar="STAGES", default="", help="with --continue: run these again, as sft,compare"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show data, settings and an estimate of time and memory, and do nothing"
    )
    parser.add_argument(
        "--measure", action="store_true", help="with --dry-run: load the model, and time one step of each kind"
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: print all settings as JSON, alone")
    add_completion(parser, "run_pipeline.sh")
    args = parser.parse_args(argv)
    console = Console(stderr=args.json)  # whatever reads the settings gets nothing else
    try:
        if args.run_dir is not None and not args.dry_run:
            open_run(Path(args.run_dir))
            begin.take(Path(args.run_dir), program.pipeline())  # before its settings are read, or stages removed
        config = _config(args)
        contract = contract_of(config).name
        if contract not in flows:
            raise ConfigError(f"contract: {contract}: this flow is for another; use {program.pipeline()}")
        require_libraries()
        require_tracker(config.report_to)
        config = resettled(
            config, args.run_dir and Path(args.run_dir)
        )  # this, a wrong folder or symbol: said before a server is started
        _chosen(config, args.force)
        if args.dry_run:
            return _describe(config, console, as_json=args.json, measure=args.measure)
        for warning in require_room(config, contract_of(config)):
            console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
        for step in run_at(Path(), config).graph.values():
            step.files(config)
        discard(config, args.force)
        interrupt.raise_again()
        return _run(flows[contract], config, console)
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    except (PipelineError, OSError) as error:
        said = of_system(error) if isinstance(error, OSError) else error
        console.print(f"error: {said}", style="red", markup=False, highlight=False)
        return 1


def _describe(config: RunConfig, console: Console, *, as_json: bool, measure: bool) -> int:
    """Prints what a run would do, or all its settings as JSON; of a run that would be refused, the error alone."""
    from stonk_pipeline.commands.outlook import show
    from stonk_pipeline.commands.plan import look

    outlook = look(config, measure=measure, say=partial(console.print, style="dim", markup=False, highlight=False))
    if as_json:
        sys.stdout.write(f"{outlook.run.config.model_dump_json(indent=2)}\n")
    else:
        show(outlook, console)
    return 0


def _config(args: argparse.Namespace) -> RunConfig:
    """The settings of the options alone, or of a run that is continued with the options on top."""
    if args.json and not args.dry_run:
        raise ConfigError("--json goes with --dry-run: a run prints a table")
    if args.measure and not args.dry_run:
        raise ConfigError("--measure goes with --dry-run: a run shows the time that is left as it goes")
    if args.run_dir is None:
        return options.resolve_config(args)
    directory = Path(args.run_dir)
    if args.recipe is not None:
        raise ConfigError(f"--continue keeps the settings of {directory}; change single ones with --set, not --recipe")
    run = open_run(directory)
    changed = merge(options.overrides(args, run.contract), {"run_dir": str(directory.resolve())})
    return make_config(merge(run.config.model_dump(mode="json"), changed), source="command line")


def discard(config: RunConfig, stages: str) -> None:
    """Removes what chosen stages of a continued run left, so that they run again.

    Raises:
        ConfigError: no run is continued, or there is no such stage.
        BusyError: one of them is running.
    """
    for name in _chosen(config, stages):
        for run, step in open_run(Path(str(config.run_dir))).steps():
            if step == name:
                discard_step(run, step)


def _chosen(config: RunConfig, stages: str) -> list[str]:
    """The stages that `--force` names; errors as of `discard`."""
    chosen = [name.strip() for name in stages.split(",") if name.strip()]
    stages_there = contract_of(config).steps(config)
    unknown = [name for name in chosen if name not in stages_there]
    if unknown:
        raise ConfigError(f"--force {','.join(unknown)}: no such stage; there are {', '.join(stages_there)}")
    if chosen and config.run_dir is None:
        raise ConfigError("--force needs --continue RUN_DIR: a new run does every stage anyway")
    return chosen


def _run(flow: Callable[[Any], str], config: RunConfig, console: Console) -> int:
    begun = time.monotonic()
    try:
        with (
            interrupt.exit_when_terminated(),
            server.for_this_run(partial(console.print, style="dim")),
            live.shown(console, config),
        ):
            directory = Path(flow(config))
    except (KeyboardInterrupt, SystemExit) as ended:
        _say_how_to_go_on(console)
        return interrupt.INTERRUPTED if isinstance(ended, KeyboardInterrupt) else interrupt.TERMINATED
    except Exception as error:
        said = of_system(error) if isinstance(error, OSError) else error
        console.print(f"error: {said}", style="red", markup=False, highlight=False)
        if begin.opened is not None and not isinstance(error, PipelineError | OSError):  # nobody has foreseen it
            console.print(f"{type(error).__name__}; the traceback is in {begin.opened / LOG}", soft_wrap=True)
        _say_how_to_go_on(console)
        return 1
    minutes, seconds = divmod(time.monotonic() - begun, 60)
    finish(open_run(directory), console)
    console.print(f"{minutes:.0f} min {seconds:.0f} s", style="dim")
    return 0


def _say_how_to_go_on(console: Console) -> None:
    if begin.opened is not None:
        console.print("stages that are done stay done; to go on from here:", style="dim")
        console.print(program.pipeline(f"--continue {begin.opened}"), markup=False, highlight=False, soft_wrap=True)


def finish(run: Run, console: Console) -> None:
    """Prints the comparison, the verdict and where the report is."""
    run.contract.show(run.stage_dir(COMPARE), console)
    console.print(f"report: {run.directory / 'report.html'}", highlight=False, soft_wrap=True)
