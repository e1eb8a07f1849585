"""The direction recipe as a Prefect flow: bars and news in, a model that calls directions and a verdict out.

    ./run_pipeline.sh --recipe direction
    ./run_pipeline.sh --recipe direction --data-dir my-bars --news my-news --stock AAPL,MSFT

Stage I trains on as many rises as falls, the gate says whether it has learned enough, stage II goes on from its model
on the market as it is. Tasks, retries and caching are those of the training flow.
"""

from prefect import flow

from stonk_pipeline.contracts.direction.settings import DirectionConfig
from tasks.begin import begin_run
from tasks.promotion import promote_model
from tasks.steps import report, step_result


@flow(name="direction", flow_run_name="direction-{config.stock_name}", persist_result=True, result_serializer="json")
def direction_flow(config: DirectionConfig) -> str:
    """Preprocess, make examples, train twice with a gate between, compare; returns the run's directory.

    Args:
        config: every setting of the run; the form in the UI is drawn from it.
    """
    run = begin_run(config)
    data = [step_result("preprocess", run)] if "preprocess" in run.graph else []  # records need no windows
    examples = step_result("examples", run, *data)
    first = step_result("stage-one", run, examples)
    gate = step_result("gate", run, examples, first)
    if not gate.numbers["go_on"]:
        comparison = step_result("compare", run, examples, first, gate)
        report(run, comparison)
        promote_model(run, first, comparison)
        return str(run.directory)
    second = step_result("stage-two", run, examples, first)
    comparison = step_result("compare", run, examples, first, gate, second)
    report(run, comparison)
    promote_model(run, second, comparison)
    return str(run.directory)


if __name__ == "__main__":
    from tasks.terminal import main

    raise SystemExit(main({"direction": direction_flow}))
