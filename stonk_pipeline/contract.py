"""Defines `Contract`: what a package must provide so that the pipeline can train and judge a model on its question.

A contract is a package below `stonk_pipeline/contracts` whose `__init__` makes one such value. Functions in it import
their modules when they are called, so that the command line starts without pandas or torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from stonk_pipeline.config.run import RunConfig
    from stonk_pipeline.config.training import LoraConfig
    from stonk_pipeline.pipeline.graph import Step, Steps
    from stonk_pipeline.pipeline.run import Run
    from stonk_pipeline.registry.entries import Entry
    from stonk_pipeline.registry.promotion import Rivals
    from stonk_pipeline.registry.store import Registry
    from stonk_pipeline.report.files import RunFiles
    from stonk_pipeline.runs.manifest import Progress
    from stonk_pipeline.text.form import Messages
    from stonk_pipeline.training.effort import Lengths, Work

Resolve = Callable[["argparse.Namespace"], "RunConfig"]
"""Turns parsed options into settings: `commands.options.resolve_config`."""


@dataclass(frozen=True)
class Later:
    """A function that is imported when it is called, as a step's stage is when it runs."""

    entry: str
    """`module:name`."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Calls it."""
        return resolve_name(self.entry)(*given, **named)


class Option(NamedTuple):
    """A command-line option that changes settings of a contract."""

    flag: str
    """`--kl-coef`."""
    settings: tuple[str, ...]
    """Dotted names. Of two settings, the second gets an option's second value, or the first as well."""
    argument: dict[str, Any]
    """What `argparse.ArgumentParser.add_argument` takes besides the flag: `help`, `type`, `choices`, ..."""

    @property
    def name(self) -> str:
        """The attribute of the parsed options."""
        return self.flag.lstrip("-").replace("-", "_")


class Command(NamedTuple):
    """A subcommand that only this contract has."""

    name: str
    help: str
    add_options: Callable[["argparse.ArgumentParser", Callable[["argparse.ArgumentParser"], None]], None]
    """Adds the options; the second argument adds those that change settings."""
    run: Callable[["argparse.Namespace", Resolve], int]
    """Runs it; returns the exit code."""


class Training(NamedTuple):
    """What a run's trainings read, as the registry of models records it."""

    step: str
    """The step that made it."""
    about: dict[str, Any]
    """Its description; `stocks` maps each symbol to what is known of its bars."""
    first: str
    """First decision date of the training part (ISO)."""
    last: str
    """Last day of an outcome in the training part (ISO)."""
    seen_until: str
    """Last day of an outcome in the training or the validation part (ISO)."""


class Plan(NamedTuple):
    """What a run would do that has made its data, as time and memory are estimated from it."""

    lengths: "Lengths"
    """Tokens of prompts and answers."""
    work: "dict[str, Work]"
    """Step -> what it does; empty where nobody estimates it."""
    asked: "list[Messages]"
    """Some of the questions, to be tried."""
    said: list[str]
    """Whole answers, to be taught in a trial."""


class Card(NamedTuple):
    """What the model card of an exported model says that only its contract knows."""

    does: str
    """What it is asked and what it answers; a paragraph."""
    data: str
    """The bars that it was trained and tested on: generated, or real ones of which stocks."""
    answer: str
    """An answer in the form that it is read in."""
    use: str
    """What is made of its answers; a paragraph."""
    limits: tuple[str, ...]
    """What it cannot do, a sentence each."""
    tested: str = ""
    """On how many questions of which days; empty where its comparison is not at hand, as what follows."""
    scores: tuple[tuple[str, str], ...] = ()
    """Forecaster -> its score on the same questions: the model, the best baseline, and what bounds both."""
    messages: "Messages | None" = None
    """One question of the test part, word for word."""


class Answers(NamedTuple):
    """How long answers are, and which settings cut them off."""

    what: str
    """What is answered: `30 closes`."""
    texts: list[str]
    """Answers to questions of the run, whole ones with a short reasoning."""
    limits: dict[str, int]
    """Dotted name of each setting that cuts an answer off -> its tokens."""


@dataclass(frozen=True)
class Contract:
    """What a model is asked, and everything that follows from it."""

    name: str
    """Value of the setting `contract` in every `config.json`."""
    about: str
    """One line for `--help`."""
    settings: type["RunConfig"]
    """All settings of a run, which validate themselves."""
    recipes: Path
    """Folder of its recipes (YAML)."""
    graph: "Steps"
    """All its steps in their order."""
    steps: Callable[[Any], "Steps"]
    """Those that a run with these settings has."""
    options: tuple[Option, ...]
    """Command-line options of its own."""
    lora: Callable[[Any], "LoraConfig"]
    """Settings of the first adapter that a run trains."""
    plan: Callable[["Run", Any], Plan]
    """What a run would do: a run with its data made, and the tokenizer of its model."""
    training: Callable[["Run"], Training]
    """What the trainings of a run read."""
    distinguishing: tuple[str, ...]
    """Settings that tell two models apart: not where files lie, nor how a model is judged afterwards."""
    suffix: str
    """End of the name under which its models are champions, so that those of two contracts never compete."""
    losses: Callable[["Registry", "Entry", "Entry | None", "Run", "Progress"], "Rivals"]
    """Losses of a registered model, and of the champion if there is one, beside those of the better baseline, on test
    questions later than all that the models have seen."""
    page: Callable[["RunFiles", str], str]
    """The HTML report of a compared run, with a remark on the comparison's standing."""
    show: Callable[[Path, "Console"], None]
    """Prints scores and verdict from the directory of a comparison."""
    kept: Callable[["Run"], dict[str, Any]] = lambda run: {}
    """What a registered model of a run needs in use besides its adapter, as JSON; read from the run's comparison."""
    picture: tuple[str, str] | None = None
    """The picture that says most of a comparison: its PNG below the comparison's directory, and what it shows."""
    build_tiny: Callable[..., float] | None = None
    """Trains its embedded tiny model from nothing; returns the last loss in nats a token."""
    commands: tuple[Command, ...] = ()
    """Subcommands of its own."""
    card: Callable[[Any, "Run | None", list[str]], Card] | None = None
    """What is told of an exported model: its settings, its run if that has a comparison of it, and its stocks."""
    answers: Callable[["Run"], Answers] | None = None
    """Answers to questions of a run whose data is made, to warn of settings that would cut them off."""
    pooled: "Step | None" = None
    """The comparison of a walk-forward over all its folds; None where there is no walk-forward."""
