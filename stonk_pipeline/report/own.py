"""Tells files that this project wrote from those of others, which no command writes over."""

from pathlib import Path

from stonk_pipeline.errors import PipelineError

GENERATOR = '<meta name="generator" content="Stonk Pipeline">'
"""What every page of this project has near its beginning."""


def require_own(file: Path, mark: str, fail: type[PipelineError], remedy: str) -> None:
    """Checks that a file may be written: there is none yet, or one that this project made.

    Args:
        file: where something is to be written.
        mark: text that an earlier file of this kind has within its first 1,000 bytes.
        fail: kind of error to raise.
        remedy: what to do, the end of its message.

    Raises:
        PipelineError: `fail`: there is a link, something that is no plain file, or a file without the mark.
    """
    if file.is_symlink() or (file.exists() and not (file.is_file() and mark in _beginning(file))):
        raise fail(f"{file}: not made by this command, which would write over it; {remedy}")


def _beginning(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(1000).decode(errors="replace")
