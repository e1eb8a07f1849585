"""The champion's forecast of the next sessions as a Prefect flow, to be served with a schedule after the close.

    python -m flows.forecast_flow --help    # once, now; `python -m stonk_pipeline forecast` does it without Prefect

Outcomes of earlier forecasts are marked first. Every forecast is logged before its outcome exists.
"""

from prefect import flow

from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from tasks.begin import guard_run
from tasks.forecasts import log_forecasts, mark_outcomes


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
