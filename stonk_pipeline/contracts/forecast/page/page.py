"""Renders `report.html` of a forecast run from the files of its stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.contracts.forecast.page.fans import fans
from stonk_pipeline.contracts.forecast.page.first import coverage, first_screen, generated, settings_of
from stonk_pipeline.contracts.forecast.page.looks import dot, label
from stonk_pipeline.contracts.forecast.page.pictures import by_day_picture, by_month_picture, skill_picture
from stonk_pipeline.contracts.forecast.page.trainings import bars_picture, grpo_pictures
from stonk_pipeline.contracts.forecast.page.trust import equity_picture, ranks_picture
from stonk_pipeline.contracts.forecast.scores.results import Comparison, GroupSkill, read_comparison
from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.evaluation.significance import SPANS
from stonk_pipeline.periods import adjective, noun
from stonk_pipeline.pipeline.run import CONFIG
from stonk_pipeline.report import frame
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.frame import Chapter, number
from stonk_pipeline.report.style import Picture, percent
from stonk_pipeline.report.warmup import Figure, loss_pictures, warmup_chapters

TITLES = {"reasons": "Why answers were put aside"}
"""Better words for keys of `selection.json`."""
FIGURES = (
    Figure("skill_median", "skill of the median of a few answers", True),
    Figure("skill_single", "skill of one answer", True),
)
"""Of a warm-up."""


def render(files: RunFiles, remark: str) -> str:
    """Renders the page as HTML.

    Args:
        files: of the run.
        remark: what a reader has to know of the comparison's standing in its run; empty if nothing.
    """
    comparison, config = read_comparison(files.root / "model_comparison"), settings_of(files.record(CONFIG))
    return frame.render(
        Path(__file__).parent,
        files,
        remark,
        STEPS,
        comparison,
        label,
        first=first_screen(comparison, config, files.root),
        best=comparison.verdict.best_baseline,
        coverage=coverage(comparison),
        spans=SPANS,
        final=comparison.row(comparison.verdict.model),
        flat=comparison.row("persistence"),
        noun=noun,
        adjective=adjective,
        colour=dot,
        skill=skill_picture(comparison),
        where=[by_day_picture(comparison), by_month_picture(comparison)],
        ranks=ranks_picture(comparison),
        equity=equity_picture(comparison, files.table("model_comparison", "equity.csv")),
        groups=groups(comparison),
        fans=fans(files, comparison),
        chapters=chapters(files),
        generated=config.data.market.kind if config and generated(comparison, config) else None,
    )


def chapters(files: RunFiles) -> list[Chapter]:
    """Shows the trainings in their order, as far as they left something to show."""
    first, second = (
        grpo_pictures(key, name, files.table(stage, "training_log.csv"), files.table(stage, "validation.csv"))
        for key, name, stage in (
            ("grpo1", "grpo_1st", "stage1_grpo_training"),
            ("grpo2", "grpo_2nd", "stage3_grpo_from_sft"),
        )
    )
    losses = files.table("stage2_sft_training", "training_log.csv")
    numbers, bars = selection(files.record("sft_data_generation", "selection.json"))
    speed = ((files.manifest("stage2_sft_training") or {}).get("numbers") or {}).get("tokens_per_second")
    told = [("tokens a second", number(float(speed)))] if speed else []
    found = [
        Chapter(
            "First GRPO",
            "The base model answers each window several times; answers that beat their group are made more likely.",
            [],
            first,
        ),
        Chapter("Rejection sampling", "Its best answers are kept as examples, and the rest put aside.", numbers, bars),
        Chapter(
            "Supervised fine-tuning",
            "The base model learns to write the kept answers.",
            told,
            loss_pictures("sft", "supervised fine-tuning", losses),
        ),
        Chapter("Second GRPO", "The fine-tuned model is trained as in the first stage.", [], second),
    ]
    warm_up = warmup_chapters(files, FIGURES, skilled)
    return warm_up + [chapter for chapter in found if chapter.pictures or chapter.numbers]


def skilled(numbers: Mapping[str, Any]) -> bool:
    """Tells whether a warm-up's numbers speak of skill: its median is better than the last price, and than before."""
    return float(numbers["val_skill_median"]) > max(0.0, float(numbers["val_skill_median_start"]))


def groups(comparison: Comparison) -> dict[str, list[GroupSkill]]:
    """Picks the final model's skill by quarter, by thirds of volatility and by stock, in their order."""
    own = [group for group in comparison.by_group if group.name == comparison.verdict.model]
    return {by: [group for group in own if group.by == by] for by in ("quarter", "volatility", "stock")}


def selection(record: Mapping[str, Any] | None) -> tuple[list[tuple[str, str]], list[Picture]]:
    """Shows `selection.json`: its numbers, and a picture of each mapping of counts in it."""
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
