"""The report: finished stage directories in, one self-contained HTML page and a few pictures out.

It shows numbers that the stages computed and computes none of its own; smoothed lines and quantile bands are drawing.
"""

from pathlib import Path

from stonk_pipeline.report.calls_page import write_calls_report
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.page import write_forecast_report
from stonk_pipeline.report.pictures import write_pictures

__all__ = ["write_pictures", "write_report"]


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` of a compared run, whatever its models are asked; returns its path.

    Raises:
        StageError: there is no comparison, or a file of the run is damaged.
    """
    settings = RunFiles(run_dir).record("config.json") or {}
    return (write_calls_report if settings.get("contract") == "direction" else write_forecast_report)(run_dir)
