"""Files of bars by their names, and their text: unpacked and decoded, never more of it than a set size."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from stonk_pipeline.errors import DataError

TEXT = (".csv", ".txt", ".tsv")
PARQUET = ".parquet"
PACKED = (".gz", ".zip")
MOST_BYTES = 250_000_000
"""Largest text of a file, unpacked: 2,000 stocks over ten years."""
MOST_SQUEEZED = 200
"""Largest ratio of a packed file's text to its size. Bars shrink to a fifth; what shrinks to less than a 200th is made
to fill a memory."""
SQUEEZED_FREE = 1_000_000
"""Bytes below which that ratio does not matter."""
PIECE = 1 << 20
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte-order marks: Excel writes them, and its "Unicode text" is UTF-16."""


def bars_stem(path: Path) -> str | None:
    """What a file of bars is named after: `AAPL` for `AAPL.csv`, `AAPL.txt.gz` `AAPL.zip`; None: it is none."""
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
    """Whether the name says so."""
    return path.suffix.lower() == PARQUET


def read_text(path: Path) -> tuple[bytes, str | None]:
    """A file's text in UTF-8 with line feeds at the ends of its lines.

    Returns:
        (text, the encoding's name if it is another than UTF-8)

    Raises:
        DataError: the file is no text, is damaged, or is larger than `MOST_BYTES` once unpacked.
    """
    content = _content(path, MOST_BYTES)
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
    """The beginning of a file's text; empty where there is none to be read. For a look at the header alone."""
    try:
        content = _content(path, size)[:size]
    except DataError:
        return ""
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="ignore").replace("\r\n", "\n").replace("\r", "\n")


def _content(path: Path, most: int) -> bytes:
    """The file's bytes, unpacked; at most one piece more than `most`."""
    try:
        packed = path.stat().st_size
        if packed == 0:
            raise DataError(f"{path}: the file is empty; download it again")
        suffix = path.suffix.lower()
        if suffix == ".gz":
            with gzip.open(path) as stream:
                return _bounded(path, stream, packed, most)
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive)) as stream:
                return _bounded(path, stream, packed, most)
        with path.open("rb") as plain:
            return plain.read(most + 1)
    # A damaged or an encrypted archive raises any of these.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); download it again, or unpack it") from error


def _bounded(path: Path, stream: IO[bytes] | gzip.GzipFile, packed: int, most: int) -> bytes:
    content = io.BytesIO()
    while content.tell() <= most and (piece := stream.read(PIECE)):
        content.write(piece)
        if content.tell() > max(SQUEEZED_FREE, packed * MOST_SQUEEZED):
            raise DataError(f"{path}: unpacks to more than {MOST_SQUEEZED} times its size, as no bars do; unpack it")
    return content.getvalue()


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of bars in an archive."""
    files = [entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")]
    bars = [entry for entry in files if entry.filename.lower().endswith(TEXT)]
    if len(bars) != 1:
        names = ", ".join(repr(entry.filename) for entry in files)[:200] or "nothing"
        raise DataError(f"{path}: an archive must hold exactly one file of bars (.csv, .txt); it holds {names}")
    return bars[0]
