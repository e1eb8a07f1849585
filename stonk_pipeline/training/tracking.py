"""Sends the figures of trainings to an experiment tracker as well, through the trainers' own `report_to`."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import EngineError

PACKAGES = {
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
}
"""Tracker -> the packages of which transformers needs one."""


@dataclass(frozen=True)
class Tracked:
    """The run of a tracker that a training reports to."""

    tracker: str
    """One of `PACKAGES`."""
    project: str
    run: str
    directory: Path
    """Where it keeps what it writes on this machine."""

    def variables(self) -> dict[str, str]:
        """Lists what trackers read of the environment alone: where they write, and the project's name."""
        return {
            "TRACKIO_DIR": str(self.directory),
            "TENSORBOARD_LOGGING_DIR": str(self.directory / self.run),
            "WANDB_DIR": str(self.directory),
            "WANDB_PROJECT": self.project,
            "MLFLOW_EXPERIMENT_NAME": self.project,
        }


_now: ContextVar[Tracked | None] = ContextVar("tracked", default=None)


def require_tracker(tracker: str | None) -> None:
    """Refuses a tracker that is not installed.

    Raises:
        EngineError: names the package and how to install it.
    """
    packages = PACKAGES.get(tracker or "", ())
    if packages and not any(importlib.util.find_spec(package) for package in packages):
        raise EngineError(
            f"report_to is {tracker!r}, but {packages[0]} is not installed; `.venv/bin/python -m pip install "
            f"{packages[0]}` adds it, or leave the setting out"
        )


@contextmanager
def tracked(run: Tracked | None) -> Iterator[None]:
    """Has the trainings in the block report to a run of a tracker; to none, where it is None.

    What the environment says already of a tracker (another folder, a server) holds.
    """
    new: dict[str, str] = {}
    if run is not None:
        run.directory.mkdir(exist_ok=True)
        new = {name: value for name, value in run.variables().items() if name not in os.environ}
    os.environ.update(new)
    token = _now.set(run)
    try:
        yield
    finally:
        _now.reset(token)
        for name in new:
            os.environ.pop(name, None)


def arguments() -> dict[str, Any]:
    """Returns the arguments of a trainer that make it report to the run of this block, or to none."""
    run = _now.get()
    if run is None:
        return {"report_to": []}
    return {"report_to": [run.tracker], "project": run.project, "run_name": run.run}
