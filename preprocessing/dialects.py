"""Finds the dialect of a CSV text of bars: its separator, its header, and where its rows begin."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from preprocessing.names import name_columns, plain
from stonk_pipeline.schema import CLOSE, DATE

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MOST_COLUMNS = 10_000
HEAD = 3
"""Lines that a header takes at most."""
BINANCE = ("opentime", "open", "high", "low", "close", "volume")
METATRADER = ("date", "time", "open", "high", "low", "close", "volume")
NUMBER = r"-?[0-9]+(\.[0-9]+)?"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The separator, column names and first row of a CSV text."""

    separator: str
    header: tuple[str, ...]
    """Names of the columns, as the file writes them."""
    tickers: tuple[str, ...] | None
    """Ticker of each column; None: the file has no row of them."""
    lines: int
    """Lines before the first row of bars."""
    said: tuple[str, ...]
    """For the report: what is unusual."""


def find_dialect(text: str) -> Dialect:
    """Finds the dialect from the first lines.

    Args:
        text: the first lines, or all.

    Raises:
        ValueError: more columns than bars have.
        csv.Error: the lines are no table.
    """
    blank = _blank_lines(text)
    lines = text.split("\n", blank + HEAD + 1)[blank : blank + HEAD + 1]
    marked = re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[0].lower()) if lines else None
    if marked:
        lines = lines[1:]
    lines = lines[:HEAD]
    widest = max((line.count(mark) for line in lines for mark in SEPARATORS), default=0)
    if widest > MOST_COLUMNS:
        raise ValueError(f"a line of more than {MOST_COLUMNS} columns")
    separator = marked[1] if marked and marked[1] in SEPARATORS else _separator(lines)
    reader = csv.reader(lines, delimiter=separator)
    rows, ends = [], []
    for row in reader:
        rows.append(row or [""])
        ends.append(reader.line_num)
    said = [f"{SEPARATORS[separator]} between the columns"] if separator != "," else []
    before = blank + bool(marked)
    named = _headerless(rows[0]) if rows else None
    if named:
        return Dialect(separator, named[0], None, before, (*said, named[1]))
    header, tickers, taken = _header(rows or [[""]])
    if ends[:taken] != list(range(1, taken + 1))[: len(ends)]:
        raise csv.Error("a quotation mark opens a cell that goes on in the next line")
    return Dialect(separator, tuple(header), tuple(tickers) if tickers else None, before + taken, tuple(said))


def _blank_lines(text: str) -> int:
    """Lines with nothing in them before the first one that has something."""
    start = re.match(r"\s*\n", text)
    return start[0].count("\n") if start else 0


def _separator(lines: Sequence[str]) -> str:
    """The separator that makes most names of columns out of the first lines, or else most columns."""

    def worth(mark: str) -> tuple[int, int]:
        rows = list(csv.reader(lines[:2], delimiter=mark))
        return max((len(name_columns(row).found) for row in rows), default=0), max(map(len, rows), default=0)

    return max(SEPARATORS, key=worth)


def _headerless(row: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Names for the columns of the two exports that have no header: (names, what it is taken for)."""
    cells = [cell.strip() for cell in row]
    numbers = [re.fullmatch(NUMBER, cell) is not None for cell in cells]
    if len(cells) >= 11 and re.fullmatch(r"[0-9]{13}|[0-9]{16}", cells[0]) and all(numbers):
        return (*BINANCE, *[""] * (len(cells) - len(BINANCE))), "no header, taken for Binance's klines"
    day, clock = cells[0], cells[1] if len(cells) == len(METATRADER) else ""
    if re.fullmatch(r"[0-9]{4}\.[0-9]{2}\.[0-9]{2} [0-9]{2}:[0-9]{2}", f"{day} {clock}") and all(numbers[2:]):
        return METATRADER, "no header, taken for MetaTrader's history"
    return None


def _header(rows: list[list[str]]) -> tuple[list[str], list[str] | None, int]:
    """Column names, tickers (None if the file has no row of them), and how many lines they take.

    yfinance writes frames with two levels of columns: a row of fields, a row of tickers, and a row that names the
    index and nothing else. Either of the first two may come first.
    """
    first = rows[0]
    if len(rows) > 1 and _is_index(first, rows[1]):
        return [DATE, *first[1:]], None, 1
    if len(rows) < 2 or DATE in name_columns(first).found:
        return first, None, 1
    # A frame's index has no name unless someone gave it one.
    flat = [DATE, *first[1:]] if len(first) > 1 and not first[0].strip() else first
    second = rows[1]
    if not _has_close(first) and _has_close(second):
        first, second = second, first
    if not _has_close(first) or second[0].strip().lower() not in ("ticker", "price", "") or len(second) != len(first):
        return flat, None, 1
    if any(re.fullmatch(NUMBER, cell.strip()) for cell in second[1:]):
        return flat, None, 1
    named = len(rows) > 2 and DATE in name_columns(rows[2][:1]).found and not any(cell.strip() for cell in rows[2][1:])
    return [DATE, *first[1:]], ["", *second[1:]], 3 if named else 2


def _is_index(header: Sequence[str], row: Sequence[str]) -> bool:
    """Whether the first column, without a name, is of dates: they go before a column such as `day` or `timestamp`."""
    unnamed = len(header) > 1 and not header[0].strip() and name_columns(header).found.get(DATE) != DATE
    return unnamed and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", row[0].strip()) is not None


def _has_close(row: Sequence[str]) -> bool:
    return CLOSE in map(plain, row)
