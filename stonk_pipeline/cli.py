"""Runs any step from the command line, one subcommand a step, without Prefect.

    python -m stonk_pipeline preprocess --run-dir results/mine --stock AAPL --data-dir my-bars
    python -m stonk_pipeline warm-up --run-dir results/mine
    python -m stonk_pipeline grpo-first --run-dir results/mine    # and so on: sample, sft, grpo-second, compare, report

A stage that is already done for the same settings and inputs is left as it is; an interrupted training continues from
its last whole checkpoint. `./run_pipeline.sh` runs all of them as a Prefect flow, with the same functions.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from stonk_pipeline import __version__
from stonk_pipeline.commands import export, models
from stonk_pipeline.commands.options import EVERY, add_config_options, overrides, resolve_config
from stonk_pipeline.commands.parser import Parser, add_completion
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contract import Command
from stonk_pipeline.contracts import CONTRACTS, contract_of
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import open_run, run_at, write_run
from stonk_pipeline.errors import ConfigError, PipelineError, StageError, of_import, of_system
from stonk_pipeline.files import locks
from stonk_pipeline.files.brief import words
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.models.locations import local_model
from stonk_pipeline.pipeline.base_model import resettled
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.publishing import publish_missed
from stonk_pipeline.pipeline.run import CONFIG, LOG, Run, alone_in, require_run_dir
from stonk_pipeline.runs import capacity, child, interrupt, program
from stonk_pipeline.runs.manifest import StageResult

PROGRAM = "stonk-pipeline"
OF_TRAININGS = ("--folds", "--results-dir")
"""Options that mean nothing to a command that asks a trained model."""


def build_parser(flows: Mapping[str, str] | None = None) -> Parser:
    """Builds the parser of all commands; each stores the function that runs it as `run`.

    Args:
        flows: commands that the installed program runs itself, to be listed: name -> what it does.
    """
    parser = Parser(
        prog=program.stages(),
        description=(
            "The whole pipeline, its server, or one stage. " if flows else "Stages of the pipeline, one at a time. "
        )
        + "COMMAND --help lists the options of each.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_completion(parser, PROGRAM)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
        command.set_defaults(run=run)
        return command

    for name, about in (flows or {}).items():
        commands.add_parser(name, help=about)
    parser.groups = {"whole runs": list(flows)} if flows else {}
    parser.groups |= {f"steps of a run of the {each.name} contract": list(each.graph) for each in CONTRACTS}
    parser.groups |= {
        f"models and runs of the {each.name} contract": [own.name for own in each.commands] for each in CONTRACTS
    }
    steps = {step.name: step for contract in CONTRACTS for step in contract.graph.values()}
    for step in steps.values():
        command = add(step.name, step.title, _step)
        command.add_argument("--run-dir", type=Path, metavar="DIR", required=True, help="directory of the run")
        command.add_argument("--settings", metavar="DIGEST", help=argparse.SUPPRESS)  # from the flow of the run
        add_config_options(command, [contract for contract in CONTRACTS if step.name in contract.graph])
    report = add("report", "write report.html of a compared run", _write_report)
    report.add_argument("--run-dir", type=Path, metavar="DIR", required=True, help="directory of the run")
    for contract in CONTRACTS:
        settings = partial(add_config_options, contracts=[contract], leave_out=OF_TRAININGS)
        for own in contract.commands:
            own.add_options(add(own.name, own.help, partial(_own, own)), settings)
    data = add("data", "what was ingested when, and what a run was trained on", _data)
    data.add_argument(
        "--data-dir", type=Path, metavar="DIR", default=Path("bars"), help="folder of bars (default: bars)"
    )
    data.add_argument("--digest", help="SHA-256 of a file or of the folder, or its first 8 characters or more")
    data.add_argument("--run-dir", type=Path, metavar="DIR", help="run whose bars are looked up")
    joined = add("merge", "write a model with an adapter merged in", _merge)
    joined.add_argument("--adapter", type=Path, metavar="DIR", required=True, help="the adapter")
    joined.add_argument("--out", type=Path, metavar="DIR", required=True, help="directory of the new model")
    add_config_options(joined, leave_out=[option.flag for option in EVERY if option.flag != "--model"])
    builders = {contract.name: contract.build_tiny for contract in CONTRACTS if contract.build_tiny is not None}
    build = add("build-tiny", "rebuild the tiny model from nothing", partial(_build_tiny, builders))
    build.add_argument("--contract", choices=list(builders), default=next(iter(builders)), help="what it answers")
    build.add_argument("--out", type=Path, metavar="DIR", required=True, help="directory of the new model")
    build.add_argument("--start", type=Path, metavar="DIR", help="a tiny model that was built before, to train further")
    build.add_argument("--steps", type=int, metavar="N", default=1500, help="of the optimizer (default: 1500)")
    build.add_argument("--seed", type=int, metavar="N", default=0, help="of all that is drawn (default: 0)")
    export.add_command(commands)
    models.add_command(commands)
    return parser


def main(argv: list[str] | None = None, flows: Mapping[str, str] | None = None) -> int:
    """Runs a command; the exit code is 0, or 1 with a message on standard error."""
    child.hand_on_warnings()
    child.die_with_parent()
    args = build_parser(flows).parse_args(argv)
    interrupt.raise_again()
    try:
        code: int = args.run(args)
        return code
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    except PipelineError as error:
        return _report(error)
    except ModuleNotFoundError as error:
        return _report(of_import(error))
    except OSError as error:
        if child.has_parent():
            traceback.print_exc()  # for the run's log
        return _report(of_system(error))


def _report(error: PipelineError) -> int:
    if child.has_parent():
        child.report_error(error)
    else:
        sys.stderr.write(f"error: {error}\n")
    return 1


def _own(command: Command, args: argparse.Namespace) -> int:
    return command.run(args, resolve_config)


def _build_tiny(builders: Mapping[str, Callable[..., float]], args: argparse.Namespace) -> int:
    build = builders[args.contract]
    loss = build(args.out, steps=args.steps, seed=args.seed, progress=child.report_progress, start=args.start)
    sys.stdout.write(f"{args.out}: last loss {loss:.3f} nats a token\n")
    return 0


def _data(args: argparse.Namespace) -> int:
    from stonk_pipeline.records.ingests import describe

    sys.stdout.write(f"{describe(args.data_dir, args.digest, args.run_dir)}\n")
    return 0


def _write_report(args: argparse.Namespace) -> int:
    from stonk_pipeline.commands.report import write_report

    sys.stdout.write(f"{write_report(args.run_dir)}\n")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from stonk_pipeline.commands.merge import merge as merge_adapter
    from stonk_pipeline.models.adapters import require_adapter

    require_adapter(args.adapter)
    merge_adapter(resolve_config(args).model, args.adapter, args.out)
    sys.stdout.write(f"{args.out}\n")
    return 0


def _step(args: argparse.Namespace) -> int:
    if child.has_parent():  # which holds the run
        return _run_step(args)
    run = _open(args)
    (run.folds or [run])[0].require_inputs(args.command)  # what is wrong is said before a directory is made
    with alone_in(args.run_dir, args.command):
        return _run_step(args)


def _run_step(args: argparse.Namespace) -> int:
    run = _open(args)
    (run.folds or [run])[0].require_inputs(args.command)
    if args.settings is None:
        run = write_run(run.directory, run.config)
    else:
        run.require_digest(args.settings)
    for fold in run.folds:
        _run_fold(fold, args.command)
    if run.folds and args.command != COMPARE:
        return 0
    if run.config.cuda_devices is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = run.config.cuda_devices
    result = _execute(run, args.command)
    sys.stdout.write(f"{result.directory}: done; {words(result.numbers)}\n")
    from stonk_pipeline.estimates import notices

    for warning in notices.after(run, args.command):
        child.report_warning(warning)
    return 0


def _run_fold(fold: Run, step: str) -> None:
    """A fold's step in a process of its own, so that all of its memory comes back before the next one."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    def report(done: int, total: int, note: str) -> None:
        child.report_progress(done, total, f"{fold.title(step)}: {note}")

    if fold.finished(step) is None:
        arguments = [step, "--run-dir", str(fold.directory), "--settings", fold.digest]
        devices, wait = fold.devices(step), fold.config.wait_minutes * 60
        with locks.accelerator(devices, f"{step} of {fold.directory}", wait=wait, say=say) as held:
            child.run_child(
                arguments,
                fold.config,
                fold.directory / LOG,
                report,
                say,
                warn=child.report_warning,
                locks=held,
                smaller=fold.spec(step).smaller,
            )
    else:
        publish_missed(fold, step)


