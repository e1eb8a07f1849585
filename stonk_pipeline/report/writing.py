"""Writes `report.html`, the page of a finished run."""

from pathlib import Path

from stonk_pipeline.contracts.direction.page import page as calls_page
from stonk_pipeline.contracts.forecast.page import page
from stonk_pipeline.pipeline.compared import require_comparison
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.runs.manifest import write_atomic

REPORT = "report.html"


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` into a run directory: one file that needs no other and no network.

    Args:
        run_dir: a run with a finished comparison, whatever its models are asked; what else it holds is shown too.

    Returns:
        The file.

    Raises:
        StageError: there is no comparison, it was changed since it was made or is of other stages than lie in the
            run, or a file of the run is damaged.
    """
    remark, files = require_comparison(run_dir), RunFiles(run_dir)
    settings = files.record("config.json") or {}
    render = calls_page.render if settings.get("contract") == "direction" else page.render
    path = run_dir / REPORT
    write_atomic(path, render(files, remark))
    return path
