"""The report: finished stage directories in, one self-contained HTML page and a few pictures out.

It shows numbers that the stages computed and computes none of its own; smoothed lines and quantile bands are drawing.
"""

from pathlib import Path

from stonk_pipeline.report import calls_page, page
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.pictures import write_pictures
from stonk_pipeline.runs import write_atomic

__all__ = ["write_pictures", "write_report"]

REPORT = "report.html"


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` into a run directory: one file that needs no other and no network.

    Args:
        run_dir: a run with a finished comparison, whatever its models are asked; what else it holds is shown too.

    Returns:
        The file.

    Raises:
        StageError: there is no comparison, or a file of the run is damaged.
    """
    files = RunFiles(run_dir)
    settings = files.record("config.json") or {}
    render = calls_page.render if settings.get("contract") == "direction" else page.render
    path = run_dir / REPORT
    write_atomic(path, render(files))
    return path
