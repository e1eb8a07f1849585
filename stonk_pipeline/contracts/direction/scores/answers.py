"""Every answer of a model that calls directions, as a file: `calls/{model}.parquet`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stonk_pipeline.contracts.direction.cases import Examples
from stonk_pipeline.errors import StageError
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
    """Writes `calls/{model}.parquet`, one row an answer, in the order of the decisions.

    Args:
        out: directory of the stage.
        model: its name.
        examples: what was asked about.
        texts: the model's answers to each decision.
        answers: the same, read.
    """
    rows = [
        {"stock": decision.window.stock, "date": decision.window.date, "sample": sample, "completion": text}
        | (
            {"reason": answer.reason}
            if isinstance(answer, Unreadable)
            else {
                "side": answer.side,
                "change": answer.change,
                "confidence": answer.confidence,
                "thinking": answer.thinking,
            }
        )
        for decision, of_texts, of_answers in zip(examples.decisions, texts, answers, strict=True)
        for sample, (text, answer) in enumerate(zip(of_texts, of_answers, strict=True))
    ]
    (out / CALLS).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), out / CALLS / f"{model}.parquet")


def completions(out: Path, model: str) -> dict[tuple[str, str, int], str]:
    """Every answer as the model wrote it, by (stock, date, sample); none where the file is missing.

    Raises:
        StageError: the file is damaged.
    """
    path = out / CALLS / f"{model}.parquet"
    if not path.is_file():
        return {}
    try:
        rows = pq.read_table(path, columns=["stock", "date", "sample", "completion"]).to_pylist()
    except pa.ArrowException as error:
        raise StageError(f"{path}: damaged ({error}); run the comparison again") from error
    return {(row["stock"], row["date"], row["sample"]): row["completion"] for row in rows}
