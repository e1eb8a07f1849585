"""Finds files of bars by name and reads their text, unpacked and decoded, up to a size limit."""

from pathlib import Path

from stonk_pipeline.errors import DataError
from stonk_pipeline.files.unpacking import unpack

TEXT = (".csv", ".txt", ".tsv")
PARQUET = ".parquet"
PACKED = (".gz", ".zip")
MOST_BYTES = 250_000_000
"""Largest text of a file, unpacked: 2,000 stocks over ten years."""
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte-order marks: Excel writes them, and its "Unicode text" is UTF-16."""


def bars_stem(path: Path) -> str | None:
    """Returns what a file of bars is named after: `AAPL` for `AAPL.csv` or `AAPL.txt.gz`; None if it is none."""
    name, packed = path.name, False
    if name.startswith("."):
        return None
    for ending in PACKED:
        if name.lower().endswith(ending):
            name, packed = name[: -len(ending)], True
            break
    for ending in (*TEXT, PARQUET):
        if name.lower().endswith(ending) and not (packed and ending == PARQUET):
            return name[: -len(ending)]
    return name if packed and path.suffix.lower() == ".zip" else None


def is_parquet(path: Path) -> bool:
    """Tells whether a file's name is that of a Parquet file."""
    return path.suffix.lower() == PARQUET


def read_text(path: Path) -> tuple[bytes, str | None]:
    """Reads a file as UTF-8 text with line feeds at the ends of its lines.

    Returns:
        (text, the encoding's name if it is another than UTF-8)

    Raises:
        DataError: the file is no text, is damaged, or is larger than `MOST_BYTES` once unpacked.
    """
    content = unpack(path, MOST_BYTES, TEXT)
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: more than {MOST_BYTES // 1_000_000} MB of text; write one file for each stock")
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8; save it as CSV (UTF-8)") from error
    if "\0" in text:
        raise DataError(f"{path}: a binary file, though its name is that of a text; save it as CSV, or rename it")
    if not text.strip("\ufeff \t\r\n"):
        raise DataError(f"{path}: the file is empty; download it again")
    plain = text.encode() if encoding != "utf-8" else content
    del text, content  # a copy of a large file's text less
    return plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), "UTF-16" if encoding == "utf-16" else None


def first_lines(path: Path, size: int = 65_536) -> str:
    """Reads the beginning of a file's text, for its header; empty where there is none to be read."""
    try:
        content = unpack(path, size, TEXT)[:size]
    except DataError:
        return ""
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="ignore").replace("\r\n", "\n").replace("\r", "\n")
