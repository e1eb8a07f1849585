"""Reads the rows of a CSV text of bars, one a line, with no more values than the header has columns."""

import csv
import io
import warnings
from pathlib import Path

import pandas as pd

from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import reason, shown

REMEDY = "repair or delete that line"


def read_csv(path: Path, content: bytes, separator: str, width: int, lines: int) -> pd.DataFrame:
    """Reads the columns as text, numbered 0 to `width` - 1.

    Args:
        path: the file, for messages.
        content: its text, with line feeds at the ends of its lines.
        separator: between the columns.
        width: number of columns in the header.
        lines: before the first row.

    Raises:
        DataError: names the line that has more values than the header, or where a cell begins that goes on in the next.
    """
    try:
        frame = _parse(content, separator, width, lines)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(width))
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        frame = _parse(_trimmed(path, content, separator, width, lines), separator, width, lines)
    if b'"' in content and (broken := _broken(frame)) is not None:
        _refuse_break(path, lines + 1 + broken)
    extra = (frame[width].fillna("").str.strip() != "").to_numpy(dtype=bool)
    if extra.any():
        _refuse_width(path, lines + 1 + int(extra.argmax()))
    return frame.drop(columns=width)


def _parse(content: bytes, separator: str, width: int, lines: int) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # the first row has more values than there are names
        return pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            header=None,
            names=range(width + 1),  # one more, to catch a row with one value too many
            index_col=False,
            skiprows=lines,
            skip_blank_lines=False,
            low_memory=False,
            dtype="str",
            keep_default_na=False,
        )


def _trimmed(path: Path, content: bytes, separator: str, width: int, lines: int) -> bytes:
    """The text without the empty cells beyond the header's columns, of a file that has some; slow.

    Raises:
        DataError: cells beyond the header are not empty, or a cell goes on in the next line.
    """
    text = io.StringIO()
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator)
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    before = 0
    try:
        for row in reader:
            if reader.line_num > before + 1:
                _refuse_break(path, before + 1)
            before = reader.line_num
            if before > lines and any(cell.strip() for cell in row[width:]):
                _refuse_width(path, before)
            writer.writerow(row[:width] if before > lines else row)
    except csv.Error as error:
        raise DataError(f"{path}, line {before + 1}: {shown(reason(error))}; {REMEDY}") from error
    return text.getvalue().encode()


def _broken(frame: pd.DataFrame) -> int | None:
    """The first row with a cell that holds a line break."""
    rows = [
        int(found.argmax())
        for name in frame
        if (found := frame[name].str.contains("\n", regex=False).eq(True).to_numpy(dtype=bool)).any()
    ]
    return min(rows, default=None)


def _refuse_break(path: Path, line: int) -> None:
    raise DataError(
        f"{path}, line {line}: a quotation mark opens a cell that goes on in the next line; delete or close it"
    )


def _refuse_width(path: Path, line: int) -> None:
    raise DataError(f"{path}, line {line}: more values than the header has columns; {REMEDY}")
