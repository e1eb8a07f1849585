"""Reads and writes `champion.json`: the model in use, those before it, and every change with its reason."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import RegistryError
from stonk_pipeline.files.untrusted import is_name, read_model
from stonk_pipeline.records.heads import LogHead
from stonk_pipeline.registry.entries import now
from stonk_pipeline.runs.manifest import write_atomic

CHAMPION = "champion.json"
REMEDY = "put back the file as it was, or delete it and promote a model"
How = Literal["test", "person", "forced", "rollback"]
"""By the rule; by the rule and a person's yes; by a person alone; back to the one before."""


class Change(BaseModel):
    """One change of the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stamp: str
    """UTC, ISO 8601."""
    model: str
    """Entry that became champion."""
    how: How
    reason: str
    forward: LogHead | None = None
    """What the forward log was then; None: there was none, or the change is from before such were kept."""


class Champions(BaseModel):
    """The content of `champion.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: tuple[str, ...] = ()
    """Entries that a rollback leads back through; the last one is the champion."""
    history: tuple[Change, ...] = ()
    """Every change, oldest first."""
    trials: int = 0
    """Comparisons in `trials.jsonl` when the latest was recorded: one that is gone would make the next trial easier."""
    last_trial: str = ""
    """Digest of that one."""

    @property
    def current(self) -> str | None:
        """Returns the champion's id in the registry."""
        return self.line[-1] if self.line else None

    @property
    def tested(self) -> str:
        """Returns when a model was last promoted by the rule (UTC); empty if never.

        Trials are counted from there: neither a rollback nor a forced change makes the next trial easier.
        """
        return max((change.stamp for change in self.history if change.how in ("test", "person")), default="")

    def with_next(
        self, model: str, how: How, reason: str, forward: LogHead | None = None, stamp: str | None = None
    ) -> "Champions":
        """Returns the record with another champion; `stamp` is when, if not now."""
        change = Change(stamp=stamp or now(), model=model, how=how, reason=reason, forward=forward)
        return self.model_copy(update={"line": (*self.line, model), "history": (*self.history, change)})

    def with_trial(self, count: int, digest: str) -> "Champions":
        """Returns the record after another comparison: how many there are now, and the digest of that one."""
        return self.model_copy(update={"trials": count, "last_trial": digest})

    def without_last(self, reason: str, forward: LogHead | None = None, stamp: str | None = None) -> "Champions":
        """Returns the record with the champion before in use again; `stamp` is when, if not now.

        Raises:
            RegistryError: there is none before.
        """
        if len(self.line) < 2:
            raise RegistryError("there is no champion before this one to go back to")
        line = self.line[:-1]
        change = Change(stamp=stamp or now(), model=line[-1], how="rollback", reason=reason, forward=forward)
        return self.model_copy(update={"line": line, "history": (*self.history, change)})


def read(directory: Path) -> Champions:
    """Reads the champions of a key; none if there is no file.

    Raises:
        RegistryError: the file is damaged.
    """
    path = directory / CHAMPION
    try:
        found = read_model(path, Champions, RegistryError, REMEDY)
    except FileNotFoundError:
        return Champions()
    if not all(map(is_name, found.line)):
        raise RegistryError(f"{path}: damaged (line holds what is no entry's name); {REMEDY}")
    return found


def write(directory: Path, champions: Champions) -> None:
    """Replaces the file whole or not at all."""
    write_atomic(directory / CHAMPION, champions.model_dump_json(indent=2))
