"""Runs a stage and records it in `manifest.json`, which proves that it is done and its files are undamaged.

A stage is done when its `manifest.json` verifies, and not before. The manifest is written last and atomically; it holds
the stage's settings, the digests of all input and output files, library versions, seed, git commit and the numbers that
the stage reports.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from stonk_pipeline.config.base import Settings
from stonk_pipeline.errors import StageError
from stonk_pipeline.files import folders, locks
from stonk_pipeline.files.folders import write_atomic as write_atomic
from stonk_pipeline.files.model_digest import model_digests
from stonk_pipeline.files.provenance import file_digest as file_digest
from stonk_pipeline.files.provenance import git_commit, library_versions, loaded_code
from stonk_pipeline.files.untrusted import is_name, read_model, shown

MANIFEST = "manifest.json"
MODEL = "model"
"""Name of the input that is a base model's directory."""
CHECKPOINTS = "checkpoints"
"""Subdirectory that survives when an interrupted stage runs again with the same settings and inputs."""
LOCK = ".lock"
MARK = ".fingerprint"
"""File in a stage's directory that says that it is one, and what its checkpoints follow from."""
STAGE_LOG = "stage.log"
SCRATCH = (CHECKPOINTS, "scratch", STAGE_LOG, MARK, LOCK)
"""Names in a stage's directory that are not outputs."""
TIMED = ("training_log.csv",)
"""Outputs with times of the clock. They are verified like all others, but no later stage rests on them: a stage that is
built again gives the same digest, and what follows from it stays done."""

Progress = Callable[[int, int, str], None]
"""Receives (steps done, steps in all, a short note)."""
Body = Callable[[Any, Mapping[str, Path], Path, Progress], dict[str, Any]]
"""What a stage does: (settings, input files and directories, output directory, progress) -> numbers to report."""


class StageResult(BaseModel):
    """The result that a stage hands on: paths and numbers, never frames or models."""

    model_config = ConfigDict(frozen=True)

    stage: str
    directory: str
    digest: str
    """Digest of the output files, logs with times of the clock excepted."""
    numbers: dict[str, Any]
    seconds: float

    @property
    def path(self) -> Path:
        """The stage's directory."""
        return Path(self.directory)


class Manifest(BaseModel):
    """The content of `manifest.json`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    stage: str
    fingerprint: str
    """Digest of the settings and the inputs' digests: what the outputs follow from."""
    config: dict[str, Any]
    inputs: dict[str, str]
    """Input name -> digest."""
    outputs: dict[str, str]
    """Relative path of each output file -> SHA-256."""
    digest: str
    numbers: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None
    code: dict[str, str] = {}
    """Source file -> digest, of the modules that were loaded when the stage ended."""
    seed: int | None
    seconds: float
    finished: str
    """UTC, ISO 8601."""
    seal: str = ""
    """Digest of all of the above: an output, a number or a seed that was struck out or changed is noticed."""

    def sealed(self) -> "Manifest":
        """Returns the manifest with its seal: the digest of all its other fields."""
        return self.model_copy(update={"seal": json_digest(self.model_dump(mode="json", exclude={"seal"}))})


@dataclass(frozen=True)
class Stage:
    """A named piece of the pipeline: `execute` runs it once for given settings and inputs."""

    name: str
    config_type: type[Settings]
    body: Body = field(repr=False)


def json_digest(value: Any) -> str:
    """Computes the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def output_files(directory: Path) -> dict[str, str]:
    """Maps the relative path of every output file below a stage's directory to its SHA-256."""
    return {path.relative_to(directory).as_posix(): file_digest(path) for path in _files(directory)}


def _files(directory: Path) -> list[Path]:
    """Files below a stage's directory that are outputs, or lie where outputs do."""
    there = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return [path for path in there if path.relative_to(directory).parts[0] not in (*SCRATCH, MANIFEST)]


def input_digest(path: Path) -> str:
    """Computes the digest of an input: a file, what a finished stage's manifest lists, or a plain directory's files."""
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        raise StageError(f"{path}: no such file or directory; run the stage that makes it first")
    if (path / MANIFEST).is_file() or (path / MARK).is_file():  # of a stage, finished or not
        return verify(path).digest
    return json_digest(output_files(path))


def model_digest(directory: Path) -> str:
    """Computes the digest of a base model's files.

    Raises:
        StageError: they are not there.
    """
    return json_digest(model_digests(directory))


def read_manifest(directory: Path) -> Manifest:
    """Reads a stage's manifest.

    Raises:
        StageError: there is none, or it is damaged.
    """
    path = directory / MANIFEST
    try:
        return read_model(path, Manifest, StageError, "run this stage again")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StageError(f"{directory}: not finished (no {MANIFEST}); run this stage again") from error


def verify(directory: Path) -> Manifest:
    """Reads a stage's manifest and checks its seal, and every output file against it.

    Raises:
        StageError: the stage is unfinished, its manifest was changed, or an output is missing, altered, truncated or
            none that the stage made.
    """
    manifest = read_manifest(directory)
    if manifest != manifest.sealed():
        raise StageError(f"{directory / MANIFEST}: changed since the stage ended; run stage {manifest.stage!r} again")
    for name, digest in manifest.outputs.items():
        path = directory / name
        if not _inside(name):
            raise StageError(f"{directory / MANIFEST}: output {shown(name)!r} is no name; run the stage again")
        if not path.is_file():
            raise StageError(f"{path}: missing, though the stage finished; run stage {manifest.stage!r} again")
        if file_digest(path) != digest:
            raise StageError(f"{path}: changed since the stage finished; run stage {manifest.stage!r} again")
    for path in _files(directory):
        if path.relative_to(directory).as_posix() not in manifest.outputs:
            raise StageError(f"{path}: not made by stage {manifest.stage!r}; move it away, or run the stage again")
    return manifest


