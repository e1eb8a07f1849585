"""Describes a registered model: what it was trained on and with, and a copy of its adapter named by its content."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stonk_pipeline.errors import RegistryError, StageError
from stonk_pipeline.files import folders
from stonk_pipeline.files.untrusted import is_name, read_model, shown
from stonk_pipeline.pipeline.compared import Verdict, verdict_of
from stonk_pipeline.pipeline.places import ENTRY
from stonk_pipeline.pipeline.run import ADAPTER, Run
from stonk_pipeline.runs.manifest import json_digest, output_files, verify, write_atomic

ID_LENGTH = 12


class Entry(BaseModel):
    """The content of `entry.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    id: str
    """First characters of the digest of adapter, data and settings: the same training registers once."""
    key: str
    """`{MODEL}/{STOCK}`: what it can be champion of."""
    registered: str
    """UTC, ISO 8601."""
    step: str
    run: str
    """The run's directory, where it was when the model was registered."""
    base_model: str
    adapter: dict[str, str]
    """Relative path -> SHA-256 of every file of the adapter."""
    data_digest: str
    """Digest of the dataset that it was trained on."""
    data: dict[str, Any]
    """The dataset's own description (`dataset.json`): stocks, dates, scales and digests of the bars."""
    train_first: str
    """Decision date of the first training window (ISO)."""
    train_last: str
    """Last day of the last training target (ISO)."""
    seen_until: str
    """Last day that the model can know anything of (ISO): the end of the validation part, by which its checkpoint was
    chosen, or the day up to which its base model may have read. It is judged on later days alone."""
    config: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    seed: int
    verdict: Verdict | None
    """Of the run's own comparison."""
    kept: dict[str, Any] = {}
    """What its contract needs in use besides the adapter, such as the calibration of its intervals; empty in entries of
    earlier versions."""
    pruned: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\dT")
    """When its adapter was deleted (UTC)."""
    seal: str = ""
    """Digest of all of the above: a verdict or a date that was changed is noticed."""

    @field_validator("data")
    @classmethod
    def _names_stocks(cls, data: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(data.get("stocks"), dict):
            raise ValueError("data has no stocks")
        return data

    def sealed(self) -> "Entry":
        """Returns the entry with its seal: the digest of all its other fields."""
        left_out = {"seal"} if self.kept else {"seal", "kept"}  # entries of earlier versions had none
        return self.model_copy(update={"seal": json_digest(self.model_dump(mode="json", exclude=left_out))})

    @property
    def stocks(self) -> list[str]:
        """Lists the stocks that the model was trained on."""
        return sorted(self.data["stocks"])


def describe(run: Run, parents_seen: str = "") -> Entry:
    """Builds the entry of a run's last model.

    Args:
        run: a run whose last training is finished; its comparison may be missing.
        parents_seen: last day that a model which the training started from has seen (ISO); empty if there is none.

    Raises:
        StageError: the run's dataset or training is not finished, or is damaged; or its comparison is.
    """
    step, read = last_training(run), run.contract.training(run)
    training, data = verify(run.stage_dir(step)), verify(run.stage_dir(read.step))
    if data.digest not in training.inputs.values():
        raise StageError(f"{run.directory}: {step} was trained on another dataset than lies there; run it again")
    files = output_files(run.stage_dir(step) / ADAPTER)
    verdict = verdict_of(run, training)
    config = run.config.model_dump(mode="json")
    return Entry(
        id=json_digest([files, data.digest, {name: config[name] for name in run.contract.distinguishing}])[:ID_LENGTH],
        key=key_of(run),
        registered=now(),
        step=step,
        run=str(run.directory),
        base_model=run.config.model.name,
        adapter=files,
        data_digest=data.digest,
        data=read.about,
        train_first=read.first,
        train_last=read.last,
        seen_until=max(read.seen_until, parents_seen, run.config.model.knowledge_cutoff or ""),
        config=config,
        versions=training.versions,
        git_commit=training.git_commit,
        seed=run.config.seed,
        verdict=verdict,
        kept=run.contract.kept(run) if verdict is not None else {},
    ).sealed()


def last_training(run: Run) -> str:
    """Finds the step whose adapter a run registers: the last one that is part of it and publishes one."""
    return [name for name, step in run.graph.items() if step.publishes and run.runs(name)][-1]


def key_of(run: Run) -> str:
    """Returns `{MODEL}/{STOCK}`, under which a run's last model can be champion; models of two contracts are apart."""
    return f"{run.config.model_name}/{run.config.stock_name}{run.contract.suffix}"


def now() -> str:
    """Returns the time in UTC, ISO 8601, to the microsecond, so that stamps order what happened."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def now_after(stamps: Iterable[str]) -> str:
    """Returns the time, or just after the latest of some stamps where the clock has gone back."""
    latest, stamp = max(stamps, default=""), now()
    if stamp > latest:
        return stamp
    try:
        following = datetime.fromisoformat(latest).astimezone(UTC) + timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise RegistryError(f"{shown(latest)}: no time that anything can come after; put back what it was") from error
    return following.isoformat(timespec="microseconds")


def store(entry: Entry, adapter: Path, directory: Path) -> None:
    """Copies an adapter and writes its entry, whole or not at all: the directory appears when both are there.

    An entry whose adapter was pruned stays until then.

    Raises:
        RegistryError: the adapter changed while it was copied.
    """
    with folders.scratch(directory) as new:
        shutil.copytree(adapter, new / ADAPTER)
        if output_files(new / ADAPTER) != entry.adapter:
            raise RegistryError(f"{adapter}: changed while it was registered; register it again")
        for path in (new / ADAPTER).rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        write_atomic(new / ENTRY, entry.model_dump_json(indent=2))
        folders.replace(new, directory)


def load(directory: Path) -> Entry:
    """Reads an entry.

    Raises:
        RegistryError: it is missing or damaged.
    """
    path = directory / ENTRY
    try:
        found = read_model(path, Entry, RegistryError, "register its run again")
    except FileNotFoundError as error:
        raise RegistryError(f"{path}: no such entry; see `models list`") from error
    here = directory.parts[-4:]  # MODEL, STOCK, entries, id
    if (*found.key.split("/"), "entries", found.id) != here or not all(map(is_name, here)):
        raise RegistryError(f"{path}: says that it is {shown(found.key)}/{shown(found.id)}; register its run again")
    if found != found.sealed():
        raise RegistryError(
            f"{path}: changed since the model was registered; put back what it said, or delete {directory} and "
            f"register {shown(found.run)} again"
        )
    return found


def adapter_of(entry: Entry, directory: Path) -> Path:
    """Returns the directory of the entry's adapter, checked against its digests.

    Raises:
        RegistryError: it was pruned, or a file is missing or changed.
    """
    path = directory / ADAPTER
    if entry.pruned is not None:
        raise RegistryError(f"model {entry.id}: its adapter was pruned on {entry.pruned[:10]}; register its run again")
    found = output_files(path)
    wrong = sorted(name for name in entry.adapter.keys() | found if entry.adapter.get(name) != found.get(name))
    if wrong:
        raise RegistryError(
            f"{path / wrong[0]}: not as it was registered; delete {directory} and register {entry.run} again"
        )
    return path
