"""Puts the page together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from stonk_pipeline.evaluation.results import Comparison, GroupSkill
from stonk_pipeline.periods import adjective, noun
from stonk_pipeline.report.fans import fans
from stonk_pipeline.report.files import STAGES, RunFiles
from stonk_pipeline.report.pictures import by_day_picture, by_month_picture, skill_picture
from stonk_pipeline.report.style import DARK, LIGHT, Picture, label, percent
from stonk_pipeline.report.training import bars_picture, grpo_pictures, sft_pictures
from stonk_pipeline.report.trust import equity_picture, ranks_picture

if TYPE_CHECKING:
    from jinja2 import Environment

FINDINGS = {
    "evidence of skill": "good",
    "no evidence of skill": "none",
    "worse than persistence": "bad",
    "too little data to tell": "none",
}

TITLES = {"reasons": "Why answers were put aside"}
"""Better words for keys of `selection.json`."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One stage of the training, shown."""

    title: str
    about: str
    numbers: list[tuple[str, str]]
    pictures: list[Picture]


def environment() -> "Environment":
    """Jinja with this folder's templates and filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=percent, label=label, number=number, error=error, duration=duration)
    return made


def render(files: RunFiles) -> str:
    """The page as HTML."""
    comparison = files.comparison()
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=files.root.resolve().name,
            comparison=comparison,
            verdict=comparison.verdict,
            final=comparison.row(comparison.verdict.model),
            flat=comparison.row("persistence"),
            tone=FINDINGS[comparison.verdict.finding],
            noun=noun,
            adjective=adjective,
            css=stylesheet(),
            colour=colour_name,
            skill=skill_picture(comparison),
            where=[by_day_picture(comparison), by_month_picture(comparison)],
            ranks=ranks_picture(comparison),
            equity=equity_picture(comparison, files.table("model_comparison", "equity.csv")),
            groups=groups(comparison),
            fans=fans(files, comparison),
            chapters=chapters(files),
            dataset=files.record("preprocessing", "dataset.json"),
            settings=settings(files.record("config.json")),
            generated=_generated(files),
            **provenance(files),
        )
    )


def stylesheet() -> str:
    """The page's CSS, with the palette that the pictures are drawn in."""
    text = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    light, dark = ("".join(f"--{role}:{value};" for role, value in palette.items()) for palette in (LIGHT, DARK))
    return text.replace("/*light*/", light).replace("/*dark*/", dark)


def chapters(files: RunFiles) -> list[Chapter]:
    """The four trainings, in their order, those that left something to show."""
    first, second = (
        grpo_pictures(key, name, files.table(stage, "training_log.csv"), files.table(stage, "validation.csv"))
        for key, name, stage in (
            ("grpo1", "grpo_1st", "stage1_grpo_training"),
            ("grpo2", "grpo_2nd", "stage3_grpo_from_sft"),
        )
    )
    losses = files.table("stage2_sft_training", "training_log.csv")
    numbers, bars = selection(files.record("sft_data_generation", "selection.json"))
    speed = losses["tokens_per_second"].dropna() if losses is not None and "tokens_per_second" in losses else None
    told = [("tokens a second", number(float(speed.iloc[-1])))] if speed is not None and len(speed) else []
    found = [
        Chapter(
            "First GRPO",
            "The base model answers each window several times; answers that beat their group are made more likely.",
            [],
            first,
        ),
        Chapter("Rejection sampling", "Its best answers are kept as examples, and the rest put aside.", numbers, bars),
        Chapter(
            "Supervised fine-tuning", "The base model learns to write the kept answers.", told, sft_pictures(losses)
        ),
        Chapter("Second GRPO", "The fine-tuned model is trained as in the first stage.", [], second),
    ]
    return [chapter for chapter in found if chapter.pictures or chapter.numbers]


def groups(comparison: Comparison) -> dict[str, list[GroupSkill]]:
    """The final model's skill by quarter, by thirds of volatility and by stock, in their order."""
    own = [group for group in comparison.by_group if group.name == comparison.verdict.model]
    return {by: [group for group in own if group.by == by] for by in ("quarter", "volatility", "stock")}


def selection(record: Mapping[str, Any] | None) -> tuple[list[tuple[str, str]], list[Picture]]:
    """`selection.json`: its numbers, and a picture of each mapping of counts in it."""
    numbers, bars = [], []
    for key, value in (record or {}).items():
        words = key.replace("_", " ")
        if isinstance(value, dict) and value and all(isinstance(count, int | float) for count in value.values()):
            counts = {str(name): float(count) for name, count in value.items()}
            bars.append(bars_picture(f"selection-{key}", TITLES.get(key, words.capitalize()), counts))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            share = any(part in key for part in ("share", "skill", "acceptance"))
            numbers.append((words, percent(float(value)) if share else number(value)))
    return numbers, bars


def provenance(files: RunFiles, stages: Mapping[str, str] = STAGES) -> dict[str, Any]:
    """Where the numbers come from: finished stages (directory -> name), versions of libraries, commit and seed."""
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
    """The resolved settings by section: dotted name and value."""
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
    """Nested settings as (dotted name, value)."""
    out: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        out += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return out


def _generated(files: RunFiles) -> str | None:
    """Kind of the embedded market, or None where bars came from files."""
    data = (files.record("config.json") or {}).get("data", {})
    return str(data["market"]["kind"]) if data.get("data_dir") == "embedded" and "market" in data else None


def colour_name(name: str) -> str:
    """CSS colour of a forecaster."""
    return f"var(--{name})" if name in LIGHT else "var(--muted)"


def number(value: float | None, digits: int = 2) -> str:
    """1234 -> `1,234`, 0.04567 -> `0.046`; an em dash for None."""
    if value is None or pd.isna(value):
        return "—"
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.{digits + 1}g}"
    return text.replace("-", "−")


def error(value: float) -> str:
    """An error in percent, with two decimals while that makes sense."""
    return f"{value:.2f}" if value < 1000 else "> 999"


def duration(seconds: float | None) -> str:
    """75 -> `1 min 15 s`."""
    if seconds is None:
        return "—"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
