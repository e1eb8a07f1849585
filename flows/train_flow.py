"""Trains three forecasting models from daily bars and judges them, as a Prefect flow.

    ./run_pipeline.sh                       # the generated market and the tiny model
    ./run_pipeline.sh --folds 3             # walk-forward: trained three times along time, compared on all test parts
    python -m flows.train_flow --help       # every option

Each stage is a task whose result is persisted. A retry of the run continues in the same directory and runs only what
is not done; a stage counts as done only if its files are whole.
"""

from datetime import UTC
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.files import roots
from stonk_pipeline.pipeline.graph import COMPARE
from tasks.begin import begin_run
from tasks.promotion import promote_model
from tasks.steps import report, run_steps, step_result


def count_trials(config: PipelineConfig) -> PipelineConfig:
    """Settings whose deflated Sharpe ratio allows for all that was tried before, and not for this run's models alone.

    Counted up to the scheduled start of the flow run, so that a retry counts the same.
    """
    from stonk_pipeline.contracts.forecast.scores.evidence import MODELS
    from stonk_pipeline.registry.store import strategies_tried

    roots.check(config)  # the registry is read before the run begins
    before = flow_run.scheduled_start_time.astimezone(UTC).isoformat(timespec="microseconds")
    tried = strategies_tried(run_at(Path(), config), before)
    if config.comparison.trials is not None or not tried:
        return config
    comparison = config.comparison.model_copy(update={"trials": tried + len(MODELS)})
    return config.model_copy(update={"comparison": comparison})


@flow(name="train", flow_run_name="train-{config.stock_name}", persist_result=True, result_serializer="json")
def train_flow(config: RunForm[PipelineConfig]) -> str:
    """Preprocess, train with GRPO, sample, fine-tune, train again, compare; returns the run's directory.

    Args:
        config: What to train, and on what.
    """
    run = begin_run(count_trials(config.settings))
    if run.folds:
        comparison = step_result(COMPARE, run, *[run_steps(fold)[COMPARE] for fold in run.folds])
        report(run, comparison)
    else:
        promote_model(run, run_steps(run))
    return str(run.directory)


if __name__ == "__main__":
    from tasks.terminal import main

    raise SystemExit(main({"forecast": train_flow}))