def _execute(run: Run, step: str) -> StageResult:
    """Runs a step on an accelerator of its own; a flow that started this process holds the accelerator already."""
    if run.loads_model(step):
        from stonk_pipeline.estimates import notices  # stages that make data are told apart by less code

        for warning in notices.before(run, step):
            child.report_warning(warning)
    devices = [] if child.has_parent() or run.finished(step) else run.devices(step)
    wait = run.config.wait_minutes * 60
    try:
        with locks.accelerator(devices, f"{step} of {run.directory}", wait=wait, say=locks.on_stderr):
            return run.execute(step, child.report_progress)
    except Exception as error:
        known = capacity.explain(error, step, run.directory, run.spec(step).smaller)
        if known is None:
            raise
        raise known from error


def _open(args: argparse.Namespace) -> Run:
    """The run of `--run-dir`, its base model checked where a step loads it, or where it is on this machine.

    Nothing is written yet: a run whose stages do not fit the options keeps its settings.
    """
    run = _as_asked(args)
    if args.settings is None and (run.loads_model(args.command) or local_model(run.config.model) is not None):
        return run_at(run.directory, resettled(run.config, run.directory))
    return run  # of a flow, which has checked it


def _as_asked(args: argparse.Namespace) -> Run:
    """The run as its config.json says, changed by the options; made by the first step or a recipe."""
    directory: Path = args.run_dir
    if (directory / CONFIG).is_file() and args.recipe is None:
        run = open_run(directory)
        changed = overrides(args, run.contract)
        if not changed:
            return run
        config = make_config(merge(run.config.model_dump(mode="json"), changed), source="command line")
    elif args.command == "preprocess" or args.recipe is not None:
        config = resolve_config(args)
        if (directory / CONFIG).is_file():
            require_run_dir(directory)
            there = read_table(directory / CONFIG, StageError, "give another --run-dir").get("contract")
            if there in {contract.name for contract in CONTRACTS} - {contract_of(config).name}:
                raise ConfigError(
                    f"{directory}: a run of the {there} contract, and these settings are of another; give another "
                    "--run-dir"
                )
    else:
        return open_run(directory)
    return run_at(directory, config)
