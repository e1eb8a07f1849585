"""The report: finished stage directories in, one self-contained HTML page and a few pictures out.

It shows numbers that the stages computed and computes none of its own; smoothed lines and quantile bands are drawing.
"""

from stonk_pipeline.report.page import write_report
from stonk_pipeline.report.pictures import write_pictures

__all__ = ["write_pictures", "write_report"]
