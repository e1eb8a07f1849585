"""Writes `report.html`, the page of a finished run."""

from pathlib import Path

from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.runs import require_comparison
from stonk_pipeline.pipeline.run import CONFIG
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
    name = (files.record(CONFIG) or {}).get("contract")
    contract = next((each for each in CONTRACTS if each.name == name), CONTRACTS[0])
    path = run_dir / REPORT
    write_atomic(path, contract.page(files, remark))
    return path
