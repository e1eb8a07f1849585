"""Computes the losses by which two forecasting models compete: errors on windows later than both have seen."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from preprocessing import reading
from stonk_pipeline.config.data import SHAPE
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.validation import validated
from stonk_pipeline.contract import Training
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.scores.evidence import read_answers
from stonk_pipeline.contracts.forecast.scores.scores import PERSISTENCE
from stonk_pipeline.contracts.forecast.scores.stage import ask_alone
from stonk_pipeline.contracts.forecast.sections import ComparisonStage
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import RegistryError, StageError
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.pipeline.graph import PREPROCESS
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.promotion import Rivals
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import Progress, execute
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

Answers = Sequence[Sequence[Forecast | Unreadable]]


class Questions(NamedTuple):
    """The windows that both models of a contest are asked about."""

    windows: list[Window]
    targets: list[Target]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Returns (stock, date) of each window."""
        return [window.key for window in self.windows]


def training(run: Run) -> Training:
    """Describes the windows that a run's trainings read."""
    directory = run.stage_dir(PREPROCESS.name)
    about = read_table(directory / "dataset.json", StageError, "run the preprocessing stage again")
    windows, train = reading.read_split(directory, "train")
    _, val = reading.read_split(directory, "val")
    last = max(target.end for target in train)
    seen = max([last, *(target.end for target in val)])
    return Training(PREPROCESS.name, about, min(window.date for window in windows), last, seen)


def questions(run: Run, models: Sequence[Entry]) -> Questions:
    """Selects a run's test windows later than all that the models have seen, spread as the comparison's are."""
    seen = max(model.seen_until for model in models)
    pairs = zip(*reading.read_split(run.stage_dir("preprocess"), "test"), strict=True)
    later = [(window, target) for window, target in pairs if window.date > seen]
    windows, targets = [window for window, _ in later], [target for _, target in later]
    return Questions(*reading.spread(windows, targets, run.config.comparison.windows, run.config.seed))


def losses(registry: Registry, entry: Entry, champion: Entry | None, run: Run, progress: Progress) -> Rivals:
    """Errors of both models beside those of persistence, on windows later than what the models have seen.

    Raises:
        RegistryError: the two forecast different horizons.
    """
    config: PipelineConfig = run.config
    if champion is not None:
        _require_same_horizon(config, _settings(champion))
    asked = questions(run, [entry, *([champion] if champion else [])])
    if not asked.windows:
        return Rivals()
    own_answers = stored_answers(run, asked)
    if own_answers is None:
        own_answers = _answers(config.comparison_stage(), asked, registry.adapter(entry), run, progress)
    own = losses_of(own_answers, asked)
    if champion is None:
        return Rivals(own)
    with TemporaryDirectory() as scratch:
        seen_by_champion = windows_for(_settings(champion), run, asked, Path(scratch))
    stage = _stage_of(champion, config)
    answers = _answers(stage, seen_by_champion, registry.adapter(champion), run, progress)
    # A window that one of the two cannot be asked about counts for neither.
    common = own.take([asked.keys.index(key) for key in seen_by_champion.keys])
    return Rivals(common, losses_of(answers, seen_by_champion))


def losses_of(answers: Answers, asked: Questions) -> Losses:
    """Errors of the median answer beside those of persistence, in percent of the last close."""
    horizon = len(asked.targets[0].values)
    offset, unit = metrics.percent_scale(asked.windows)
    flat = persistence(asked.windows, horizon)
    values, _ = metrics.fill_unreadable(answers, flat)
    truth = np.array([target.values for target in asked.targets], dtype=np.float64)
    median = metrics.median_forecast(values)
    own, still = (metrics.mae(offset + unit * made, offset + unit * truth) for made in (median, flat))
    dates, ends = tuple(date for _, date in asked.keys), tuple(target.end for target in asked.targets)
    return Losses(own, still, PERSISTENCE, dates, ends)


def stored_answers(run: Run, asked: Questions) -> Answers | None:
    """Reads the challenger's answers from the run's comparison, if it is whole and has all these windows."""
    if run.finished("compare") is None:
        return None
    given = read_answers(run.stage_dir("compare"), "grpo_2nd")
    return [given[key] for key in asked.keys] if set(asked.keys) <= given.keys() else None


def _require_same_horizon(own: RunConfig, theirs: RunConfig) -> None:
    if own.data.horizon != theirs.data.horizon:
        raise RegistryError(
            f"the champion forecasts {theirs.data.horizon} closes and this run {own.data.horizon}; give its models "
            "another models_dir, or promote one of them with --force"
        )


def windows_for(settings: RunConfig, run: Run, asked: Questions, scratch: Path) -> Questions:
    """Cuts the windows of these dates in the form that another model was trained on: its length, scale, indicators."""
    own, theirs = run.config.data, settings.data
    shape = {name: getattr(theirs, name) for name in SHAPE}
    if shape == {name: getattr(own, name) for name in SHAPE}:
        return asked
    stage = run.config.with_data(**shape).preprocess_stage()
    execute(PREPROCESS.load(), stage, run.inputs("preprocess"), scratch / "data")
    wanted = set(asked.keys)
    pairs = zip(*reading.read_split(scratch / "data", "full"), strict=True)
    found = [(window, target) for window, target in pairs if window.key in wanted]
    return Questions([window for window, _ in found], [target for _, target in found])


def _stage_of(champion: Entry, config: PipelineConfig) -> ComparisonStage:
    """The champion's own prompt, with the answers drawn as the challenger's are."""
    settings = _settings(champion)
    comparison = config.comparison.model_copy(update={"max_tokens": settings.comparison.max_tokens})
    return ComparisonStage(model=settings.model, prompt=settings.prompt, comparison=comparison, seed=config.seed)


def _answers(stage: ComparisonStage, asked: Questions, adapter: Path, run: Run, progress: Progress) -> Answers:
    horizon, wait = len(asked.targets[0].values), run.config.wait_minutes
    purpose = f"promotion of the model of {run.directory}"
    texts = ask_alone(stage, asked.windows, horizon, adapter, progress, purpose=purpose, wait_minutes=wait)
    return question.read_all(texts, asked.windows, horizon)


def _settings(entry: Entry) -> PipelineConfig:
    """The settings that a registered model was trained with."""
    return validated(PipelineConfig, entry.config, f"entry {entry.id}")