def _inside(name: str) -> bool:
    """Whether a manifest's name of an output is one of a file below its own directory."""
    return all(map(is_name, name.split("/")))


def fingerprint(stage: Stage, config: Settings, inputs: Mapping[str, Path]) -> tuple[str, dict[str, str]]:
    """Computes the digest of all that a stage's outputs follow from, and the inputs' digests."""
    # One file may be the input of thousands of stocks: it is read once.
    by_path = {path: input_digest(path) for path in dict.fromkeys(inputs.values()) if path != inputs.get(MODEL)}
    digests = {name: model_digest(path) if name == MODEL else by_path[path] for name, path in inputs.items()}
    return json_digest([stage.name, config.model_dump(mode="json"), digests]), digests


def finished(stage: Stage, config: Settings, inputs: Mapping[str, Path], out: Path) -> StageResult | None:
    """Returns the stage's result if it is done for these settings and inputs and its outputs are whole, else None."""
    if not (out / MANIFEST).is_file():
        return None
    try:
        manifest = verify(out)
        if manifest.fingerprint != fingerprint(stage, config, inputs)[0]:
            return None
    except StageError:
        return None
    return _result(manifest, out)


def execute(
    stage: Stage, config: Settings, inputs: Mapping[str, Path], out: Path, progress: Progress = lambda *_: None
) -> StageResult:
    """Runs a stage, unless it is already done for the same settings and inputs.

    What an interrupted run left is removed, except checkpoints that follow from the same settings and inputs.

    Raises:
        StageError: an input is unfinished or damaged, or the directory holds what is not a stage's.
        BusyError: another process is running the stage.
        PipelineError: whatever the stage itself refuses.
    """
    done = finished(stage, config, inputs, out)
    if done is not None:
        return done
    require_stage_dir(out, stage.name)
    with _alone_in(out, stage):
        return _run(stage, config, inputs, out, progress)


@contextmanager
def _alone_in(out: Path, stage: Stage) -> Iterator[None]:
    """Holds a stage's directory; the system lets go of it when the process ends, however it ends."""
    out.mkdir(parents=True, exist_ok=True)
    with locks.held(out / LOCK, stage.name, f"{out}: another process is running this stage; the directory"):
        yield


def _run(stage: Stage, config: Settings, inputs: Mapping[str, Path], out: Path, progress: Progress) -> StageResult:
    key, digests = fingerprint(stage, config, inputs)
    _prepare(out, key)
    start = time.monotonic()
    numbers = stage.body(config, inputs, out, progress)
    outputs = output_files(out)
    manifest = Manifest(
        stage=stage.name,
        fingerprint=key,
        config=config.model_dump(mode="json"),
        inputs=digests,
        outputs=outputs,
        digest=json_digest({name: digest for name, digest in outputs.items() if name not in TIMED}),
        numbers=numbers,
        versions=library_versions(),
        git_commit=git_commit(),
        code=loaded_code(),
        seed=getattr(config, "seed", None),
        seconds=round(time.monotonic() - start, 3),
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    write_atomic(out / MANIFEST, manifest.sealed().model_dump_json(indent=2))
    return _result(manifest, out)


def _result(manifest: Manifest, out: Path) -> StageResult:
    return StageResult(
        stage=manifest.stage,
        directory=str(out),
        digest=manifest.digest,
        numbers=manifest.numbers,
        seconds=manifest.seconds,
    )


def require_stage_dir(out: Path, name: str) -> None:
    """Refuses to empty a directory that is not a stage's, such as `preprocessing/` of a checkout.

    Raises:
        StageError: it is a link or a file, or it holds what no stage has left.
    """
    own = (out / MARK).is_file()
    if not own and (out / MANIFEST).is_file():  # one that was taken over from another run has no mark
        try:
            own = read_manifest(out).stage == name
        except StageError:
            own = False
    folders.require_own(out, own, StageError, "give the run a directory of its own", spared=(LOCK, STAGE_LOG))


def clear(out: Path, kept: Collection[str] = ()) -> None:
    """Empties a stage's directory, but for its lock; the manifest goes first, as half a stage must not look whole.

    The mark stays to the end of it: killed in between, what is left is still known for a stage's.
    """
    if not (out / MARK).is_file():
        write_atomic(out / MARK, "")
    folders.remove(out / MANIFEST)
    for path in out.iterdir():
        if path.name not in (LOCK, MARK, *kept):
            folders.remove(path)


def _prepare(out: Path, key: str) -> None:
    """Empties the stage's directory; checkpoints stay if they belong to the same fingerprint."""
    resumable = (out / MARK).is_file() and (out / MARK).read_text(encoding="utf-8") == key
    clear(out, kept=(STAGE_LOG, CHECKPOINTS) if resumable else (STAGE_LOG,))
    write_atomic(out / MARK, key)
