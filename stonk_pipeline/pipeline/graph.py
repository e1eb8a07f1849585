"""Defines a step of a run (its stage, settings, inputs and directory), of which contracts make their graphs.

Stages are named as text and loaded when they run, so that nothing heavy is imported to describe them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.pipeline import notes
from stonk_pipeline.runs.manifest import Stage


def _no_files(config: Any) -> dict[str, Path]:
    return {}


@dataclass(frozen=True)
class Step:
    """A step of a run: a stage with its settings, inputs and directory."""

    name: str
    """As the command line and the UI call it."""
    title: str
    entry: str
    """`module:attribute` of the `Stage`."""
    directory: str
    """Its directory below the run's."""
    settings: Callable[[Any], Settings]
    """Its slice of the run's settings."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Input name -> step that makes it."""
    publishes: str = ""
    """Name of its adapter in the models directory."""
    files: Callable[[Any], dict[str, Path]] = _no_files
    """Input name -> file of the user's that it reads, from the run's settings."""
    loads_model: bool = True
    """Whether it asks or trains the base model, on an accelerator of its own."""
    optional: bool = False
    """Whether it is a training that may not be needed: it makes no file then, and is no input of the steps after it."""
    gate: str = ""
    """A step that decides whether this one is part of the run, by its number `go_on`."""
    smaller: str = "use a smaller model"
    """What to do where its memory runs out, for the message."""
    start_seconds: float = 12
    """What imports and engine starts take, for the estimate of a dry run."""
    wording: notes.Wording = notes.nothing
    """What a person reads of its numbers when it is done."""

    @property
    def trains(self) -> bool:
        """Tells whether it is a training."""
        return bool(self.publishes) or self.optional

    def note(self, numbers: Mapping[str, Any]) -> notes.Note:
        """Words its numbers for a person, the most important first; none where they are of another version's stage."""
        try:
            return self.wording(numbers)
        except (KeyError, TypeError, ValueError):
            return ()

    def load(self) -> Stage:
        """Imports the stage."""
        try:
            stage = resolve_name(self.entry)
        except ModuleNotFoundError as error:
            raise StageError(f"{self.entry} cannot be imported ({error}); install the package anew") from error
        assert isinstance(stage, Stage)
        return stage


Steps = dict[str, Step]
"""A graph in its order: name -> step."""


def without(steps: Steps, name: str) -> Steps:
    """Returns a graph that lacks a step, which is no input of the others then."""
    return {
        step.name: replace(step, needs={key: other for key, other in step.needs.items() if other != name})
        for step in steps.values()
        if step.name != name
    }


def earlier_steps(graph: Steps, step: str) -> list[str]:
    """Lists all steps whose outputs a step rests on, in the order of the graph."""
    needed = set(graph[step].needs.values())
    needed |= {earlier for other in needed for earlier in earlier_steps(graph, other)}
    return [name for name in graph if name in needed]


def graph(*steps: Step) -> Steps:
    """Makes a graph of these steps, in their order."""
    return {step.name: step for step in steps}


def bar_files(config: RunConfig) -> dict[str, Path]:
    """Finds the file of bars of each symbol; none for the generated market.

    Raises:
        DataError: there is no such folder or symbol.
    """
    if config.data.data_dir == EMBEDDED:
        return {}
    from preprocessing.ohlcv import find_files

    return find_files(config.data)


PREPROCESS = Step(
    "preprocess",
    "Preprocessing",
    "preprocessing.dataset:STAGE",
    "preprocessing",
    RunConfig.preprocess_stage,
    files=bar_files,
    loads_model=False,
    smaller="take fewer stocks (data.stocks), or a larger data.stride",
    start_seconds=5,
    wording=notes.windows,
)
"""Bars to windows, with which every graph on bars begins."""
COMPARE = "compare"
"""The step with which every graph ends."""
