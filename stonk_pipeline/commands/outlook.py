"""Prints what a run would do on one screen: data, windows, model, changed settings, time, memory and warnings."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from stonk_pipeline.commands.plan import Outlook
from stonk_pipeline.config.data import EMBEDDED, DataConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.estimates.memory import GB
from stonk_pipeline.files.brief import first_names, words
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.pipeline.graph import PREPROCESS
from stonk_pipeline.pipeline.run import Run

LINES = 40
"""Of the screen; settings are shortened to what is left of it."""
FEW = 3
"""Entries of a list that have room."""
PLACES = ("contract", "results_dir", "models_dir", "forecasts_dir", "run_dir", "recipe")
"""Settings that say nothing about the training."""


def show(outlook: Outlook, console: Console) -> None:
    """Prints it, on 40 lines of 80 columns at most."""
    config = outlook.run.config
    model = f"{config.model.name}, {outlook.shape.weights.parameters / 1e6:,.1f} million parameters"
    before = _table([*_data(outlook), ("model", model), ("tokens", _tokens(outlook))])
    after = Group(*_work(outlook), *(Text(f"\nwarning: {text}", style="yellow") for text in outlook.warnings))
    room = LINES - len(console.render_lines(Group(before, after)))
    for part in (before, _settings(config, console, room), after):
        console.print(part)


def changed(config: RunConfig) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Finds the settings that differ from the defaults of their contract: section -> name -> (value, default)."""
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    usual = dict(_flat(type(config)()))
    for name, value in _flat(config):
        if value != usual.get(name) and name not in PLACES:
            section, _, setting = name.rpartition(".")
            found.setdefault(section or "run", {})[setting] = (value, usual.get(name))
    return found


def _settings(config: RunConfig, console: Console, room: int) -> RenderableType:
    """Those that differ, with their defaults as long as that has room, and then as many as have room."""
    found = changed(config)
    if not found:
        return Text("\nsettings: the defaults")
    for text, heading in (("{} {} ({})", " (in brackets)"), ("{} {}", "; --json has all")):
        rows = [
            (section, ", ".join(text.format(name, *map(_value, values)) for name, values in of_section.items()))
            for section, of_section in found.items()
        ]
        while True:
            said = Group(Text(f"\nsettings that differ from the defaults{heading}", style="bold"), _table(rows))
            if len(console.render_lines(said)) <= room or len(rows) == 1:
                return said
            if "(" in text:
                break
            rows.pop()
    return said


def _flat(settings: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _value(value: Any) -> str:
    if isinstance(value, list):
        return first_names([shown(part, 40) for part in value], FEW) or "none"
    return shown(words(value), 40)


def _data(outlook: Outlook) -> Iterator[tuple[str, str]]:
    run, data = outlook.run, outlook.run.config.data
    made = {title: numbers for title, numbers in outlook.data.items() if title in _titles(run, PREPROCESS.name)}
    first, *_, last = [*made.values()] * 2
    source = "the generated market" if data.data_dir == EMBEDDED else shown(data.data_dir, 40)
    yield "bars", f"{source}, {_stocks(last, data)}; {data.window} closes shown, {data.horizon} ahead"
    yield "fold 1" if run.folds else "windows", _windows(first)
    if run.folds:
        yield f"fold {len(run.folds)}", _windows(last)
    if last.get("repaired_rows"):
        yield "repaired", f"{words(last['repaired_rows'])} rows: {_first(last['repairs'])}"
    if last.get("left_out"):
        yield "left out", _first([f"{name} ({why})" for name, why in last["left_out"].items()])
    for title, numbers in outlook.data.items():
        if title not in made:
            yield from ((name.replace("_", " "), words(value)) for name, value in numbers.items())


def _windows(numbers: dict[str, Any]) -> str:
    parts = numbers["windows"]
    dates = {"val": numbers["val_start"], "test": numbers["test_start"]}
    told = [f"{name} {count:,}{f' from {dates[name]}' if name in dates else ''}" for name, count in parts.items()]
    return ", ".join(part for part in told if not part.startswith("full "))


def _titles(run: Run, step: str) -> list[str]:
    return [each.title(step) for each in run.folds or [run]]


def _stocks(numbers: dict[str, Any], data: DataConfig) -> str:
    count = f"{words(numbers['stocks'])} stock{'' if numbers['stocks'] == 1 else 's'}"
    return f"{count}, {data.bars} bars" if data.stocks == ["all"] else f"{count} ({_value(data.stocks)})"


def _first(parts: list[str]) -> str:
    return shown(first_names([str(part) for part in parts], FEW), 130)


def _tokens(outlook: Outlook) -> str:
    lengths = outlook.plan.lengths
    answers = f", a whole answer {lengths.answer:,.0f}" if lengths.answer else ""
    limit = outlook.run.config.model.max_seq_length
    return f"a prompt {lengths.usual:,.0f} (the longest {lengths.longest:,}){answers}; {limit:,} have room"


def _work(outlook: Outlook) -> Iterator[RenderableType]:
    """What each step does, the memory that it needs, and how long it takes."""
    work, run = outlook.plan.work, outlook.run
    if not work:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("\nstep", "\nwhat"):
        table.add_column(heading)
    for heading in ("\nmemory", "\ntime"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step, does in work.items():
        size = sum(outlook.needs.get(step, {}).values())
        seconds = outlook.seconds.get(step)
        table.add_row(
            step, does.what, f"{size / GB:.1f} GB" if size else "", "?" if seconds is None else _duration(seconds)
        )
    times = len(run.folds) or 1
    every = f"{times} folds, each as the last one, above" if run.folds else ""
    if outlook.seconds:
        table.add_row("all", every, "", _duration(times * sum(outlook.seconds.values())))
    yield table
    yield Text(f"\n{_most(outlook)}; {_source(outlook)}")


def _most(outlook: Outlook) -> str:
    """The step that needs most memory, what for, and what there is."""
    sums = {step: sum(parts.values()) for step, parts in outlook.needs.items()}
    step = max(sums, key=lambda name: sums[name])
    parts = sorted(outlook.needs[step].items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {size / GB:.1f}" for name, size in parts if size >= 0.05 * GB)
    memory = outlook.memory
    there = "how much there is cannot be told"
    if memory is not None:
        there = f"{memory.place} has {memory.total / GB:.1f} GB, {memory.free / GB:.1f} free now"
    return f"{step} needs most ({told}); {there}"


def _source(outlook: Outlook) -> str:
    if outlook.measured:
        return "one step of each kind was timed with the model itself"
    if outlook.seconds:
        return "times follow from a second measured here, --measure tries the model itself"
    return "no time could be measured with a few layers, --measure tries the model itself"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table
