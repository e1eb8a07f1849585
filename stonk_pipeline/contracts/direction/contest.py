"""Computes the losses by which two models that call directions compete: wrong sides, on days neither has seen."""

from collections.abc import Sequence
from dataclasses import replace

from preprocessing.reading import spread_rows
from stonk_pipeline.config.data import SHAPE
from stonk_pipeline.config.validation import validated
from stonk_pipeline.contract import Training
from stonk_pipeline.contracts.direction.cases import Examples, read_examples
from stonk_pipeline.contracts.direction.question import read_all
from stonk_pipeline.contracts.direction.scores.answers import completions
from stonk_pipeline.contracts.direction.scores.calls import Caller, cases, combine
from stonk_pipeline.contracts.direction.scores.verdict import losses_of
from stonk_pipeline.contracts.direction.settings import CallsStage, DirectionConfig
from stonk_pipeline.contracts.direction.steps import EXAMPLES
from stonk_pipeline.errors import RegistryError, StageError
from stonk_pipeline.files.untrusted import read_table
from stonk_pipeline.pipeline.graph import PREPROCESS
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.promotion import Rivals
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import Progress


def losses(registry: Registry, entry: Entry, champion: Entry | None, run: Run, progress: Progress) -> Rivals:
    """Computes wrong sides of both models and the better baseline, on decisions later than all that both have seen.

    Raises:
        RegistryError: the champion reads windows of another shape, or calls a move of another length.
    """
    config: DirectionConfig = run.config
    theirs = None if champion is None else validated(DirectionConfig, champion.config, f"entry {champion.id}")
    if theirs is not None:
        _require_same_question(config, theirs)
    examples = questions(run, [entry, *([champion] if champion else [])])
    if not examples.decisions:
        return Rivals()
    known = cases(examples, config.examples.days_ahead)
    stage = config.calls_stage("two")
    own = stored_calls(run, entry, examples) or _ask(stage, registry, entry, examples, run, progress)
    challenger = replace(losses_of(own, known), against="the better baseline")
    if champion is None or theirs is None:
        return Rivals(challenger)
    asked = stage.model_copy(update={"model": theirs.model, "prompt": theirs.prompt})
    return Rivals(challenger, losses_of(_ask(asked, registry, champion, examples, run, progress), known))


def training(run: Run) -> Training:
    """Describes the examples that a run's trainings read."""
    directory = run.stage_dir(EXAMPLES)
    known, held_out = (read_examples(directory, name) for name in ("natural", "val"))
    last = max(movement.end for movement in known.movements)
    seen = max([last, *(movement.end for movement in held_out.movements)])
    first = min(decision.window.date for decision in known.decisions)
    if PREPROCESS.name in run.graph:
        about = read_table(
            run.stage_dir(PREPROCESS.name) / "dataset.json", StageError, "run the preprocessing stage again"
        )
    else:
        about = {"stocks": {stock: {} for stock in sorted({decision.window.stock for decision in known.decisions})}}
    return Training(EXAMPLES, about, first, last, seen)


def questions(run: Run, models: Sequence[Entry]) -> Examples:
    """Selects a run's test decisions later than all that the models have seen, spread as the comparison's are."""
    seen = max(model.seen_until for model in models)
    examples = read_examples(run.stage_dir("examples"), "test")
    later = examples.take(row for row, decision in enumerate(examples.decisions) if decision.window.date > seen)
    stocks = [decision.window.stock for decision in later.decisions]
    return later.take(spread_rows(stocks, run.config.comparison.windows, run.config.seed))


def stored_calls(run: Run, entry: Entry, examples: Examples) -> Caller | None:
    """Reads the challenger's calls from the run's comparison, if it is whole and has all these decisions."""
    if run.finished("compare") is None:
        return None
    given = completions(run.stage_dir("compare"), entry.step.replace("-", "_"))
    keys = [(decision.window.stock, decision.window.date) for decision in examples.decisions]
    return combine("challenger", read_all([given[key] for key in keys])) if set(keys) <= given.keys() else None


def _ask(
    stage: CallsStage, registry: Registry, entry: Entry, examples: Examples, run: Run, progress: Progress
) -> Caller:
    from stonk_pipeline.contracts.direction.scores.stage import ask
    from stonk_pipeline.sampling.ask import alone

    adapter = registry.adapter(entry)
    with alone(f"promotion of the model of {run.directory}", run.config.wait_minutes, stage.model) as scratch:
        return combine(entry.id, ask(stage, entry.id, adapter, examples, scratch, progress))


def _require_same_question(own: DirectionConfig, theirs: DirectionConfig) -> None:
    if own.examples.days_ahead != theirs.examples.days_ahead:
        raise RegistryError(
            f"the champion calls a move of {theirs.examples.days_ahead} days and this run of "
            f"{own.examples.days_ahead}; give its models another models_dir, or promote one of them with --force"
        )
    differing = [name for name in SHAPE if getattr(own.data, name) != getattr(theirs.data, name)]
    if differing:
        raise RegistryError(
            f"the champion was trained on windows of another data.{differing[0]}; promote one of them with --force"
        )
