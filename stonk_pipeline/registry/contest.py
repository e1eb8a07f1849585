"""A challenger against the champion: the same windows for both, on dates that neither has seen, and one decision."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from preprocessing import reading
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.evaluation import ComparisonStage
from stonk_pipeline.config.recipes import of_forecasts
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.direction.contest import call_losses
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import RegistryError
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.pipeline.graph import FORECAST
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.losses import SHAPE, Losses
from stonk_pipeline.registry.promotion import Decision, decide
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import Progress, execute, json_digest, write_atomic
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

DECISION = "promotion/decision.json"
Answers = Sequence[Sequence[Forecast | Unreadable]]


class Questions(NamedTuple):
    """What both models are asked."""

    windows: list[Window]
    targets: list[Target]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(stock, date) of each window."""
        return [window.key for window in self.windows]


def contest(registry: Registry, entry: Entry, run: Run, progress: Progress) -> Decision:
    """Compares a run's registered model with the champion, and records the trial. Nobody is promoted here.

    The same comparison made again (a retry) is read from the record: it is no second try.

    Args:
        registry: where the champion is.
        entry: the challenger.
        run: the run that made it; its test part asks the questions.
        progress: receives the windows answered so far.

    Raises:
        RegistryError: the challenger is the champion, the two forecast different horizons, or the champion changed
            while they were compared.
    """
    champion = registry.champion(entry.key)
    if champion is not None and champion.id == entry.id:
        raise RegistryError(f"model {entry.id} is the champion of {entry.key} already")
    about = {
        "challenger": entry.id,
        "champion": champion.id if champion else None,
        "data_digest": entry.data_digest,
        "comparison": json_digest(run.spec("compare").settings(run.config).model_dump(mode="json")),
    }
    known = _known(registry, entry.key, about)
    if known is not None:
        return _write(run, entry, about["champion"], known)
    if isinstance(run.config, DirectionConfig):
        losses = call_losses(registry, entry, champion, run, run.config, progress)
    else:
        losses = forecast_losses(registry, entry, champion, run, progress)
    with journal.locked(registry.directory(entry.key)):
        present = registry.champions(entry.key).current
        if present != about["champion"]:
            raise RegistryError(f"{present} became champion of {entry.key} meanwhile; compare again")
        decision = _decide(losses, registry.trials_since_promotion(entry.key) + 1, run.config)
        registry.record_trial(entry.key, about | {"run": str(run.directory)}, decision)
    return _write(run, entry, about["champion"], decision)


class Trial(BaseModel):
    """The content of `promotion/decision.json` in a run's directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """The challenger's entry."""
    key: str
    champion: str | None
    """The entry that it was compared with."""
    decision: Decision


def _write(run: Run, entry: Entry, champion: str | None, decision: Decision) -> Decision:
    trial = Trial(model=entry.id, key=entry.key, champion=champion, decision=decision)
    (run.directory / DECISION).parent.mkdir(exist_ok=True)
    write_atomic(run.directory / DECISION, trial.model_dump_json(indent=2))
    return decision


def read_trial(run: Run) -> Trial | None:
    """What the comparison with the champion said of a run's model; None where there was none to compare with."""
    path = run.directory / DECISION
    return read_model(path, Trial, RegistryError, "register the run again") if path.is_file() else None


def _known(registry: Registry, key: str, about: dict[str, Any]) -> Decision | None:
    for trial in registry.trials(key):
        if all(trial.get(name) == value for name, value in about.items()):
            return Decision.model_validate(trial["decision"])
    return None


def questions(run: Run, models: Sequence[Entry]) -> Questions:
    """Test windows of a run that were decided after all that the models have seen, spread as the comparison's are."""
    seen = max(model.seen_until for model in models)
    pairs = zip(*reading.read_split(run.stage_dir("preprocess"), "test"), strict=True)
    later = [(window, target) for window, target in pairs if window.date > seen]
    windows, targets = [window for window, _ in later], [target for _, target in later]
    return Questions(*reading.spread(windows, targets, run.config.comparison.windows, run.config.seed))


def forecast_losses(
    registry: Registry, entry: Entry, champion: Entry | None, run: Run, progress: Progress
) -> Losses | None:
    """Errors of both models and of persistence; None where no window is later than what the models have seen.

    Raises:
        RegistryError: the two forecast different horizons.
    """
    config = of_forecasts(run.config, "promotion")
    if champion is not None:
        _require_same_horizon(config, champion.settings)
    asked = questions(run, [entry, *([champion] if champion else [])])
    if not asked.windows:
        return None
    own_answers = stored_answers(run, asked)
    if own_answers is None:
        own_answers = _answers(config.comparison_stage(), asked, registry.adapter(entry), run, progress)
    own, flat = losses_of(own_answers, asked)
    theirs: Floats | None = None
    if champion is not None:
        with TemporaryDirectory() as scratch:
            seen_by_champion = windows_for(champion.settings, run, asked, Path(scratch))
        stage = _stage_of(champion, config)
        answers = _answers(stage, seen_by_champion, registry.adapter(champion), run, progress)
        theirs, _ = losses_of(answers, seen_by_champion)
        # A window that one of the two cannot be asked about counts for neither.
        common = [asked.keys.index(key) for key in seen_by_champion.keys]
        own, flat = own[common], flat[common]
        asked = seen_by_champion
    return Losses(
        own, theirs, flat, [window.date for window in asked.windows], [target.end for target in asked.targets]
    )


