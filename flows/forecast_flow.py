"""Forecasts the coming sessions with the champion, as a Prefect flow to be scheduled after the close.

    python -m flows.forecast_flow --help    # once, now; `python -m stonk_pipeline forecast` does it without Prefect

Outcomes of earlier forecasts are marked first. Every forecast is logged before its outcome exists.
"""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from stonk_pipeline.files import roots
from stonk_pipeline.runs import child
from tasks.begin import guard_run

LOG = "forecasts.log"


@task
def mark_outcomes(request: ForecastRequest) -> None:
    """Marks logged forecasts whose outcome is there; nothing to do without a log or without real bars."""
    roots.check(request)
    directory = Path(request.forecasts_dir)
    if request.data_dir is None or not (directory / "log.jsonl").is_file():
        get_run_logger().info("nothing to mark: no forecasts logged yet, or no data_dir given")
        return
    said = _run(["score", f"--data-dir={request.data_dir}", f"--forecasts-dir={directory}"], directory)
    create_markdown_artifact(key="forward-record", markdown=_quoted(said), description="Forecasts and what came")


@task
def log_forecasts(request: ForecastRequest) -> str:
    """Forecasts, logs, and writes the page of the log, `index.html` beside it.

    A retry adds nothing twice, for the log takes one forecast of a stock from the same bar.
    """
    said = _run(["forecast", "--page", *request.arguments()], Path(request.forecasts_dir))
    create_markdown_artifact(key="forecast", markdown=_quoted(said), description="The next sessions")
    return request.forecasts_dir


def _run(arguments: list[str], directory: Path) -> list[str]:
    lines: list[str] = []
    child.run_child(arguments, RunConfig(), directory / LOG, lambda *_: None, lines.append)
    for line in lines:
        get_run_logger().info("%s", line)
    return lines


def _quoted(lines: list[str]) -> str:
    return "\n".join(["```", *lines, "```"])


@flow(name="forecast")
def forecast_flow(request: ForecastRequest = ForecastRequest()) -> str:  # noqa: B008  # frozen, so it can be shared
    """Mark what came, forecast what comes; returns the directory of the forecasts.

    Args:
        request: what to forecast and by which model; the form in the UI is drawn from it.
    """
    guard_run()
    mark_outcomes(request)
    return log_forecasts(request)


if __name__ == "__main__":
    from tasks.operations_terminal import main

    raise SystemExit(main(forecast_flow, ForecastRequest, "Marks what came, forecasts what comes."))
