"""Publishes adapters: copies them to `models/{MODEL}/{STOCK}/{NAME}` with a note of which run they came from.

A stage ends in two steps: its manifest is written, then its adapter is published. A run that was killed in between has
a stage that is done and not published, and the stage does not run again; so whoever finds a stage done publishes what
was missed (`publish_missed`).
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stonk_pipeline.errors import StageError
from stonk_pipeline.files import folders, locks
from stonk_pipeline.pipeline.places import ORIGIN, PUBLICATION, is_note, require_outside, table_of
from stonk_pipeline.runs.manifest import output_files, verify, write_atomic

if TYPE_CHECKING:
    from stonk_pipeline.pipeline.run import Run

ADAPTER = "adapter"
WAIT_SECONDS = 60
REMEDY = "move it away, or give another --models-dir"
ELSEWHERE = "give another --models-dir"


def publish(run: "Run", step: str) -> Path:
    """Copies a step's adapter to the models directory, whole or not at all, with a note of where it came from.

    Raises:
        StageError: the step is not done, its files are damaged, or something else lies where it is published.
        BusyError: another process is publishing there.
    """
    require_publishable(run, step)
    source = run.stage_dir(step)
    target = _target(run, step)
    note = _note(run, step)
    wanted = output_files(source / ADAPTER) | {ORIGIN: hashlib.sha256(note.encode()).hexdigest()}
    if output_files(target) == wanted and not folders.leftovers(target.parent, target.name):
        return target
    run.models_dir.mkdir(parents=True, exist_ok=True)
    lock = run.models_dir.with_name(f".{run.models_dir.name}.lock")
    with locks.held(lock, f"{step} of {run.directory}", f"{target}: publishing there", wait=WAIT_SECONDS):
        if output_files(target) != wanted:
            _replace(source, target, note)
        folders.sweep(target.parent, target.name)  # earlier versions, and copies that were never finished
    return target


def require_publishable(run: "Run", step: str) -> None:
    """Refuses to publish a step's adapter over a folder that no publication has made, or inside of something else.

    Raises:
        StageError: there is such a folder, or a link; or the models directory lies in a stage, a model or another run.
    """
    require_outside(run.models_dir / "adapter", StageError, ELSEWHERE, of=run.directory)
    if run.spec(step).publishes:
        target = _target(run, step)
        own = is_note(table_of(target / ORIGIN), PUBLICATION)
        if not own:  # its note is lost or damaged
            there = {name: digest for name, digest in output_files(target).items() if name != ORIGIN}
            own = bool(there) and there.items() <= output_files(run.stage_dir(step) / ADAPTER).items()
        folders.require_own(target, own, StageError, REMEDY)


def publish_missed(run: "Run", step: str) -> Path | None:
    """Publishes the adapter of a step that is done, unless what is published is newer; None if the step has none.

    Nothing is copied where the adapter is published already. What another run made later stays.

    Raises:
        StageError: see `publish`.
    """
    if not run.spec(step).publishes:
        return None
    target = _target(run, step)
    there = table_of(target / ORIGIN)
    if not there:
        return publish(run, step)
    mine = json.loads(_note(run, step))
    if there.get("run") != mine["run"] and str(there.get("finished", "")) >= mine["finished"]:
        return target
    return publish(run, step)


def _target(run: "Run", step: str) -> Path:
    return run.models_dir / run.spec(step).publishes


def _note(run: "Run", step: str) -> str:
    manifest = verify(run.stage_dir(step))
    origin = {"run": str(run.directory), "step": step, "digest": manifest.digest, "finished": manifest.finished}
    return json.dumps(origin, indent=2)


def _replace(source: Path, target: Path, note: str) -> None:
    with folders.scratch(target) as scratch:
        shutil.copytree(source / ADAPTER, scratch, dirs_exist_ok=True)
        write_atomic(scratch / ORIGIN, note)
        folders.replace(scratch, target)
