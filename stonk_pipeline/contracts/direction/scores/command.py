"""Runs `python -m stonk_pipeline test`: scores a saved model on the test days of a direction run."""

import argparse
import sys

from stonk_pipeline.contract import Resolve
from stonk_pipeline.contracts.direction.scores.stage import evaluate_calls
from stonk_pipeline.contracts.direction.scores.summary import LOG
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.direction.steps import EXAMPLES
from stonk_pipeline.contracts.recipes import with_wait
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.pipeline.run import ADAPTER
from stonk_pipeline.registry.entries import last_training
from stonk_pipeline.runs.child import report_progress


def test(args: argparse.Namespace, resolve: Resolve) -> int:
    """Runs `test`, and prints the scores."""
    run = open_run(args.run_dir)
    config = run.config
    if not isinstance(config, DirectionConfig):
        raise ConfigError(f"{args.run_dir}: not a run of the direction recipe; for forecasts there is evaluate")
    adapter = None if args.base else args.adapter or run.stage_dir(last_training(run)) / ADAPTER
    out = args.out or run.directory / "test"
    wait = with_wait(config, args.set).wait_minutes
    evaluate_calls(config.calls_stage("two"), run.stage_dir(EXAMPLES), adapter, out, report_progress, wait_minutes=wait)
    sys.stdout.write(f"{(out / LOG).read_text(encoding='utf-8')}\n{out / LOG}\n")
    return 0
