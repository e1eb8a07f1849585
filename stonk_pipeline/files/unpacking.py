"""Unpacks .gz and .zip files of unknown origin up to a size limit and refuses decompression bombs."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from stonk_pipeline.errors import DataError

MOST_SQUEEZED = 200
"""Largest ratio of a packed file's text to its size. Tables of numbers shrink to a fifth; what shrinks to less than a
200th is made to fill a memory."""
SQUEEZED_FREE = 1_000_000
"""Bytes below which that ratio does not matter."""
PIECE = 1 << 20


def unpack(path: Path, most: int, endings: tuple[str, ...]) -> bytes:
    """Reads a file, unpacking it where its name ends in `.gz` or `.zip`; at most one piece more than `most` bytes.

    Args:
        path: the file.
        most: bytes after which no more is unpacked; the caller refuses what is longer.
        endings: of the names of the one file that counts in a `.zip`.

    Raises:
        DataError: the file is empty, damaged, shrinks as no table does, or is an archive of several such files.
    """
    try:
        packed = path.stat().st_size
        if packed == 0:
            raise DataError(f"{path}: the file is empty; download it again")
        suffix = path.suffix.lower()
        if suffix == ".gz":
            with gzip.open(path) as stream:
                return _bounded(path, stream, packed, most)
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive, endings)) as stream:
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
            raise DataError(f"{path}: unpacks to more than {MOST_SQUEEZED} times its size, as no table does; unpack it")
    return content.getvalue()


def _member(path: Path, archive: zipfile.ZipFile, endings: tuple[str, ...]) -> zipfile.ZipInfo:
    """The one table in an archive."""
    files = [entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")]
    tables = [entry for entry in files if entry.filename.lower().endswith(endings)]
    if len(tables) != 1:
        names = ", ".join(repr(entry.filename) for entry in files)[:200] or "nothing"
        wanted = ", ".join(endings)
        raise DataError(f"{path}: an archive must hold exactly one table ({wanted}); it holds {names}")
    return tables[0]
