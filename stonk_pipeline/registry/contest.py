"""Compares a challenger with the champion on the same questions, of dates that neither has seen, and decides."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import RegistryError
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.promotion import Decision, decide
from stonk_pipeline.registry.store import Registry
from stonk_pipeline.runs.manifest import Progress, json_digest, write_atomic

DECISION = "promotion/decision.json"


def contest(registry: Registry, entry: Entry, run: Run, progress: Progress) -> Decision:
    """Compares a run's registered model with the champion, and records the trial. Nobody is promoted here.

    The same comparison made again (a retry) is read from the record: it is no second try.

    Args:
        registry: where the champion is.
        entry: the challenger.
        run: the run that made it; its test part asks the questions.
        progress: receives the windows answered so far.

    Raises:
        RegistryError: the challenger is the champion, the two are asked different things, or the champion changed
            while they were compared.
    """
    champion = registry.champion(entry.key)
    if champion is not None and champion.id == entry.id:
        raise RegistryError(f"model {entry.id} is the champion of {entry.key} already")
    about = {
        "challenger": entry.id,
        "champion": champion.id if champion else None,
        "data_digest": entry.data_digest,
        "comparison": json_digest(run.spec(COMPARE).settings(run.config).model_dump(mode="json")),
    }
    known = _known(registry, entry.key, about)
    if known is not None:
        return _write(run, entry, about["champion"], known)
    rivals, config = run.contract.losses(registry, entry, champion, run, progress), run.config
    with journal.locked(registry.directory(entry.key)):
        present = registry.champions(entry.key).current
        if present != about["champion"]:
            raise RegistryError(f"{present} became champion of {entry.key} meanwhile; compare again")
        trial = registry.trials_since_promotion(entry.key) + 1
        decision = decide(*rivals, trial=trial, comparison=config.comparison, seed=config.seed)
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
    """Reads the comparison of a run's model with the champion; None where there was none to compare with."""
    path = run.directory / DECISION
    return read_model(path, Trial, RegistryError, "register the run again") if path.is_file() else None


def _known(registry: Registry, key: str, about: dict[str, Any]) -> Decision | None:
    for trial in registry.trials(key):
        if all(trial.get(name) == value for name, value in about.items()):
            return Decision.model_validate(trial["decision"])
    return None
