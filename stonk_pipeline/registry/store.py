"""Stores the models of one directory: registers, finds, promotes, rolls back, prunes. Writers lock the model's key."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import RegistryError
from stonk_pipeline.files import folders, journal
from stonk_pipeline.pipeline.places import ENTRY
from stonk_pipeline.pipeline.run import ADAPTER, Run
from stonk_pipeline.records.heads import head_of
from stonk_pipeline.registry import champions, entries, trials
from stonk_pipeline.registry.champions import Champions, How
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.promotion import Decision
from stonk_pipeline.runs.manifest import write_atomic

DIRECTORY = "registry"
KEEP = 5
"""Latest models that `prune` keeps besides the champion and the one before it."""


class Registry:
    """Registered models below `{models_dir}/registry`."""

    def __init__(self, models_dir: str | Path, forecasts_dir: str | Path = "forecasts") -> None:
        """`forecasts_dir`: where the forward log lies, whose length and head each change of a champion records."""
        self.root = Path(models_dir) / DIRECTORY
        self.forecasts_dir = forecasts_dir

    def directory(self, key: str) -> Path:
        """Returns where the models of a key lie."""
        return self.root / key

    def known_keys(self) -> list[str]:
        """Lists `{MODEL}/{STOCK}` of every key with a model."""
        return sorted({path.parents[1].relative_to(self.root).as_posix() for path in self.root.glob("*/*/entries/*/")})

    def entry_dir(self, entry: Entry) -> Path:
        """Returns where an entry lies."""
        return self.directory(entry.key) / "entries" / entry.id

    def entries(self, key: str | None = None) -> list[Entry]:
        """Lists registered models of a key, or all, oldest first; pruned ones too."""
        paths = self.root.glob(f"{key or '*/*'}/entries/*/{ENTRY}")
        found = [entries.load(path.parent) for path in paths if not path.parent.name.startswith(".")]
        return sorted(found, key=lambda entry: entry.registered)

    def find(self, name: str) -> Entry:
        """Finds the entry whose id begins with `name`.

        Raises:
            RegistryError: there is none, or there are several.
        """
        found = [entry for entry in self.entries() if entry.id.startswith(name)]
        if len(found) != 1:
            known = ", ".join(entry.id for entry in found or self.entries()[-5:]) or "none yet"
            what = "several models begin" if found else "no model begins"
            raise RegistryError(f"{what} with {name!r} in {self.root} (models: {known}); see `models list`")
        return found[0]

    def adapter(self, entry: Entry) -> Path:
        """Returns the directory of a model's adapter, checked against its digests."""
        return entries.adapter_of(entry, self.entry_dir(entry))

    def champions(self, key: str) -> Champions:
        """Reads who is champion of a key, and was."""
        return champions.read(self.directory(key))

    def champion(self, key: str) -> Entry | None:
        """Returns the champion's entry; None where there is none."""
        current = self.champions(key).current
        return None if current is None else entries.load(self.directory(key) / "entries" / current)

    def register(self, run: Run) -> Entry:
        """Registers a run's last model; the same training registers once."""
        entry = entries.describe(run)
        directory = self.entry_dir(entry)
        with self._locked(entry.key):
            if (directory / ENTRY).is_file():
                known = entries.load(directory)
                if known.pruned is None:
                    entries.adapter_of(known, directory)
                    return known
            else:
                folders.require_own(directory, False, RegistryError, "move it away, and register again")
            directory.parent.mkdir(parents=True, exist_ok=True)
            entries.store(entry, run.stage_dir(entry.step) / ADAPTER, directory)
        return entry

    def promote(self, entry: Entry, how: How, reason: str, instead_of: str | None = None) -> Champions:
        """Makes a model the champion of its key.

        Args:
            entry: the model.
            how: by the rule or by a person.
            reason: for the history.
            instead_of: the champion that it was compared with; unless forced, it must still be the champion.

        Raises:
            RegistryError: the adapter is gone or damaged, or another model became champion meanwhile.
        """
        directory = self.directory(entry.key)
        with self._locked(entry.key):
            self.adapter(entries.load(self.entry_dir(entry)))  # it may have been pruned since it was found
            present = champions.read(directory)
            if present.current == entry.id:
                return present
            if how != "forced" and present.current != instead_of:
                raise RegistryError(
                    f"model {entry.id} was compared with {instead_of or 'no champion'}, but {present.current} is "
                    "champion now; compare again"
                )
            changed = present.with_next(
                entry.id, how, reason, head_of(self.forecasts_dir, directory), self._stamp(entry.key)
            )
            champions.write(directory, changed)
        return changed

    def rollback(self, key: str, reason: str) -> Champions:
        """Puts the champion before in use again.

        Raises:
            RegistryError: there is none, or its adapter was pruned or is damaged.
        """
        directory = self.directory(key)
        with self._locked(key):
            changed = champions.read(directory).without_last(
                reason, head_of(self.forecasts_dir, directory), self._stamp(key)
            )
            assert changed.current is not None
            entries.adapter_of(
                entries.load(directory / "entries" / changed.current), directory / "entries" / changed.current
            )
            champions.write(directory, changed)
        return changed

    def prune(self, key: str, keep: int = KEEP, *, dry_run: bool = False) -> list[Entry]:
        """Deletes the adapters of old models; their entries stay, as a record of what was tried.

        Kept are the champion, the one before it (so that a rollback works), and the `keep` models registered last.

        Returns:
            The models whose adapters were deleted, or would be.
        """
        directory = self.directory(key)
        with self._locked(key):
            known = self.entries(key)
            current = champions.read(directory).current
            for entry in known:
                if entry.id == current and entry.pruned is not None:
                    raise RegistryError(
                        f"{self.entry_dir(entry) / ENTRY}: says that the champion was pruned on {entry.pruned[:10]}, "
                        "and a champion never is; put back what it said"
                    )
            for entry in [] if dry_run else known:
                if entry.pruned is not None:  # killed after the mark
                    folders.remove(self.entry_dir(entry) / ADAPTER)
            there = [entry for entry in known if entry.pruned is None]
            spared = {*champions.read(directory).line[-2:], *(entry.id for entry in there[max(0, len(there) - keep) :])}
            old = [entry for entry in there if entry.id not in spared]
            for entry in [] if dry_run else old:
                marked = entry.model_copy(update={"pruned": entries.now()}).sealed()
                # First the mark: killed between the two, the adapter is a leftover and not a model that seems whole.
                write_atomic(self.entry_dir(entry) / ENTRY, marked.model_dump_json(indent=2))
                folders.remove(self.entry_dir(entry) / ADAPTER)
        return old

    def _stamp(self, key: str) -> str:
        """The time, after all that the key's records hold: a clock that went back would have trials count as none."""
        changes = (change.stamp for change in self.champions(key).history)
        return entries.now_after([*changes, *(trial["stamp"] for trial in self.trials(key))])

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Holds a key against other writers, and removes what those that were killed had begun in its entries."""
        directory = self.directory(key)
        self._require_no_links(key)
        with journal.locked(directory):
            for place in self._require_no_links(key):
                folders.sweep(place)
            yield

    def _require_no_links(self, key: str) -> list[Path]:
        """The folders of a key's entries, and the one that holds them.

        Raises:
            RegistryError: a link leads to one of them, or on the way there.
        """
        directory = self.directory(key) / "entries"
        places = [directory, *(path for path in directory.glob("*") if path.is_dir())]
        root = self.root.resolve()
        for path in (directory.parent, *places):
            if path.resolve() != root / path.relative_to(self.root):
                raise RegistryError(
                    f"{path}: a link leads out of its place in {self.root}, to {path.resolve()}; nothing is changed or "
                    "deleted there, remove the link"
                )
        return places

    def trials(self, key: str) -> list[dict[str, Any]]:
        """Lists every comparison of the key, oldest first.

        Raises:
            RegistryError: a record is none of a comparison, or one was removed, changed or moved.
        """
        return trials.read(self.directory(key), self.champions(key))

    def trials_since_promotion(self, key: str) -> int:
        """Counts comparisons since a model was last promoted by the rule; each raises the bar for the next one.

        One that found too little data tested nothing, and does not count.
        """
        since = self.champions(key).tested
        return sum(trial["stamp"] > since and trials.tested(trial) for trial in self.trials(key))

    def record_trial(self, key: str, trial: dict[str, Any], decision: Decision) -> None:
        """Adds a comparison to the record. The caller holds the key's lock."""
        content = {"stamp": self._stamp(key)} | trial | {"decision": decision.model_dump()}
        trials.append(self.directory(key), self.champions(key), content)


def strategies_tried(run: Run, before: str) -> int:
    """Counts the comparisons that a run's key had seen before a moment: the back-test allows for so many trials."""
    registry, key = Registry(run.config.models_dir), entries.key_of(run)
    return sum(trial["stamp"] < before and trials.tested(trial) for trial in registry.trials(key))


def require_key(registry: Registry, key: str | None) -> str:
    """Returns the key that is meant: the only one, where none is named.

    Raises:
        RegistryError: there is no such key, or there are several to choose from.
    """
    known = registry.known_keys()
    if key in known:
        return str(key)
    if key is None and len(known) == 1:
        return known[0]
    said = f"no models of {key!r}" if key else "name the models with --key"
    raise RegistryError(f"{said} in {registry.root}; it has {', '.join(known) or 'none yet'}")
