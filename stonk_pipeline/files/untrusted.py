"""Reads text and JSON of unknown origin within limits on size, depth and digits (YAML: `files.yaml`).

The libraries read what is well meant. Of the rest, some ends in their own exceptions (a nesting of thousands, an
integer of 5,000 digits, 30 February), some in none at all: a name given twice, where the last one wins; an alias that
stands for a billion values; a pipe that is never written to. Each comes out of here as one error of this project.
"""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from stonk_pipeline.errors import PipelineError

MEGABYTE = 1_000_000
LARGEST = 32 * MEGABYTE
"""Bytes of a file that is read as a whole. Of brackets alone, these become some 600 MB in memory."""
LARGEST_TABLE = 1000 * MEGABYTE
"""Bytes of a file of this project's own with one short record a line."""
LONGEST_LINE = 4 * MEGABYTE
"""Characters of a line of JSONL."""
DEEPEST = 64
"""Nested lists and tables; what this project reads has less than ten."""
LONGEST_NUMBER = 400
"""Characters; Python reads up to 4,300 digits, and prints no longer ones."""
LARGEST_NUMBER = 2**63
UNPRINTED = re.compile("[\\0-\\x08\\x0b\\f\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff\\ufeff]")
"""Controls, marks that turn the reading direction, and halves of surrogate pairs: no setting or record needs one."""
TICKER = re.compile(r"[A-Za-z0-9.\-=^&_/:$]{1,32}", re.ASCII)
SHOWN = 160
"""Characters of somebody else's text, or of a library's complaint, that a message shows."""

Model = TypeVar("Model", bound=BaseModel)


def shown(text: object, limit: int = SHOWN) -> str:
    """Makes a text of unknown origin printable in a message: one line, no control characters, cut where it is long."""
    try:
        written = str(text)
    except (ValueError, NotImplementedError, RecursionError):  # dates that pandas holds and Python cannot write
        written = type(text).__name__
    line = " ".join(written[: 4 * limit].split())
    line = "".join(char if char.isprintable() else "\ufffd" for char in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def read_bytes(path: Path, fail: type[PipelineError], remedy: str, largest: int = LARGEST) -> bytes:
    """Reads a regular file's content.

    Args:
        path: the file.
        fail: kind of error to raise.
        remedy: what to do, the end of its message.
        largest: most bytes.

    Raises:
        FileNotFoundError: there is none, which means something else to each caller.
        PipelineError: `fail`: it is a directory or a pipe, larger than `largest`, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise fail(f"{shown(path)}: not a plain file; {remedy}")
        if found.st_size > largest:
            raise fail(f"{shown(path)}: larger than {largest / MEGABYTE:g} MB; {remedy}")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # the second: a NUL in the name
        raise fail(f"{shown(path)}: cannot be read ({reason(error)}); {remedy}") from error


def read_text(path: Path, fail: type[PipelineError], remedy: str, largest: int = LARGEST) -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark; errors as those of `read_bytes`."""
    try:
        return read_bytes(path, fail, remedy, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fail(f"{shown(path)}: not UTF-8 at byte {error.start + 1}; {remedy}") from error


def parse_json(text: str | bytes, place: object, fail: type[PipelineError], remedy: str) -> Any:
    """Parses a JSON text.

    Args:
        text: the text.
        place: file, or file and line, for the message.
        fail: kind of error to raise.
        remedy: what to do, the end of its message.

    Raises:
        PipelineError: `fail`: not JSON, not UTF-8, nested too deep, with a number too long, or with a name twice in
            one table.
    """
    try:
        value = json.loads(text, object_pairs_hook=_table, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise fail(f"{shown(place)}: not JSON ({reason(error)}); {remedy}") from error
    if _too_deep(value):
        raise fail(f"{shown(place)}: nested deeper than {DEEPEST} levels; {remedy}")
    return value


def read_lines(path: Path, fail: type[PipelineError]) -> Iterator[tuple[str, str]]:
    """Yields place and text of each line that is not blank; raises `fail` for one that would fill the memory.

    Lines end in a line feed alone: a text may hold another line separator that JSON allows.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), ""), start=1):
            place = f"{path}, line {number}"
            if len(line) == LONGEST_LINE:
                raise fail(f"{place}: longer than {LONGEST_LINE:,} characters; write one record a line")
            if line.strip():
                yield place, line


def read_json(path: Path, fail: type[PipelineError], remedy: str, largest: int = LARGEST) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: there is none.
        PipelineError: `fail`, see `read_bytes` and `parse_json`.
    """
    return parse_json(read_text(path, fail, remedy, largest), path, fail, remedy)


def read_table(path: Path, fail: type[PipelineError], remedy: str) -> dict[str, Any]:
    """Reads a JSON object from a file; errors as those of `read_json`, and `fail` where it is something else."""
    value = read_json(path, fail, remedy)
    if not isinstance(value, dict):
        raise fail(f"{shown(path)}: no table of names and values; {remedy}")
    try:
        check_plain(value)
    except ValueError as error:
        raise fail(f"{shown(path)}: damaged ({error}); {remedy}") from error
    return value


def read_model(path: Path, model: type[Model], fail: type[PipelineError], remedy: str) -> Model:
    """Reads a JSON file as a pydantic model; errors as those of `read_table`, and `fail` for a wrong field."""
    table = read_table(path, fail, remedy)
    try:
        return model.model_validate_json(json.dumps(table))  # by way of text: a list there may be a tuple here
    except (ValueError, RecursionError) as error:
        raise fail(f"{shown(path)}: damaged ({reason(error)}); {remedy}") from error


def check_plain(value: Any) -> None:
    """Refuses values that settings and records cannot hold, at any depth.

    Raises:
        ValueError: NaN, an infinite number, an integer beyond 64 bits; text with a control character or half a pair of
            surrogates.
    """
    if isinstance(value, dict):
        check_plain([*value, *value.values()])
    elif isinstance(value, list | tuple | set):
        for part in value:
            check_plain(part)
    elif isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
        raise ValueError("an integer of more than 64 bits")
    elif isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("a number that is none, or beyond any other")
    elif isinstance(value, str) and UNPRINTED.search(value):
        raise ValueError("a character that text does not have")


def is_name(text: str) -> bool:
    """Checks that a text is the name of one file or directory, and no path to another place."""
    wrong = text in ("", ".", "..") or "/" in text or "\0" in text or not text.isprintable()
    return not wrong and len(text.encode(errors="replace")) < 256


def is_ticker(text: str) -> bool:
    """Checks that a text has the form of a stock's ticker, which stands in prompts outside of what is quoted."""
    return TICKER.fullmatch(text) is not None


def finite(value: object) -> float | None:
    """Converts a number to a float; returns None for anything else, for NaN, and for what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < float("inf") else None


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice[:40]!r} is given twice in one table")
    return table


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            part
            for item in level
            for part in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def reason(error: BaseException) -> str:
    """Says why something could not be read, short enough for a message."""
    if isinstance(error, RecursionError):
        return f"nested deeper than {DEEPEST} levels"
    if isinstance(error, KeyError):
        return f"no known value {shown(error, 40)}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    lines = str(error).splitlines()
    return shown(": ".join(lines[1:3]) if type(error).__name__ == "ValidationError" else lines[0] if lines else error)
