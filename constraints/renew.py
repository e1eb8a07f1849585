"""Writes the lists that pip installs from: each line of a list of versions, with the SHA-256 of every file that fits.

    .venv/bin/python constraints/renew.py --index URL      after each change of cpu.txt, gpu.txt or torch.txt

URL is the one that pip would be given: of PyPI's simple API, or of a mirror that has the same files and answers in JSON
(PEP 691). A line keeps the files for the Pythons and machines below. Its source archive is kept only where one of them
has no wheel, and a line that has neither is refused. When the lists are made anew and nothing was edited, they change
only by files that were uploaded since: any other difference is for a person to look into.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

FOLDER = Path(__file__).parent
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
LINUX = {("linux", "x86_64"): r"any|manylinux\w*_x86_64", ("linux", "aarch64"): r"any|manylinux\w*_aarch64"}
MACOS = {("darwin", "arm64"): r"any|macosx_\w+_(arm64|universal2)"}
"""From what markers call `sys_platform` and `platform_machine` to the platform in a wheel's name."""
MACHINES = {"cpu": LINUX | MACOS, "gpu": LINUX, "torch": LINUX | MACOS}


def read(path: Path) -> list[Requirement]:
    """The lines of a list, without comments."""
    return [Requirement(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]


def needed(wanted: Requirement, names: Iterable[str], machines: dict[tuple[str, str], str]) -> set[str]:
    """Those of an index's file names that a set-up on one of the Pythons and machines may take for the pinned line."""
    wheels: dict[str, frozenset[Tag]] = {}
    sources: set[str] = set()
    kept: set[str] = set()
    for name in names:
        try:
            if name.endswith(".whl"):
                _, version, _, tags = parse_wheel_filename(name)
                if wanted.specifier.contains(version, prereleases=True):
                    wheels[name] = tags
            elif wanted.specifier.contains(parse_sdist_filename(name)[1], prereleases=True):
                sources.add(name)
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue  # a form that pip does not take either, of a release long ago
    for python in PYTHONS:
        dotted = ".".join(map(str, python))
        abi = "cp" + dotted.replace(".", "")
        fitting = {
            (tag.interpreter, tag.abi)
            for tag in (*cpython_tags(python, [abi], ["any"]), *compatible_tags(python, abi, ["any"]))
        }
        for (system, machine), platform in machines.items():
            here = {
                "python_version": dotted,
                "python_full_version": f"{dotted}.0",
                "sys_platform": system,
                "platform_machine": machine,
            }
            if wanted.marker is not None and not wanted.marker.evaluate(here):
                continue
            found = {
                name
                for name, tags in wheels.items()
                if any((tag.interpreter, tag.abi) in fitting and re.fullmatch(platform, tag.platform) for tag in tags)
            } or sources
            if not found:
                place = f"Python {dotted} on {system} {machine}"
                raise ValueError(f"{wanted}: no wheel for {place}, and no source archive; choose another version")
            kept |= found
    if not kept:
        raise ValueError(f"{wanted}: its marker is true on none of the Pythons and machines; remove the line")
    return kept


def main() -> None:
    """Asks the index once for each package and writes the lists."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--index", required=True, help="address of a package index, as in pip's --index-url")
    index = options.parse_args().index.rstrip("/")
    lists = {name: read(FOLDER / f"{name}.txt") for name in MACHINES}
    names = sorted({canonicalize_name(wanted.name) for lines in lists.values() for wanted in lines})
    headers = {"Accept": "application/vnd.pypi.simple.v1+json"}

    with httpx.Client(timeout=60, follow_redirects=True, headers=headers) as client, ThreadPoolExecutor(8) as pool:

        def ask(name: str) -> dict[str, str]:
            answer = client.get(f"{index}/{name}/").raise_for_status().json()
            return {file["filename"]: file["hashes"]["sha256"] for file in answer["files"]}

        offered = dict(zip(names, pool.map(ask, names), strict=True))

    for name, lines in lists.items():
        text = f"# {name}.txt with hashes. Not for editing: constraints/renew.py writes it.\n"
        for wanted in lines:
            files = offered[canonicalize_name(wanted.name)]
            hashes = sorted(files[file] for file in needed(wanted, files, MACHINES[name]))
            entry = [str(wanted).replace(";", " ;"), *(f"    --hash=sha256:{one}" for one in hashes)]
            text += " \\\n".join(entry) + "\n"
        (FOLDER / f"{name}.hashes.txt").write_text(text)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, httpx.HTTPError) as error:
        sys.exit(f"renew: {error}")
