"""The beginning of a run: its directory and its log."""

import logging

from prefect.runtime import flow_run

from stonk_pipeline import pipeline
from stonk_pipeline.config import PipelineConfig

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def begin_run(config: PipelineConfig) -> pipeline.Run:
    """Makes the run's directory, or reopens it in a retry, and sends the run's log there.

    The directory is named after the flow run's scheduled start (UTC) and the head of its id, as in
    `AAPL_20261121-004500-1a2b`. Both are the same in a retry; the id keeps two runs of one second apart.
    """
    start = flow_run.scheduled_start_time
    run = pipeline.create_run(config, f"{start:%Y%m%d-%H%M%S}-{str(flow_run.id)[:4]}")
    handler = logging.FileHandler(run.directory / pipeline.LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for old in [old for old in logger.handlers if isinstance(old, logging.FileHandler)]:
            logger.removeHandler(old)  # a run before this one, in the same process
        logger.addHandler(handler)
    return run
