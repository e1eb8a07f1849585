"""The whole pipeline as a Prefect flow: daily bars in, three trained models and an honest verdict out.

    ./run_pipeline.sh                       # the generated market and the tiny model
    python -m flows.train_flow --help       # every option

Each stage is a task whose result is persisted. A retry of the run continues in the same directory and runs only what
is not done; a stage counts as done only if its files are whole.
"""

from prefect import flow

from stonk_pipeline.config import PipelineConfig
from tasks.begin import begin_run
from tasks.promotion import count_trials, promote_model
from tasks.steps import step_result, write_report


@flow(name="train", flow_run_name="train-{config.stock_name}", persist_result=True, result_serializer="json")
def train_flow(config: PipelineConfig) -> str:
    """Preprocess, train with GRPO, sample, fine-tune, train again, compare; returns the run's directory.

    Args:
        config: every setting of the run; the form in the UI is drawn from it.
    """
    run = begin_run(count_trials(config))
    data = step_result("preprocess", run)
    first = step_result("grpo-first", run, data)
    examples = step_result("sample", run, data, first)
    tuned = step_result("sft", run, examples)
    second = step_result("grpo-second", run, data, tuned)
    comparison = step_result("compare", run, data, first, tuned, second)
    write_report(str(run.directory), {comparison.stage: comparison.digest})
    promote_model(run, second, comparison)
    return str(run.directory)


if __name__ == "__main__":
    from tasks.terminal import main

    raise SystemExit(main(train_flow))
