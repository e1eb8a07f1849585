"""Reads a run's files for its report; any of them may be missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import read_json
from stonk_pipeline.pipeline.run import FOLDS


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Reads files of one run directory on demand; of a walk-forward, what it lacks itself from its last fold."""

    root: Path

    def find(self, *parts: str) -> Path:
        """Finds where a file of the run lies."""
        path = self.root.joinpath(*parts)
        folds = sorted((self.root / FOLDS).glob("*"), key=lambda fold: int(fold.name))
        return folds[-1].joinpath(*parts) if folds and not path.is_file() else path

    def record(self, *parts: str) -> dict[str, Any] | None:
        """Reads a JSON file; None where there is none.

        Raises:
            StageError: the file is damaged.
        """
        path = self.find(*parts)
        if not path.is_file():
            return None
        try:
            found = read_json(path, StageError, "run its stage again")
        except FileNotFoundError:
            return None
        return found if isinstance(found, dict) else None

    def manifest(self, stage: str) -> dict[str, Any] | None:
        """Reads a stage's manifest, without verifying it: the stage that made it is done."""
        return self.record(stage, "manifest.json")

    def table(self, *parts: str) -> pd.DataFrame | None:
        """Reads a CSV file; None where there is none or it has no rows.

        Raises:
            StageError: the file is damaged.
        """
        path = self.find(*parts)
        if not path.is_file():
            return None
        try:
            frame = pd.read_csv(path)
        except pd.errors.EmptyDataError:
            return None
        except (OSError, ValueError) as error:
            raise StageError(f"{path}: damaged; run its stage again") from error
        return frame if len(frame) else None
