"""Confines the paths in a served run's settings to the folders that the server was started with.

Who starts a run in a terminal may read and write what they like: they could do so anyway. A served run gets its
settings from the server, so `serve` names the folders in the environment variable `STONK_ROOTS`, which the runs and
their stages inherit. Every setting that holds a path has one of the two types below, so that no process of a served run
can hold settings that lead elsewhere, whether they come from the form, a recipe, a run that is continued, or overrides.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from stonk_pipeline import PACKAGE
from stonk_pipeline.errors import ConfigError

VARIABLE = "STONK_ROOTS"
PRIVATE = "STONK_PRIVATE_ADDRESSES"
"""1: a served ingest may fetch bars from private networks and from this machine."""


def roots() -> list[Path] | None:
    """Returns the folders that paths are confined to; None if they are not confined."""
    value = os.environ.get(VARIABLE)
    return None if value is None else [Path(part) for part in value.split(os.pathsep) if part]


def private_addresses() -> bool:
    """Tells whether addresses in private networks and on this machine may be read."""
    return roots() is None or os.environ.get(PRIVATE) == "1"


def named(folders: Iterable[str | Path]) -> str:
    """Builds the value of `STONK_ROOTS` for these folders, links resolved."""
    return os.pathsep.join(dict.fromkeys(str(Path(folder).expanduser().resolve()) for folder in folders))


def here() -> Path:
    """Returns the current folder, unless all that a user has lies below it; the checkout always.

    Raises:
        ConfigError: it is the home folder, or one above it.
    """
    folder = Path.cwd()
    if Path.home().is_relative_to(folder) and folder != PACKAGE.parent:
        raise ConfigError(
            f"{folder}: runs that are served from here would read and write all that lies below it; go to a folder of "
            "their own, or name one with --root"
        )
    return folder


def confined(path: str | Path) -> str:
    """Returns the path as it is given, if it lies below one of the folders; links, `..` and `~` are followed first.

    Raises:
        ValueError: it does not.
    """
    try:
        there = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, the home of a user who is none, a NUL
        raise ValueError(f"{path}: leads nowhere ({error}); give another path") from error
    allowed = roots()
    if allowed is not None and not any(there.is_relative_to(root) for root in allowed):
        shown = ", ".join(map(str, allowed)) or "none"
        raise ValueError(f"{path} lies outside of the folders that are served ({shown}); serve --root adds one")
    return str(path)


def confined_if_path(text: str) -> str:
    """Does as `confined` for what may be a path or a name (of a model, a recipe, a data set).

    Raises:
        ValueError: it is the path of something that lies elsewhere.
    """
    is_path = text.startswith((".", "/", "~")) or ".." in Path(text).parts or os.path.lexists(text)
    return confined(text) if is_path else text


Test = Callable[[str], str]
TESTS: tuple[Test, ...] = (confined, confined_if_path)
PathText = Annotated[str, AfterValidator(confined)]
"""A path."""
PathOrName = Annotated[str, AfterValidator(confined_if_path)]
"""A path that is only read, or a name."""


def folders(settings: BaseModel) -> list[str]:
    """Lists the files and folders that settings name."""
    paths = [(value, test) for _, value, test in _paths(settings)]
    return [value for value, test in paths if test is confined or os.path.lexists(Path(value).expanduser())]


def check(settings: BaseModel) -> None:
    """Checks all paths of settings, those that were not given and have their defaults too.

    Raises:
        ConfigError: names the setting that leads elsewhere.
    """
    for name, value, test in _paths(settings):
        try:
            test(value)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None


def _paths(settings: BaseModel, above: str = "") -> Iterator[tuple[str, str, Test]]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _paths(value, f"{above}{name}.")
        elif isinstance(value, str):
            for test in tests_of(field):
                yield f"{above}{name}", value, test


def tests_of(field: FieldInfo) -> list[Test]:
    """Returns which of the two tests above a setting has; none if it holds no path."""
    marks = [
        *field.metadata,
        *(mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ())),
    ]
    return [test for mark in marks if isinstance(mark, AfterValidator) for test in TESTS if mark.func is test]
