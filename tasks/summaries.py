"""Builds the Markdown artifacts of runs and steps for the Prefect UI."""

import base64
import csv
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from stonk_pipeline.commands.form import in_yaml
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.evaluation.results import COMPARISON, VERDICT
from stonk_pipeline.files.brief import words
from stonk_pipeline.files.untrusted import read_model, read_table
from stonk_pipeline.pipeline.compared import Verdict
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs.manifest import StageResult
from tasks import results

PICTURE_WIDTH = 1072
"""Pixels of a picture in an artifact, at most; the UI shows it no wider."""
COLOURS = 64
"""Of such a picture, which makes it an eighth as long: it is kept in the server's database."""


def summary(run: Run, result: StageResult) -> str:
    """Builds a table of a step's numbers, and for trainings and the comparison their most important rows."""
    parts = [_table(("", ""), [(name, words(value)) for name, value in result.numbers.items()])]
    directory = Path(result.directory)
    for name, title in (("validation.csv", "Validation"), ("comparison.csv", "Comparison")):
        path = directory / name
        if path.is_file():
            parts.append(f"**{title}**\n\n{_csv_table(path)}")
    parts.append(f"`{directory}`, {result.seconds:.0f} s, outputs `{result.digest[:12]}`")
    return "\n\n".join(parts)


def settings(config: RunConfig) -> str:
    """Lists all settings of a run, first those that differ from their contract's defaults.

    Names and values are as the form's overrides and `--set` take them.
    """
    from stonk_pipeline.report.frame import flat  # brings pandas

    usual = dict(flat(type(config)().model_dump(mode="json")))
    now = {name: (in_yaml(value), in_yaml(usual.get(name))) for name, value in flat(config.model_dump(mode="json"))}
    changed = [(f"`{name}`", *both) for name, both in now.items() if both[0] != both[1]]
    same = [(f"`{name}`", value) for name, (value, default) in now.items() if value == default]
    begin = f"Recipe `{config.recipe}`. " if config.recipe else ""
    parts = [f"{begin}{len(changed)} settings differ from the defaults, {len(same)} do not."]
    parts += [_table(("setting", "value", "default"), changed)] if changed else []
    parts += ["**As the defaults have it**", _table(("setting", "value"), same)]
    return "\n\n".join(parts)


def report_card(run: Run, report: Path) -> str:
    """Says what the report of a run says first: verdict, warnings, a picture, and where the report is.

    Raises:
        StageError: the comparison's files are damaged.
    """
    directory, remedy = run.stage_dir(COMPARE), "run the comparison again"
    verdict = read_model(directory / VERDICT, Verdict, StageError, remedy)
    alarm = read_table(directory / COMPARISON, StageError, remedy).get("alarm")
    said = verdict.sentence.split(": ", 1)[-1]
    headline = verdict.headline[0]
    parts = [f"## {_escaped(headline[:1].upper() + headline[1:])}", _escaped(said[:1].upper() + said[1:])]
    parts += [f"⚠ {_escaped(str(sign))}" for sign in ([alarm] if alarm else []) + results.warnings_of(verdict)]
    address = results.address(report)
    parts.append(f"[Open the report]({address})" if address else f"The report: `{report}`")
    name, words = run.contract.picture or ("", "")
    if name and (directory / name).is_file():
        parts += [words, f"![{words}]({data_uri(directory / name)})"]
    return "\n\n".join(parts)


def data_uri(path: Path) -> str:
    """Returns a picture as an address that holds all of it, made smaller for the UI."""
    from PIL import Image

    made = BytesIO()
    with Image.open(path) as picture:
        flat = picture.convert("RGB")
        flat.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
        flat.quantize(COLOURS).save(made, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(made.getvalue()).decode()}"


def _csv_table(path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as stream:
        heading, *rows = csv.reader(stream)
    keep = min(len(heading), 9)
    return _table(tuple(heading[:keep]), [tuple(_text(cell) for cell in row[:keep]) for row in rows])


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
