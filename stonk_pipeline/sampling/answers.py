"""Checks, writes and reads the answers of models: Parquet files, one row an answer, in the order of the questions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from stonk_pipeline.errors import StageError
from stonk_pipeline.schema import Unreadable

Key = tuple[str, str]
"""(stock, decision date)."""
Answer = TypeVar("Answer")


def check_answers(answers: Mapping[str, Sequence[Sequence[Any]]], count: int, question: str) -> None:
    """Checks that there is something to compare, and that every model answered every question as often.

    Raises:
        StageError: they do not; `question` is what one is called there, such as `window`.
    """
    if not count or not answers:
        raise StageError(f"nothing to compare: give at least one {question} and one model")
    for name, given in answers.items():
        if len(given) != count:
            raise StageError(f"model {name!r} answered {len(given)} of {count} {question}s")
        if len({len(samples) for samples in given}) != 1 or not given[0]:
            raise StageError(f"model {name!r}: every {question} needs the same number of answers, at least one")


def write_answers(
    path: Path,
    schema: pa.Schema,
    keys: Iterable[Key],
    texts: Sequence[Sequence[str]],
    answers: Sequence[Sequence[Answer | Unreadable]],
    columns: Callable[[Answer], dict[str, Any]],
) -> None:
    """Writes a model's answers to each question, one row an answer.

    Of the schema's columns, `completion` is the answer as the model wrote it (`texts`), and `reason` says why it could
    not be read; `columns` gives those of a readable answer, which are the contract's own and else empty.
    """
    rows = [
        {"stock": stock, "date": date, "sample": sample, "completion": text}
        | ({"reason": answer.reason} if isinstance(answer, Unreadable) else columns(answer))
        for (stock, date), of_texts, of_answers in zip(keys, texts, answers, strict=True)
        for sample, (text, answer) in enumerate(zip(of_texts, of_answers, strict=True))
    ]
    write_rows(path, schema, rows)


def write_rows(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    """Writes records as a Parquet file, and makes its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads the records of a Parquet file.

    Raises:
        StageError: the file is missing or damaged.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except FileNotFoundError as error:
        raise StageError(f"{path}: missing; run the comparison again") from error
    except pa.ArrowException as error:
        raise StageError(f"{path}: damaged ({error}); run the comparison again") from error
    return rows


def read_answers(path: Path) -> dict[Key, list[dict[str, Any]]]:
    """Reads the rows of a model's answers to each question, in the order of the samples; errors as of `read_rows`."""
    found: dict[Key, list[dict[str, Any]]] = {}
    for row in sorted(read_rows(path), key=lambda row: int(row["sample"])):
        found.setdefault((row["stock"], row["date"]), []).append(row)
    return found
