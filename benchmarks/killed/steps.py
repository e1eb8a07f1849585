"""A writer that is killed: what it does next, what then has to be there, and what may lie in its folder."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stonk_pipeline.files import folders

Facts = dict[str, object]
"""Name -> value of all that can be seen of a folder through the interface of its reader."""


@dataclass(frozen=True)
class Step:
    """One thing that a writer does, as a person would do it again after an accident."""

    act: Callable[[], object]
    after: Callable[[Facts], str | None]
    """What is missing of it in the facts; None if it is all there."""
    may_change: frozenset[str] = frozenset()
    """Names of facts that it changes; all others stay as they were."""


class Writer:
    """A folder that grows, step by step."""

    name: str
    files: str
    """Pattern of the paths that may lie in the folder."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.number = folder, rng, 0
        folder.mkdir(parents=True)

    def step(self) -> Step:
        """Makes ready what comes next; nothing is written to the folder here."""
        raise NotImplementedError

    def facts(self) -> Facts:
        """All that a reader finds; raises where something is damaged."""
        raise NotImplementedError

    def left_behind(self) -> list[str]:
        """What has no business in the folder, once the step was done again."""
        return [
            str(path)
            for path in sorted(self.folder.rglob("*"))
            if folders.LEFTOVER.fullmatch(path.name)
            or (path.is_file() and not re.fullmatch(self.files, path.relative_to(self.folder).as_posix()))
            or (path.is_dir() and not any(path.iterdir()))
        ]


def missing(name: str, expected: object) -> Callable[[Facts], str | None]:
    """A fact with this value has to be there."""
    return lambda facts: None if facts.get(name) == expected else f"{name} is {facts.get(name)!r}, not {expected!r}"
