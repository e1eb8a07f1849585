"""The command line: one subcommand a stage, without Prefect.

    python -m stonk_pipeline preprocess --run-dir results/mine --stock AAPL --data-dir my-bars
    python -m stonk_pipeline grpo-first --run-dir results/mine
    python -m stonk_pipeline sample --run-dir results/mine        # and so on: sft, grpo-second, compare, report

A stage that is already done for the same settings and inputs is left as it is; an interrupted training continues from
its last whole checkpoint. `./run_pipeline.sh` runs all of them as a Prefect flow, with the same functions.
"""

import argparse
import os
import sys
import traceback
from pathlib import Path

from stonk_pipeline import __version__
from stonk_pipeline.commands import models as registry
from stonk_pipeline.commands.options import add_config_options, overrides, resolve_config, with_wait
from stonk_pipeline.config.recipes import make_config, merge, of_forecasts
from stonk_pipeline.contracts.forecast.live import command as forward
from stonk_pipeline.contracts.forecast.scores import arguments
from stonk_pipeline.errors import ConfigError, PipelineError, of_system
from stonk_pipeline.files import locks
from stonk_pipeline.files.brief import brief
from stonk_pipeline.models.locations import local_model
from stonk_pipeline.pipeline import graph
from stonk_pipeline.pipeline import run as pipeline
from stonk_pipeline.pipeline.base_model import asked, resettled
from stonk_pipeline.pipeline.publishing import publish_missed
from stonk_pipeline.runs import capacity, child, interrupt
from stonk_pipeline.runs.manifest import StageResult


