"""A flow from the terminal: options in, a live table while it runs, a short table and the report's path at the end."""

import argparse
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stonk_pipeline import cli, pipeline
from stonk_pipeline.config import PipelineConfig
from stonk_pipeline.errors import PipelineError
from stonk_pipeline.evaluation.results import Comparison, read_comparison
from tasks import board


def main(flow: Callable[[PipelineConfig], str], argv: list[str] | None = None) -> int:
    """Runs the flow with the settings of a command line; the exit code is 0 only if every stage is done."""
    parser = argparse.ArgumentParser(
        prog="./run_pipeline.sh", description="Daily bars in, trained forecasters and a verdict out."
    )
    cli.add_config_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="show settings, data and an estimate, and load no model")
    args = parser.parse_args(argv)
    console = Console()
    try:
        config = cli.resolve_config(args)
        if args.dry_run:
            from stonk_pipeline.plan import describe

            describe(config, console)
            return 0
        pipeline.bar_files(config)  # a wrong folder or symbol is said before a server is started
        return _run(flow, config, console)
    except PipelineError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1


def _run(flow: Callable[[PipelineConfig], str], config: PipelineConfig, console: Console) -> int:
    begun = time.monotonic()
    if not os.environ.get("PREFECT_API_URL"):
        console.print("starting a Prefect server for this run (set PREFECT_API_URL to use your own)", style="dim")
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and console.is_terminal:
                handler.setLevel(logging.ERROR)  # the table says it; pipeline.log has all of it
    try:
        with board.shown(console, config):
            directory = Path(flow(config))
    except PipelineError:
        raise
    except Exception as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1
    minutes, seconds = divmod(time.monotonic() - begun, 60)
    finish(read_comparison(directory / pipeline.STEPS["compare"].directory), directory, console)
    console.print(f"{minutes:.0f} min {seconds:.0f} s", style="dim")
    return 0


def finish(comparison: Comparison, directory: Path, console: Console) -> None:
    """Prints the comparison, the verdict and where the report is."""
    table = Table(box=None, pad_edge=False)
    headings = ("forecaster", "MAE, % of price", "skill over persistence", "interval", "one answer", "of attainable")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "forecaster" else "right")
    for row in comparison.rows:
        table.add_row(
            row.name,
            f"{row.mae:.3f}",
            f"{row.skill:+.3f}",
            f"{row.skill_low:+.3f} to {row.skill_high:+.3f}",
            f"{row.single_skill:+.3f}",
            "" if row.attained is None else f"{row.attained:.0%}",
        )
    console.print(table)
    console.print(f"\n{comparison.verdict.finding}: {comparison.verdict.sentence}", style="bold", highlight=False)
    console.print(f"report: {directory / 'report.html'}", highlight=False, soft_wrap=True)