def losses_of(answers: Answers, asked: Questions) -> tuple[Floats, Floats]:
    """(N,) errors of the median answer, and of persistence, in percent of the last close."""
    horizon = len(asked.targets[0].values)
    offset, unit = metrics.percent_scale(asked.windows)
    flat = persistence(asked.windows, horizon)
    values, _ = metrics.fill_unreadable(answers, flat)
    truth = np.array([target.values for target in asked.targets], dtype=np.float64)
    median = metrics.median_forecast(values)
    own, still = (metrics.mae(offset + unit * made, offset + unit * truth) for made in (median, flat))
    return own, still


def stored_answers(run: Run, asked: Questions) -> Answers | None:
    """The challenger's answers in the run's comparison, if it is whole and answered all these windows."""
    import pyarrow.parquet as pq

    if run.finished("compare") is None:
        return None
    rows = pq.read_table(run.stage_dir("compare") / "forecasts" / "grpo_2nd.parquet").to_pylist()
    given: dict[tuple[str, str], list[Forecast | Unreadable]] = {}
    for row in sorted(rows, key=lambda row: int(row["sample"])):
        answer = Unreadable(row["reason"]) if row["values"] is None else Forecast(tuple(row["values"]))
        given.setdefault((row["stock"], row["date"]), []).append(answer)
    return [given[key] for key in asked.keys] if set(asked.keys) <= given.keys() else None


def _require_same_horizon(own: RunConfig, theirs: RunConfig) -> None:
    if own.data.horizon != theirs.data.horizon:
        raise RegistryError(
            f"the champion forecasts {theirs.data.horizon} closes and this run {own.data.horizon}; give its models "
            "another models_dir, or promote one of them with --force"
        )


def windows_for(settings: RunConfig, run: Run, asked: Questions, scratch: Path) -> Questions:
    """The same dates as a model of other settings is used to seeing them: its own context length, scale, indicators."""
    own, theirs = run.config.data, settings.data
    shape = {name: getattr(theirs, name) for name in SHAPE}
    if shape == {name: getattr(own, name) for name in SHAPE}:
        return asked
    data: DataConfig = own.model_copy(update=shape)
    stage = run.config.model_copy(update={"data": data}).preprocess_stage()
    execute(FORECAST["preprocess"].load(), stage, run.inputs("preprocess"), scratch / "data")
    wanted = set(asked.keys)
    pairs = zip(*reading.read_split(scratch / "data", "full"), strict=True)
    found = [(window, target) for window, target in pairs if window.key in wanted]
    return Questions([window for window, _ in found], [target for _, target in found])


def _stage_of(champion: Entry, config: PipelineConfig) -> ComparisonStage:
    """The champion's own prompt, with the answers drawn as the challenger's are."""
    settings = of_forecasts(champion.settings, "promotion")
    comparison = config.comparison.model_copy(update={"max_tokens": settings.comparison.max_tokens})
    return ComparisonStage(model=settings.model, prompt=settings.prompt, comparison=comparison, seed=config.seed)


def _answers(stage: ComparisonStage, asked: Questions, adapter: Path, run: Run, progress: Progress) -> Answers:
    from stonk_pipeline.contracts.forecast.scores.stage import ask_alone

    horizon, wait = len(asked.targets[0].values), run.config.wait_minutes
    purpose = f"promotion of the model of {run.directory}"
    texts = ask_alone(stage, asked.windows, horizon, adapter, progress, purpose=purpose, wait_minutes=wait)
    return question.read_all(texts, asked.windows, horizon)


def _decide(losses: Losses | None, trial: int, config: RunConfig) -> Decision:
    none = np.empty(0)
    given = losses or Losses(none, None, none, [], [])
    comparison = config.comparison
    return decide(
        given.challenger,
        given.champion,
        given.baseline,
        given.dates,
        given.ends,
        trial=trial,
        confidence=comparison.confidence,
        min_dates=comparison.min_dates,
        resamples=comparison.resamples,
        seed=config.seed,
        baseline="the better baseline" if isinstance(config, DirectionConfig) else "persistence",
    )
