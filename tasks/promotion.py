"""Registers a finished run's last model, compares it with the champion, and promotes it if it wins."""

from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger

from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import LOG, Run
from stonk_pipeline.runs import child
from stonk_pipeline.runs.manifest import StageResult

ASK_SECONDS = 24 * 3600
"""How long a person has to answer; then the challenger stays a challenger."""


class Answer(RunInput):
    """The form that a person fills in before a promotion."""

    promote: bool = False


def promote_model(run: Run, done: Mapping[str, StageResult]) -> None:
    """Registers a run's last model and lets it challenge the champion; a refusal is a result, not an error.

    Args:
        run: with all its stages done.
        done: step -> its result, so that a rebuilt model is compared again.
    """
    from stonk_pipeline.registry.contest import Trial
    from stonk_pipeline.registry.entries import last_training

    if run.config.promotion == "off":
        return
    after = (done[last_training(run)], done[COMPARE])
    found = challenge(str(run.directory), {earlier.stage: earlier.digest for earlier in after})
    if found is None:
        return
    trial = Trial.model_validate_json(found)
    if not trial.decision.promote:
        return
    asked = run.config.promotion == "ask"
    if asked and not ask_person(trial.decision.sentence, trial.model, trial.champion):
        get_run_logger().info("model %s stays a challenger", trial.model)
        return
    crown(str(run.directory), found, asked)


@task(persist_result=True, result_serializer="json", cache_policy=INPUTS + RUN_ID, retries=0)
def challenge(run_dir: str, after: dict[str, str]) -> str | None:
    """Registers the model and compares it with the champion, in a child process; returns the trial as JSON.

    Args:
        run_dir: directory of the run.
        after: digests of what the comparison rests on.
    """
    from stonk_pipeline.registry.contest import read_trial

    del after
    logger, run = get_run_logger(), open_run(Path(run_dir))
    child.run_child(
        ["models", "register", "--run-dir", run_dir, "--compare-only"],
        run.config,
        run.directory / LOG,
        lambda *_: None,
        logger.debug,
        warn=logger.warning,
    )
    trial = read_trial(run)
    if trial is None:
        logger.info("the run's model is the champion already")
        return None
    logger.info("model %s: %s", trial.model, trial.decision.sentence)
    create_markdown_artifact(
        key="promotion",
        markdown=f"**{trial.decision.outcome}**\n\n{trial.decision.sentence}\n\n"
        f"model `{trial.model}` of `{trial.key}`, champion `{trial.champion or 'none'}`",
        description="Challenger and champion",
    )
    return trial.model_dump_json()


def ask_person(sentence: str, model: str, champion: str | None) -> bool:
    """Pauses the flow run until a person answers in the UI; no answer is a no."""
    question = f"{sentence}\n\nPut model `{model}` in the place of {f'`{champion}`' if champion else 'no champion'}?"
    try:
        answer = pause_flow_run(
            wait_for_input=Answer.with_initial_data(description=question, promote=False),
            timeout=ASK_SECONDS,
            poll_interval=2,
        )
    except FlowPauseTimeout:
        return False
    return answer.promote


@task(persist_result=True, result_serializer="json", cache_policy=INPUTS + RUN_ID)
def crown(run_dir: str, trial: str, asked: bool) -> str:
    """Makes the challenger the champion.

    Args:
        run_dir: directory of the run.
        trial: the comparison that it won (`contest.Trial` as JSON).
        asked: whether a person said yes.
    """
    from stonk_pipeline.registry.champions import How
    from stonk_pipeline.registry.contest import Trial
    from stonk_pipeline.registry.store import Registry

    won, config = Trial.model_validate_json(trial), open_run(Path(run_dir)).config
    registry = Registry(config.models_dir, config.forecasts_dir)
    how: How = "person" if asked else "test"
    registry.promote(registry.find(won.model), how, won.decision.sentence, instead_of=won.champion)
    get_run_logger().info("model %s is champion of %s now", won.model, won.key)
    return won.model
