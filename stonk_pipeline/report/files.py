"""What a run directory holds, as far as the report shows it; everything but the comparison may be missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.results import Comparison, read_comparison
from stonk_pipeline.files.untrusted import read_json
from stonk_pipeline.pipeline.graph import FORECAST
from stonk_pipeline.pipeline.run import FOLDS

STAGES = {step.directory: step.title for step in FORECAST.values()}
"""Directory of each stage, in the order they run, and its name for people."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Reads files of one run directory on demand. What a walk-forward itself has not, its last fold has."""

    root: Path

    def find(self, *parts: str) -> Path:
        """Where a file of the run lies."""
        path = self.root.joinpath(*parts)
        folds = sorted((self.root / FOLDS).glob("*"), key=lambda fold: int(fold.name))
        return folds[-1].joinpath(*parts) if folds and not path.is_file() else path

    def comparison(self) -> Comparison:
        """The numbers that the page is about.

        Raises:
            StageError: there is no comparison, or it is damaged.
        """
        return read_comparison(self.root / "model_comparison")

    def record(self, *parts: str) -> dict[str, Any] | None:
        """A JSON file, or None where there is none.

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
        """A stage's manifest. Read, not verified: the stage that made it is done."""
        return self.record(stage, "manifest.json")

    def table(self, *parts: str) -> pd.DataFrame | None:
        """A CSV file, or None where there is none or it has no rows.

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

    def bars(self, stock: str) -> pd.DataFrame | None:
        """Clean bars of a stock, `date` as ISO text."""
        return _iso(self.table("preprocessing", f"{stock}_bars.csv"))

    @property
    def windows(self) -> pd.DataFrame | None:
        """The compared windows with what came after them."""
        return self._parquet("windows.parquet")

    def forecasts(self, model: str) -> pd.DataFrame | None:
        """All answers of a model."""
        return self._parquet(f"forecasts/{model}.parquet")

    def _parquet(self, name: str) -> pd.DataFrame | None:
        from pyarrow import ArrowException

        path = self.root / "model_comparison" / name
        try:
            return _iso(pd.read_parquet(path)) if path.is_file() else None
        except (ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
            raise StageError(f"{path}: damaged; run the comparison again") from error


def _iso(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if frame is None else frame.assign(date=frame["date"].astype(str).str[:10])
