"""Writes and reads every answer of a model that calls directions: `calls/{model}.parquet`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.sampling import answers as store
from stonk_pipeline.schema import Call, Unreadable

CALLS = "calls"
SCHEMA = pa.schema(
    [
        ("stock", pa.string()),
        ("date", pa.string()),
        ("sample", pa.int64()),
        ("side", pa.string()),
        ("change", pa.float64()),
        ("confidence", pa.float64()),
        ("thinking", pa.string()),
        ("reason", pa.string()),
        ("completion", pa.string()),
    ]
)
"""`change` is the called size in percent, without a sign; `reason` says why an answer could not be read, and then what
was called is empty; `completion` is the answer as the model wrote it."""


def write_answers(
    out: Path,
    model: str,
    examples: Examples,
    texts: Sequence[Sequence[str]],
    answers: Sequence[Sequence[Call | Unreadable]],
) -> None:
    """Writes `calls/{model}.parquet`: a model's answers to each decision, as it wrote them and as they are read."""
    keys = [(decision.window.stock, decision.window.date) for decision in examples.decisions]
    store.write_answers(out / CALLS / f"{model}.parquet", SCHEMA, keys, texts, answers, asdict)


def completions(out: Path, model: str) -> dict[store.Key, list[str]]:
    """Reads every answer as the model wrote it, by (stock, date, sample); none where the file is missing.

    Raises:
        StageError: the file is damaged.
    """
    path = out / CALLS / f"{model}.parquet"
    found = store.read_answers(path) if path.is_file() else {}
    return {key: [row["completion"] for row in rows] for key, rows in found.items()}
