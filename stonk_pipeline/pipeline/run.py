"""Opens a run: its directory, its settings, and which files its steps read and write there.

The flows, the command line and the child processes all read the wiring here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contract import Contract
from stonk_pipeline.errors import StageError
from stonk_pipeline.files import locks
from stonk_pipeline.models.locations import base_directory, base_location
from stonk_pipeline.pipeline.graph import COMPARE, Step, Steps, earlier_steps
from stonk_pipeline.pipeline.places import CONFIG as CONFIG
from stonk_pipeline.pipeline.places import FOLDS as FOLDS
from stonk_pipeline.pipeline.places import LOG as LOG
from stonk_pipeline.pipeline.places import TRACKING, walk_of
from stonk_pipeline.pipeline.places import require_run_dir as require_run_dir
from stonk_pipeline.pipeline.publishing import ADAPTER as ADAPTER
from stonk_pipeline.pipeline.publishing import publish, require_publishable
from stonk_pipeline.runs.manifest import (
    LOCK,
    MANIFEST,
    MARK,
    MODEL,
    Progress,
    StageResult,
    clear,
    execute,
    fingerprint,
    finished,
    json_digest,
    model_digest,
    read_manifest,
    require_stage_dir,
    verify,
)
from stonk_pipeline.training import tracking


@dataclass(frozen=True)
class Run:
    """A run: its directory, its settings, and the contract that they belong to."""

    directory: Path
    config: Any
    """Of the contract's own class."""
    contract: Contract

    @property
    def graph(self) -> Steps:
        """Returns its steps in their order."""
        return self.contract.steps(self.config)

    def stage_dir(self, step: str) -> Path:
        """Returns the directory of a step's outputs."""
        return self.directory / self.graph[step].directory

    @property
    def folds(self) -> list["Run"]:
        """Lists the runs of a walk-forward, in the order of time; none for an ordinary run."""
        data = self.config.data
        if data.folds == 1 or data.fold is not None:
            return []
        return [self._fold(number) for number in range(1, data.folds + 1)]

    def _fold(self, number: int) -> "Run":
        directory, config, count = self.directory / FOLDS / str(number), self.config, self.config.data.folds
        windows = -(-config.comparison.windows // count)
        changes: dict[str, Any] = {
            "data": config.data.model_copy(update={"fold": number}),
            "comparison": config.comparison.model_copy(update={"windows": windows}),
        }
        if number < count:  # the last fold's adapters have seen the most, and are the ones to use
            changes["models_dir"] = str(directory / "models")
        return Run(directory, config.model_copy(update=changes), self.contract)

    def steps(self) -> list[tuple["Run", str]]:
        """Lists all steps of this run in their order, each with the run that it belongs to: this one or a fold."""
        folds = [(fold, step) for fold in self.folds for step in self.graph]
        return [*folds, (self, COMPARE)] if folds else [(self, step) for step in self.graph]

    def spec(self, step: str) -> Step:
        """Returns the definition of a step in this run.

        Raises:
            StageError: it has no such step.
        """
        if step not in self.graph:
            raise StageError(f"{self.directory}: this run has no step {step}; it has {', '.join(self.graph)}")
        pooled = self.contract.pooled
        return pooled if pooled is not None and step == pooled.name and self.folds else self.graph[step]

    def label(self, step: str) -> str:
        """Names a step uniquely among the folds: `sft`, `sft-2`."""
        fold = self.config.data.fold
        return step if fold is None else f"{step}-{fold}"

    def title(self, step: str) -> str:
        """Names a step for people."""
        fold = self.config.data.fold
        return self.spec(step).title + ("" if fold is None else f", fold {fold}")

    def inputs(self, step: str) -> dict[str, Path]:
        """Maps input names to files or directories; a base model of the hub may not have been downloaded yet."""
        spec = self.spec(step)
        if spec is self.contract.pooled:
            return {f"fold_{fold.config.data.fold}": fold.stage_dir(step) for fold in self.folds}
        made = {name: self.stage_dir(other) for name, other in spec.needs.items() if self._gives(other)}
        if spec.loads_model:
            made[MODEL] = base_directory(self.config.model)
        return made | spec.files(self.config)

    def loads_model(self, step: str) -> bool:
        """Tells whether a step asks or trains the base model."""
        return self.spec(step).loads_model

    def runs(self, step: str) -> bool:
        """Tells whether a step is part of this run; one behind a gate is not, where the gate says so."""
        gate = self.graph[step].gate
        if not gate or not (self.stage_dir(gate) / MANIFEST).is_file():
            return True
        return bool(verify(self.stage_dir(gate)).numbers["go_on"])

    def _gives(self, step: str) -> bool:
        """Whether a step is, or will be, an input of the steps that need it."""
        out = self.stage_dir(step)
        if self.graph[step].optional and (out / MANIFEST).is_file():
            return bool(read_manifest(out).outputs)
        return self.runs(step)

    def devices(self, step: str) -> list[str]:
        """Lists the accelerators that a step has to have for itself."""
        return locks.accelerators(self.config.cuda_devices) if self.loads_model(step) else []

    def finished(self, step: str) -> StageResult | None:
        """Returns the step's result if it is done and its files are whole."""
        spec = self.spec(step)
        try:
            return finished(spec.load(), spec.settings(self.config), self.inputs(step), self.stage_dir(step))
        except StageError:
            return None

    def why_not_done(self, step: str) -> str:
        """Explains why a step that has just ended without an error does not count as done."""
        out = self.stage_dir(step)
        try:
            manifest = verify(out)
            now = fingerprint(self.spec(step).load(), self.spec(step).settings(self.config), self.inputs(step))[1]
        except StageError as error:
            return f"{step}: has ended, and is not done: {error}"
        changed = ", ".join(name for name, digest in now.items() if manifest.inputs.get(name) != digest)
        return (
            f"{step}: has ended, and is not done, since {changed or 'its settings'} changed while it ran; put back "
            "what it began with, or go on with what is there now: --continue"
        )

    def require_inputs(self, step: str) -> None:
        """Checks what a step reads, before anything is changed or loaded.

        The steps before it must be done, its windows be of these very settings, and its adapters of this base model.

        Raises:
            EngineError: the tracker that a training is to report to is not installed.
            StageError: names the step that has to run first, and why; or what lies where its adapter is published.
        """
        require_publishable(self, step)
        if self.spec(step).trains:
            tracking.require_tracker(self.config.report_to)
        needed = [] if self.spec(step) is self.contract.pooled else earlier_steps(self.graph, step)
        model = self._model_digest() if self.loads_model(step) else None
        for other in filter(self.runs, needed):
            try:
                manifest = verify(self.stage_dir(other))
            except StageError as error:
                raise StageError(f"{step} needs {other}: {error}") from error
            if model is not None and manifest.inputs.get(MODEL, model) != model:
                raise StageError(
                    f"{self.stage_dir(other)}: finished {manifest.finished} with another base model than is in "
                    f"{base_directory(self.config.model)} now; put the other back, or run {other} again"
                )
            # Other stages may be given other settings one by one; windows of another shape or market fit none of them.
            if not self.graph[other].needs and self.finished(other) is None:
                raise StageError(
                    f"{self.stage_dir(other)}: finished {manifest.finished} with other settings or inputs than "
                    f"{step} is to run with; run {other} again with the same options, or leave the options out"
                )

    def _model_digest(self) -> str | None:
        """Digest of the base model's files; None while those of a model of the hub are not on this machine."""
        try:
            return model_digest(base_directory(self.config.model))
        except StageError:
            return None

    def execute(self, step: str, progress: Progress) -> StageResult:
        """Runs a step in this process, unless it is done, and publishes its adapter."""
        self.require_inputs(step)
        if self.loads_model(step):
            base_location(self.config.model)  # fetched and looked at before it is an input
        spec = self.spec(step)
        with tracking.tracked(self._tracked(step)):
            result = execute(spec.load(), spec.settings(self.config), self.inputs(step), self.stage_dir(step), progress)
        if spec.publishes:
            publish(self, step)
        return result

    def _tracked(self, step: str) -> tracking.Tracked | None:
        """Where a training reports to: one project a run, with one run in it for each training of each fold."""
        if self.config.report_to is None or not self.spec(step).trains:
            return None
        whole = next(iter(walk_of(self.directory)), self.directory)
        return tracking.Tracked(self.config.report_to, whole.name, self.label(step), whole / TRACKING)

    @property
    def digest(self) -> str:
        """Computes the digest of its settings; each stage is told it and refuses settings that have changed since."""
        return json_digest(self.config.model_dump(mode="json"))

    def require_digest(self, digest: str) -> None:
        """Checks that the settings are those of this digest.

        Raises:
            StageError: `config.json` was changed since the run began.
        """
        if self.digest != digest:
            raise StageError(
                f"{self.directory / CONFIG}: changed since this run began; put back what it said, or go on with the "
                "new settings in a new run: --continue"
            )

    @property
    def models_dir(self) -> Path:
        """Returns where the run's adapters are published: `models/{MODEL}/{STOCK}`."""
        return Path(self.config.models_dir) / self.config.model_name / self.config.stock_name


def discard(run: Run, step: str) -> None:
    """Removes all that a step left, its checkpoints as well, so that it runs from its beginning.

    Raises:
        BusyError: another process is running it.
        StageError: the directory holds what is not a stage's.
    """
    out = run.stage_dir(step)
    if not out.is_dir():
        return
    require_stage_dir(out, run.spec(step).load().name)
    with locks.held(out / LOCK, "discard", f"{out}: another process is running this stage; the directory"):
        clear(out)
        (out / MARK).unlink()


def new_directory(config: RunConfig, timestamp: str) -> Path:
    """Names the directory of a new run: `{results_dir}/{STOCK}_{timestamp}`."""
    return Path(config.results_dir) / f"{config.stock_name}_{timestamp}"


@contextmanager
def alone_in(directory: Path, holder: str, *, wait: float = 0.0) -> Iterator[None]:
    """Locks a run against everyone else who would change it, before its settings are read or written.

    Raises:
        BusyError: another process works on this run; nothing was changed.
        StageError: the directory holds what is not a run's.
    """
    require_run_dir(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with locks.held(directory / LOCK, holder, f"{directory}: this run", wait=wait):
        yield
