"""Trains a model that calls directions from bars and news, and judges it, as a Prefect flow.

    ./run_pipeline.sh --recipe direction
    ./run_pipeline.sh --recipe direction --data-dir my-bars --news my-news --stock AAPL,MSFT

Stage I trains on as many rises as falls, the gate says whether it has learned enough, stage II goes on from its model
on the market as it is. Tasks, retries and caching are those of the training flow.
"""

from prefect import flow

from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from tasks.begin import begin_run
from tasks.promotion import promote_model
from tasks.steps import run_steps


@flow(name="direction", flow_run_name="direction-{config.stock_name}", persist_result=True, result_serializer="json")
def direction_flow(config: RunForm[DirectionConfig]) -> str:
    """Preprocess, make examples, train twice with a gate between, compare; returns the run's directory.

    Args:
        config: What to train, and on what.
    """
    run = begin_run(config.settings)
    promote_model(run, run_steps(run))
    return str(run.directory)


if __name__ == "__main__":
    from tasks.terminal import main

    raise SystemExit(main({"direction": direction_flow}))
