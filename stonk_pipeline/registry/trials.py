"""Records every comparison with a champion in `trials.jsonl`, each line with the digest of the one before it.

Each comparison raises the bar for the next, so one that is struck out would lower it. A line that is changed, moved or
removed breaks the chain; that the last ones are gone is known from `champion.json`, which has their number.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stonk_pipeline.errors import RegistryError
from stonk_pipeline.files import journal
from stonk_pipeline.files.untrusted import reason
from stonk_pipeline.registry import champions
from stonk_pipeline.registry.champions import CHAMPION, Champions
from stonk_pipeline.registry.promotion import Decision
from stonk_pipeline.runs.manifest import json_digest

TRIALS = "trials.jsonl"
REMEDY = "put back the file as it was"
FIRST = "0" * 64
"""What the first line names as the digest of the one before it."""


def read(directory: Path, known: Champions) -> list[dict[str, Any]]:
    """Reads the comparisons of a key, oldest first.

    Args:
        directory: of the key.
        known: the content of its `champion.json`.

    Raises:
        RegistryError: names the line that is no comparison or does not follow the one before it, or says how many
            there were.
    """
    path, found, digests = directory / TRIALS, [], [FIRST]
    for number, trial in journal.read(path):
        why = _why_not(trial) or (
            None if trial.get("previous") == digests[-1] else "does not follow the line before it"
        )
        if why is not None:
            raise RegistryError(f"{path}, line {number}: {why}; {REMEDY}")
        found.append(trial)
        digests.append(json_digest(trial))
    if known.trials > len(found):
        raise RegistryError(
            f"{path}: {len(found)} comparisons, and there were {known.trials}, says {directory / CHAMPION}; {REMEDY}"
        )
    if known.trials and digests[known.trials] != known.last_trial:
        raise RegistryError(
            f"{path}, line {known.trials}: not as it was recorded, says {directory / CHAMPION}; {REMEDY}"
        )
    return found


def _why_not(trial: dict[str, Any]) -> str | None:
    """Why a record is none of a comparison; None if it is one."""
    texts = [trial.get("stamp"), trial.get("challenger"), trial.get("champion") or ""]
    if not all(isinstance(text, str) for text in texts):
        return "no stamp, challenger or champion"
    try:
        Decision.model_validate(trial.get("decision"))
    except ValidationError as error:
        return f"no decision ({reason(error)})"
    return None


def append(directory: Path, known: Champions, trial: dict[str, Any]) -> None:
    """Adds a comparison, and then its number and digest to `champion.json`. The caller holds the key's lock."""
    before = read(directory, known)
    content = trial | {"previous": json_digest(before[-1]) if before else FIRST}
    journal.append(directory / TRIALS, content)
    champions.write(directory, known.with_trial(len(before) + 1, json_digest(content)))


def tested(trial: dict[str, Any]) -> bool:
    """Tells whether a comparison counts: one that found too little data tested nothing."""
    return bool(trial["decision"]["outcome"] != "too little data")
