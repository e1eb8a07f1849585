"""Trains again if bars or settings have changed since the last training, as a Prefect flow.

    python -m flows.retrain_flow --help

Only stages whose inputs changed run; the others are taken from the training before.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.train_flow import train_flow
from stonk_pipeline.commands import retraining
from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.commands.retraining import RetrainConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig, of_forecasts
from stonk_pipeline.files import roots
from tasks.begin import guard_run
from tasks.retrain import announce_newer_bars, prepare, take_over

DEFAULT = RetrainConfig()


@flow(name="retrain", flow_run_name="retrain-{config.recipe}", persist_result=True, result_serializer="json")
def retrain_flow(config: RetrainConfig = DEFAULT) -> str | State[None]:
    """Trains if there is a reason to; returns the run's directory, or ends as Unchanged or Skipped.

    Args:
        config: what to train, and from where; the form in the UI is drawn from it.
    """
    guard_run()
    roots.check(config)
    wanted = of_forecasts(config.pipeline_config(), "retrain")
    roots.check(wanted)
    settings = retraining.settings_digest(wanted, config.start_from)
    with retraining.alone(wanted) as free:
        if not free:
            return Completed(name="Skipped", message="another retraining of these stocks is running")
        last = retraining.read_last(wanted)
        unchanged = last is not None and (last.data, last.settings) == (retraining.data_digest(wanted), settings)
        if last is not None and unchanged and not config.force:
            return Completed(name="Unchanged", message=f"neither bars nor settings changed since {last.run}")
        training = PipelineConfig.model_validate(prepare(config.model_dump(mode="json")))
        take_over(training, None if config.force else last)
        # Its tasks are this run's own, so that a retry of it redoes nothing.
        directory = train_flow.fn(RunForm[PipelineConfig].model_validate(training))
        trained = retraining.data_digest(training)
        retraining.write_last(wanted, retraining.Last(data=trained, settings=settings, run=directory))
    announce_newer_bars(config, trained)
    return directory


def main(argv: list[str] | None = None) -> int:
    """Trains again with the settings of a command line, if there is a reason to."""
    from tasks import operations_terminal

    return operations_terminal.main(retrain_flow, RetrainConfig, "The pipeline again, if there is a reason to.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
