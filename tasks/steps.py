"""Runs any step as a Prefect task: starts it in a child process, shows its progress, publishes an artifact."""

import logging
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import State, Task, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID
from prefect.client.schemas.objects import TaskRun
from prefect.logging import get_run_logger

from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.errors import PipelineError, StageError
from stonk_pipeline.files.provenance import changed_code
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.publishing import publish_missed
from stonk_pipeline.pipeline.run import LOG, Run
from stonk_pipeline.runs import child, program
from stonk_pipeline.runs.manifest import StageResult, read_manifest
from tasks import begin, board, slots
from tasks.summaries import report_card, summary

EVERY = timedelta(seconds=2)
"""Shortest time between two updates of a progress artifact."""
LINES_EVERY = timedelta(minutes=1)
"""Shortest time between two lines of the log about a step's progress."""
Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

RETRY_AFTER = [10.0, 30.0, 60.0]
"""Seconds before the attempts that follow a transient failure."""


def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Tells whether a failed step is retried by itself: only if the same attempt may succeed a little later."""
    del task, task_run
    try:
        state.result()
    except PipelineError as error:
        return error.transient
    except Exception:
        return False
    return False


# The condition has to be a plain function: Prefect 3.7 takes anything else for a no, silently.
@task(
    persist_result=True,
    result_serializer="json",
    cache_policy=INPUTS + RUN_ID,
    retries=len(RETRY_AFTER),
    retry_delay_seconds=RETRY_AFTER,
    retry_condition_fn=is_transient,
)
def run_step(step: str, run_dir: str, settings: str, after: dict[str, str]) -> dict[str, Any]:
    """Runs one step of a run in a child process, on accelerators that it has for itself.

    Args:
        step: its name in the run's graph.
        run_dir: directory of the run; its `config.json` holds the settings.
        settings: their digest.
        after: digests of the steps whose outputs this one reads, so that a rebuilt input is a new task input.

    Returns:
        The step's `StageResult`, as JSON.
    """
    del after
    logger = get_run_logger()
    run = open_run(Path(run_dir))
    run.require_digest(settings)
    label, spec = run.label(step), run.spec(step)
    done_before = run.finished(step)
    if done_before is not None:  # by an earlier flow run that this one continues
        board.current.skip(label, spec.note(done_before.numbers))
        logger.info("%s: done before", label)
        publish_missed(run, step)
        return done_before.model_dump(mode="json")
    showing = _Showing(label, run.title(step), logger)
    devices, wait = run.devices(step), run.config.wait_minutes * 60

    def waits(message: str) -> None:
        board.current.wait(label, "for an accelerator")
        logger.warning("%s: %s", label, message)

    try:
        with slots.occupied(devices, f"{step} of {run.directory}", wait=wait, say=waits) as held:
            board.current.start(label)
            logger.info("%s: starts", label)
            arguments, log = [step, "--run-dir", run_dir, "--settings", settings], run.directory / LOG
            child.run_child(
                arguments,
                run.config,
                log,
                showing.progress,
                logger.debug,
                warn=partial(_warn, logger, label),
                locks=held,
                smaller=spec.smaller,
            )
    except PipelineError as error:
        if error.transient:
            board.current.wait(label, "tries again soon")
            logger.warning("%s: %s", label, error)
        raise
    result = run.finished(step)
    if result is None:
        raise StageError(run.why_not_done(step))
    showing.done()
    note = spec.note(result.numbers)
    board.current.finish(label, note)
    create_markdown_artifact(key=label, markdown=summary(run, result), description=run.title(step))
    logger.info("%s: done in %.0f s; %s", label, result.seconds, ", ".join(note))
    return result.model_dump(mode="json")


def _warn(logger: Log, label: str, message: str) -> None:
    logger.warning("%s: %s", label, message)


class _Showing:
    """A step's progress on the terminal's board, as an artifact in the UI, and now and then as a line of the log."""

    def __init__(self, label: str, title: str, logger: Log) -> None:
        self.label, self.logger = label, logger
        self.shown, self.said = 0.0, time.monotonic()
        artifact = create_progress_artifact(progress=0.0, description=title)
        self.artifact: UUID = artifact  # type: ignore[assignment]  # declared as a union with a coroutine

    def progress(self, done: int, total: int, note: str) -> None:
        board.current.progress(self.label, done, total, note)
        if time.monotonic() - self.said >= LINES_EVERY.total_seconds():
            self.said = time.monotonic()
            self.logger.info("%s: %s", self.label, board.current.words(self.label))
        if time.monotonic() - self.shown >= EVERY.total_seconds():
            self.shown = time.monotonic()
            with suppress(httpx.HTTPError):  # a server that is away for a moment must not end hours of training
                update_progress_artifact(self.artifact, progress=100.0 * done / max(total, 1), description=note)

    def done(self) -> None:
        update_progress_artifact(self.artifact, progress=100.0)


def step_result(step: str, run: Run, *after: StageResult) -> StageResult:
    """Runs a step's task; takes a finished one from Prefect's cache only if its files are whole."""
    whole = run.finished(step) is not None
    if whole:
        _say_if_code_changed(step, run)
    renamed = run_step.with_options(name=run.label(step), refresh_cache=not whole)
    try:
        result = renamed(step, str(run.directory), run.digest, {earlier.directory: earlier.digest for earlier in after})
    except Exception:
        get_run_logger().error(
            "%s failed; to go on from there: Retry on this run's page, or %s",
            run.label(step),
            program.pipeline(f"--continue {begin.opened or run.directory}"),
        )
        raise
    if whole:
        board.current.skip(run.label(step), run.spec(step).note(StageResult.model_validate(result).numbers))
        publish_missed(run, step)  # the run may have been killed after the stage was done and before that
    return StageResult.model_validate(result)


def run_steps(run: Run) -> dict[str, StageResult]:
    """Runs the steps of a run, or of one fold of a walk-forward, in the order of its graph, and writes its report.

    Returns:
        Step -> its result; a step that a gate leaves out of the run is missing.
    """
    done: dict[str, StageResult] = {}
    for name, step in run.graph.items():
        if run.runs(name):
            done[name] = step_result(name, run, *(done[other] for other in step.needs.values() if other in done))
        else:
            board.current.leave_out(run.label(name))
    report(run, done[COMPARE])
    return done


def report(run: Run, comparison: StageResult) -> None:
    """Writes the report of a run, or of a fold."""
    write_report.with_options(name=run.label("report"))(
        str(run.directory), run.digest, {comparison.stage: comparison.digest}
    )


def _say_if_code_changed(step: str, run: Run) -> None:
    """A finished step is kept when its code changes: most changes do not matter, and only a person can tell."""
    changed = changed_code(read_manifest(run.stage_dir(step)).code)
    if changed:
        get_run_logger().warning(
            "%s: kept, though it was computed with other code (changed since: %s); to run it again: %s",
            step,
            ", ".join(changed),
            program.pipeline(f"--continue {run.directory} --force {step}"),
        )


@task(name="report", cache_policy=NO_CACHE)  # cheap, and a page that was deleted is written again
def write_report(run_dir: str, settings: str, after: dict[str, str]) -> str:
    """Writes the run's report, and says the most important of it where it links to it.

    Raises:
        StageError: `config.json` was changed while the last stage ran.
    """
    del after
    from stonk_pipeline.commands.report import write_report as write

    run = open_run(Path(run_dir))
    run.require_digest(settings)
    path, label = write(run.directory), run.label("report")
    create_markdown_artifact(key=label, markdown=report_card(run, path), description="Report of the run")
    get_run_logger().info("%s: %s", label, path)
    return str(path)
