"""Writes and reads what a comparison leaves: `comparison.json`, `verdict.json`, and tables as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict

from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import read_model
from stonk_pipeline.runs.manifest import write_atomic

TOO_FEW = "too few dates"
"""Stands in place of an interval for which there are too few."""
COMPARISON, VERDICT = "comparison.json", "verdict.json"


class Result(BaseModel):
    """Base class of results: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Read = TypeVar("Read", bound=Result)
Table = pd.DataFrame | Sequence[Any]


def write_results(directory: Path, comparison: Result, verdict: Result, tables: Mapping[str, Table]) -> None:
    """Writes `comparison.json` with all numbers, `verdict.json`, and each table of records as `{name}.csv`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / COMPARISON, comparison.model_dump_json(indent=2))
    write_atomic(directory / VERDICT, verdict.model_dump_json(indent=2))
    for name, table in tables.items():
        write_atomic(directory / f"{name}.csv", pd.DataFrame(table).to_csv(index=False, float_format="%.6g"))


def noted(item: Result) -> dict[str, Any]:
    """Makes the record of a table; where an interval (`low`, `high`) is missing, it says why in `note`."""
    record = item.model_dump()
    return record | {"note": TOO_FEW if record["low"] is None else ""} if "low" in record else record


def read_result(path: Path, kind: type[Read], stage: str = "the comparison") -> Read:
    """Reads a JSON file that a stage left.

    Raises:
        StageError: there is none, or it is damaged.
    """
    try:
        return read_model(path, kind, StageError, f"run {stage} again")
    except FileNotFoundError as error:
        raise StageError(f"{path.parent}: no {path.name}; run {stage} first") from error