def build_parser() -> argparse.ArgumentParser:
    """The parser of `python -m stonk_pipeline`."""
    parser = argparse.ArgumentParser(
        prog="python -m stonk_pipeline", description="Stages of the pipeline, one at a time."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="STAGE")
    for step in (graph.FORECAST | graph.DIRECTION).values():
        command = commands.add_parser(step.name, help=step.title)
        command.add_argument("--run-dir", type=Path, required=True, help="directory of the run")
        command.add_argument("--settings", metavar="DIGEST", help=argparse.SUPPRESS)  # from the flow of the run
        add_config_options(command)
    report = commands.add_parser("report", help="write report.html of a compared run")
    report.add_argument("--run-dir", type=Path, required=True)
    runs = commands.add_parser("runs", help="set several compared runs side by side on one page")
    runs.add_argument("directories", nargs="+", type=Path, metavar="RUN_DIR")
    runs.add_argument("--out", type=Path, default=Path("results/runs.html"))
    arguments.add_evaluate(commands, add_config_options)
    test = commands.add_parser("test", help="test a saved model of the direction recipe on a run's test days")
    test.add_argument("--run-dir", type=Path, required=True, help="run whose settings and examples are used")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--adapter", type=Path, help="adapter to test (default: the run's last one)")
    which.add_argument("--base", action="store_true", help="test the base model")
    test.add_argument("--set", action="append", default=[], metavar="wait_minutes=MINUTES", help="longest wait")
    test.add_argument("--out", type=Path, help="receives test_results.log, tables and pictures (default: RUN_DIR/test)")
    data = commands.add_parser("data", help="what was ingested when, and what a run was trained on")
    data.add_argument("--data-dir", type=Path, default=Path("bars"), help="folder of bars (default: bars)")
    data.add_argument("--digest", help="SHA-256 of a file or of the folder, or its first 8 characters or more")
    data.add_argument("--run-dir", type=Path, help="run whose bars are looked up")
    joined = commands.add_parser("merge", help="write a model with an adapter merged in")
    joined.add_argument("--adapter", type=Path, required=True)
    joined.add_argument("--out", type=Path, required=True, help="directory of the new model")
    add_config_options(joined)
    build = commands.add_parser("build-tiny", help="rebuild the tiny model from nothing")
    build.add_argument("--contract", choices=["forecast", "direction"], default="forecast", help="what it answers")
    build.add_argument("--out", type=Path, required=True)
    build.add_argument("--start", type=Path, help="a tiny model that was built before, to train further")
    build.add_argument("--steps", type=int, default=1500)
    build.add_argument("--seed", type=int, default=0)
    registry.add_command(commands)
    forward.add_commands(commands, add_config_options)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command; the exit code is 0, or 1 with a message on standard error."""
    child.die_with_parent()
    args = build_parser().parse_args(argv)
    interrupt.raise_again()
    try:
        return _run(args)
    except KeyboardInterrupt:
        return interrupt.INTERRUPTED
    except PipelineError as error:
        return _report(error)
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


def _run(args: argparse.Namespace) -> int:
    if args.command == "build-tiny":
        from stonk_pipeline.contracts.direction.tiny import rebuild_calls
        from stonk_pipeline.contracts.forecast import tiny

        rebuild = rebuild_calls if args.contract == "direction" else tiny.rebuild
        loss = rebuild(args.out, steps=args.steps, seed=args.seed, progress=child.report_progress, start=args.start)
        sys.stdout.write(f"{args.out}: last loss {loss:.3f} nats a token\n")
        return 0
    if args.command == "runs":
        from stonk_pipeline.contracts.forecast.page.runs import write_runs_page

        sys.stdout.write(f"{write_runs_page(args.directories, args.out)}\n")
        return 0
    if args.command == "evaluate":
        return _evaluate(args)
    if args.command == "data":
        from stonk_pipeline.records.ingests import describe

        sys.stdout.write(f"{describe(args.data_dir, args.digest, args.run_dir)}\n")
        return 0
    if args.command == "merge":
        return _merge(args)
    if args.command == "test":
        return _test(args)
    if args.command == registry.NAME:
        return registry.main(args)
    if args.command in forward.NAMES:
        return forward.main(args, resolve_config)
    if args.command == "report":
        from stonk_pipeline.report.writing import write_report

        sys.stdout.write(f"{write_report(args.run_dir)}\n")
        return 0
    if child.has_parent():  # which holds the run
        return _run_step(args)
    run = _open(args)
    (run.folds or [run])[0].require_inputs(args.command)  # what is wrong is said before a directory is made
    with pipeline.alone_in(args.run_dir, args.command):
        return _run_step(args)


def _run_step(args: argparse.Namespace) -> int:
    run = _open(args)
    (run.folds or [run])[0].require_inputs(args.command)
    if args.settings is None:
        run = pipeline.write_run(run.directory, run.config)
    else:
        run.require_digest(args.settings)
    for fold in run.folds:
        _run_fold(fold, args.command)
    if run.folds and args.command != graph.POOL.name:
        return 0
    if run.config.cuda_devices is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = run.config.cuda_devices
    result = _execute(run, args.command)
    sys.stdout.write(f"{result.directory}: done; {brief(result.numbers)}\n")
    return 0


def _run_fold(fold: pipeline.Run, step: str) -> None:
    """A fold's step in a process of its own, so that all of its memory comes back before the next one."""

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    def report(done: int, total: int, note: str) -> None:
        child.report_progress(done, total, f"{fold.title(step)}: {note}")

    if fold.finished(step) is None:
        arguments = [step, "--run-dir", str(fold.directory), "--settings", fold.digest]
        devices, wait = pipeline.devices(fold.config, step), fold.config.wait_minutes * 60
        with locks.accelerator(devices, f"{step} of {fold.directory}", wait=wait, say=say) as held:
            child.run_child(arguments, fold.config, fold.directory / pipeline.LOG, report, say, locks=held)
    else:
        publish_missed(fold, step)


def _execute(run: pipeline.Run, step: str) -> StageResult:
    """Runs a step on an accelerator of its own; a flow that started this process holds the accelerator already."""
    devices = [] if child.has_parent() or run.finished(step) else pipeline.devices(run.config, step)

    def say(message: str) -> None:
        sys.stderr.write(f"{message}\n")

    wait = run.config.wait_minutes * 60
    try:
        with locks.accelerator(devices, f"{step} of {run.directory}", wait=wait, say=say):
            return run.execute(step, child.report_progress)
    except Exception as error:
        known = capacity.explain(error, step, run.directory)
        if known is None:
            raise
        raise known from error


def _evaluate(args: argparse.Namespace) -> int:
    from stonk_pipeline.contracts.forecast.evaluate import evaluate

    if args.adapter is not None:
        _require_adapter(args.adapter)
    files = {path.stem: path for path in args.forecasts}
    ask_model = args.base or args.adapter is not None
    config = of_forecasts(resolve_config(args), "evaluate --protocol vta")
    rows = evaluate(
        asked(config, args.adapter) if ask_model else config,
        files,
        args.adapter,
        ask_model,
        child.report_progress,
        least=args.min_share,
        say=lambda note: sys.stderr.write(f"{note}\n"),
    )
    sys.stdout.write(f"{'forecasts':<24} {'MSE':>8} {'MAE':>8} {'windows':>8} {'share':>7}\n")
    for row in rows:
        sys.stdout.write(f"{row.name:<24} {row.mse:>8.4f} {row.mae:>8.4f} {row.windows:>8} {row.share:>7.1%}\n")
    return 0


def _test(args: argparse.Namespace) -> int:
    from stonk_pipeline.contracts.direction.scores.stage import evaluate_calls
    from stonk_pipeline.contracts.direction.scores.summary import LOG
    from stonk_pipeline.registry.entries import last_training

    run = pipeline.open_run(args.run_dir)
    if run.config.contract != "direction":
        raise ConfigError(f"{args.run_dir}: not a run of the direction recipe; for forecasts there is evaluate")
    adapter = None if args.base else args.adapter or run.stage_dir(last_training(run)) / pipeline.ADAPTER
    out = args.out or run.directory / "test"
    examples, wait = run.stage_dir("examples"), with_wait(run.config, args.set).wait_minutes
    evaluate_calls(run.config.calls_stage("two"), examples, adapter, out, child.report_progress, wait_minutes=wait)
    sys.stdout.write(f"{(out / LOG).read_text(encoding='utf-8')}\n{out / LOG}\n")
    return 0


def _merge(args: argparse.Namespace) -> int:
    from stonk_pipeline.commands.merge import merge

    _require_adapter(args.adapter)
    merge(resolve_config(args).model, args.adapter, args.out)
    sys.stdout.write(f"{args.out}\n")
    return 0


def _require_adapter(adapter: Path) -> None:
    if not (adapter / "adapter_config.json").is_file():
        raise ConfigError(f"{adapter}: no adapter there (it has no adapter_config.json)")


def _open(args: argparse.Namespace) -> pipeline.Run:
    """The run of `--run-dir`, its base model checked where a step loads it, or where it is on this machine.

    Nothing is written yet: a run whose stages do not fit the options keeps its settings.
    """
    run = _as_asked(args)
    if args.settings is None and (run.loads_model(args.command) or local_model(run.config.model) is not None):
        return pipeline.Run(run.directory, resettled(run.config, run.directory))
    return run  # of a flow, which has checked it


def _as_asked(args: argparse.Namespace) -> pipeline.Run:
    """The run as its config.json says, changed by the options; made by the first step or a recipe."""
    directory: Path = args.run_dir
    if (directory / pipeline.CONFIG).is_file() and args.recipe is None:
        run = pipeline.open_run(directory)
        changed = overrides(args)
        if not changed:
            return run
        config = make_config(merge(run.config.model_dump(mode="json"), changed), source="command line")
    elif args.command == "preprocess" or args.recipe is not None:
        config = resolve_config(args)
    else:
        return pipeline.open_run(directory)
    return pipeline.Run(directory, config)
