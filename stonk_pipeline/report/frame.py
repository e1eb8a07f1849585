"""Puts the HTML page of any run together: its frame, its style, its settings and where its numbers come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stonk_pipeline.models.load import ADAPTER
from stonk_pipeline.models.templates import PLAIN
from stonk_pipeline.pipeline.graph import Steps
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.first_screen import ADDS, FirstScreen, plain
from stonk_pipeline.report.style import DARK, LIGHT, Picture, between, percent
from stonk_pipeline.runs import program

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the page about one training stage."""

    title: str
    about: str
    numbers: list[tuple[str, str]]
    pictures: list[Picture]


def render(
    folder: Path,
    files: RunFiles,
    remark: str,
    steps: Steps,
    comparison: Any,
    label: Callable[[str], str],
    *,
    alarm: str | None = None,
    first: FirstScreen | None = None,
    **own: Any,
) -> str:
    """Renders the page of a run as HTML: the frame, filled by the template of its contract.

    Args:
        folder: of the contract's `page.html.j2`, which extends `frame.html.j2`.
        files: of the run.
        remark: what a reader has to know of the comparison's standing in its run; empty if nothing.
        steps: the run's graph.
        comparison: the numbers that the page is about, with their `verdict`.
        label: what a person reads for a forecaster's name.
        first: words of the first screen; None: the verdict's alone.
        alarm: why nothing on the page may be believed; it stands above all warnings.
        own: what the contract's template shows besides; at least `chapters`, those of its trainings.
    """
    jinja = environment(folder)
    jinja.filters["label"] = label
    first = first or plain(comparison.verdict)
    shared = {
        "run": files.root.resolve().name,
        "remark": remark,
        "comparison": comparison,
        "verdict": comparison.verdict,
        "first": first,
        "adds": ADDS,
        "tone": "bad" if alarm else first.tone,
        "alarm": alarm,
        "css": stylesheet(),
        "command": program.pipeline(),
        "dataset": files.record("preprocessing", "dataset.json"),
        "settings": settings(files.record("config.json")),
        "plain": asked_plainly(files, steps),
        **provenance(files, {step.directory: step.title for step in steps.values()}),
    }
    return jinja.get_template("page.html.j2").render(shared | own)


def asked_plainly(files: RunFiles, steps: Steps) -> bool:
    """Tells whether a run's base model has no chat template of its own: its adapters then have the plain one."""
    saved = (files.find(step.directory, ADAPTER, "chat_template.jinja") for step in steps.values())
    return any(PLAIN in path.read_text(encoding="utf-8") for path in saved if path.is_file())


def environment(*folders: Path) -> "Environment":
    """Makes Jinja with the filters of all pages; it looks for templates in the folders given, then beside this file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=percent, number=number, error=error, duration=duration, between=between)
    return made


def stylesheet() -> str:
    """Writes the page's CSS, with the palette that the pictures are drawn in."""
    text = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    light, dark = ("".join(f"--{role}:{value};" for role, value in palette.items()) for palette in (LIGHT, DARK))
    return text.replace("/*light*/", light).replace("/*dark*/", dark)


def provenance(files: RunFiles, stages: Mapping[str, str]) -> dict[str, Any]:
    """Tells where the numbers come from: finished stages (directory -> name), versions of libraries and the commit."""
    manifests = {stage: files.manifest(stage) for stage in stages}
    done = {stage: manifest for stage, manifest in manifests.items() if manifest}
    versions: dict[str, str] = {}
    for manifest in done.values():
        versions.update(manifest.get("versions") or {})
    latest = list(done.values())[-1] if done else {}
    return {
        "stages": [
            {
                "name": stages[stage],
                "seconds": manifest.get("seconds"),
                "finished": manifest.get("finished", ""),
                "digest": manifest.get("digest", ""),
                "commit": manifest.get("git_commit") or "",
            }
            for stage, manifest in done.items()
        ],
        "versions": versions,
        "commit": latest.get("git_commit"),
        "fingerprint": (manifests["preprocessing"] or {}).get("digest"),
    }


def settings(config: Mapping[str, Any] | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Lists the resolved settings by section: dotted name and value."""
    if not config:
        return []
    sections: dict[str, list[tuple[str, str]]] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            sections[key] = [(str(name), str(item)) for name, item in flat(value)]
        else:
            sections.setdefault("run", []).append((key, str(value)))
    return list(sections.items())


def flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Flattens nested settings to (dotted name, value)."""
    out: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        out += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return out


def number(value: float | None, digits: int = 2) -> str:
    """Writes 1234 as `1,234`, 0.04567 as `0.046`, and None as an em dash."""
    if value is None or pd.isna(value):
        return "—"
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.{digits + 1}g}"
    return text.replace("-", "−")


def error(value: float) -> str:
    """Writes an error in percent, with two decimals while that makes sense."""
    return f"{value:.2f}" if value < 1000 else "> 999"


def duration(seconds: float | None) -> str:
    """Writes 75 as `1 min 15 s`."""
    if seconds is None:
        return "—"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
