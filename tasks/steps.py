"""One Prefect task for every step: start it in a child process, show its progress, publish an artifact."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.logging import get_run_logger

from stonk_pipeline import pipeline, process
from stonk_pipeline.runs import StageResult
from tasks import board
from tasks.summaries import summary

EVERY = timedelta(seconds=2)
"""Shortest time between two updates of a progress artifact."""


@task(persist_result=True, result_serializer="json", cache_policy=INPUTS + RUN_ID, retries=0)
def run_step(step: str, run_dir: str, after: dict[str, str]) -> dict[str, Any]:
    """Runs one step of a run in a child process.

    Args:
        step: its name in `pipeline.STEPS`.
        run_dir: directory of the run; its `config.json` holds the settings.
        after: digests of the steps whose outputs this one reads, so that a rebuilt input is a new task input.

    Returns:
        The step's `StageResult`, as JSON.
    """
    del after
    logger = get_run_logger()
    run = pipeline.open_run(Path(run_dir))
    label = run.label(step)
    board.start(label)
    showing = _Showing(label, run.title(step))
    process.run_child(
        [step, "--run-dir", run_dir], run.config, run.directory / pipeline.LOG, showing.progress, logger.debug
    )
    result = run.finished(step)
    if result is None:
        raise RuntimeError(f"{step}: ended without a valid manifest in {run.stage_dir(step)}")
    showing.done()
    board.finish(label, result.seconds, result.numbers)
    create_markdown_artifact(key=label, markdown=summary(run, result), description=run.title(step))
    logger.info("%s: done in %.0f s; %s", label, result.seconds, result.numbers)
    return result.model_dump(mode="json")


class _Showing:
    """A step's progress on the terminal's board and as an artifact in the UI."""

    def __init__(self, label: str, title: str) -> None:
        self.label = label
        self.shown = 0.0
        artifact = create_progress_artifact(progress=0.0, description=title)
        self.artifact: UUID = artifact  # type: ignore[assignment]  # declared as a union with a coroutine

    def progress(self, done: int, total: int, note: str) -> None:
        board.progress(self.label, done, total, note)
        if time.monotonic() - self.shown >= EVERY.total_seconds():
            self.shown = time.monotonic()
            update_progress_artifact(self.artifact, progress=100.0 * done / max(total, 1), description=note)

    def done(self) -> None:
        update_progress_artifact(self.artifact, progress=100.0)


def step_result(step: str, run: pipeline.Run, *after: StageResult) -> StageResult:
    """The result of a step, from its task; a finished one is taken from Prefect's cache only if its files are whole."""
    whole = run.finished(step) is not None
    renamed = run_step.with_options(name=run.label(step), refresh_cache=not whole)
    result = renamed(step, str(run.directory), {earlier.directory: earlier.digest for earlier in after})
    if whole:
        board.skip(run.label(step))
    return StageResult.model_validate(result)


def report(run: pipeline.Run, comparison: StageResult) -> None:
    """Writes the report of a run, or of a fold."""
    write_report.with_options(name=run.label("report"))(str(run.directory), {comparison.stage: comparison.digest})


@task(name="report")
def write_report(run_dir: str, after: dict[str, str]) -> str:
    """Writes the run's report and links to it."""
    del after
    from prefect.artifacts import create_link_artifact

    from stonk_pipeline.report import write_report as write

    path = write(Path(run_dir))
    label = pipeline.open_run(Path(run_dir)).label("report")
    create_link_artifact(key=label, link=path.as_uri(), link_text="report.html", description="Report of the run")
    get_run_logger().info("%s: %s", label, path)
    return str(path)
