"""Words the first screen of a forecast run: data, headline, the best numeric baseline, coverage, what to do next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contracts.advice import OWN_DATA, again, too_short
from stonk_pipeline.contracts.forecast.scores.results import Comparison
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.evaluation.headline import Tone, headline
from stonk_pipeline.evaluation.verdict import Verdict
from stonk_pipeline.report.first_screen import Advice, FirstScreen, names
from stonk_pipeline.report.style import percent

FOLDS = 3
LARGER = "qwen-1.5b"
CONTROL = "control-shuffled-targets"


def first_screen(comparison: Comparison, config: PipelineConfig | None, run: Path) -> FirstScreen:
    """Words the first screen.

    Args:
        comparison: the numbers.
        config: settings of the run; None where they cannot be read.
        run: its directory.
    """
    said, box = headline_of(comparison.verdict)
    caution = cautioned(config)
    return FirstScreen(
        headline=said,
        tone="none" if caution and box == "good" else box,
        tested_on=tested_on(comparison, config),
        generated=bool(generated(comparison, config)),
        recipe=(config.recipe or "") if config else "",
        caution=caution,
        advice=advice(comparison, config, run) if config and config.data.fold is None else (),
    )


def settings_of(record: Mapping[str, Any] | None) -> PipelineConfig | None:
    """Reads a run's settings; None where there are none, or they cannot be read any more."""
    try:
        return PipelineConfig.model_validate(record) if record else None
    except ValidationError:
        return None


def headline_of(verdict: Verdict) -> tuple[str, Tone]:
    """Words the finding together with what the best numeric baseline says about it; green if the model adds to it."""
    best = verdict.best_baseline
    said, box = headline(verdict.finding, *((best.name, best.addition) if best else ()))
    return said[0].upper() + said[1:], box


def generated(comparison: Comparison, config: PipelineConfig | None) -> bool | None:
    """Tells whether the bars are generated; None where neither the comparison nor the settings say so."""
    if comparison.generated is not None:
        return comparison.generated
    return None if config is None else config.data.data_dir == EMBEDDED


def cautioned(config: PipelineConfig | None) -> str:
    """Says that a run was too short to learn; empty if it was not."""
    if config is None:
        return ""
    asked = sum(grpo.steps * grpo.prompts_per_step for grpo in (config.grpo_first, config.grpo_second))
    control = f"A control run ({config.control}): what it reaches was not learned from that." if config.control else ""
    return " ".join(filter(None, [control, too_short(config, asked)]))


def tested_on(comparison: Comparison, config: PipelineConfig | None) -> str:
    """Says in one sentence what the models were tested on."""
    row = comparison.row(comparison.verdict.model)
    of = generated(comparison, config)
    stocks = f"{row.stocks} {'stock' if row.stocks == 1 else 'stocks'}"
    named = f" ({names(comparison.stocks)})" if comparison.stocks else ""
    walk = of and config is not None and config.data.market.kind == "random_walk"
    what = "a random walk, not real prices:" if walk else "market, not real prices:" if of else "real prices of"
    return (
        f"{what if of is not None else ''} {stocks}{named}, {row.windows:,} windows on {row.dates:,} dates, "
        f"{comparison.first_date} to {comparison.last_date}"
    ).strip()


def coverage(comparison: Comparison) -> tuple[str, str, str] | None:
    """Says how often what came lay within the final model's bands: heading, figure, the other bands in words.

    Those of the calibrated bands, where there are some. None where there was one answer a window.
    """
    row = comparison.row(comparison.verdict.model)
    held = row.calibrated_coverage or row.coverage
    if not held:
        return None
    levels = sorted(held, key=float)
    shown = next((level for level in ("0.9", "0.8") if level in held), levels[-1])
    others = ", ".join(f"its {_level(level)} band {percent(held[level], 0)}" for level in levels if level != shown)
    off = [held[level] - float(level) for level in levels]
    width = " Far too narrow." if min(off) < -0.1 else " Far too wide." if max(off) > 0.1 else ""
    what = "of the closes that came" if row.calibrated_coverage else "of the closes that came, not calibrated"
    return f"Its {_level(shown)} band held", percent(held[shown], 0), f"{what}; {others}.{width}"


def _level(level: str) -> str:
    return f"{100 * float(level):g}%"


def advice(comparison: Comparison, config: PipelineConfig, run: Path) -> list[Advice]:
    """Chooses three things to do next, each with its command."""
    verdict, data = comparison.verdict, config.data
    best = verdict.best_baseline
    adds = best is None or best.addition == "adds to it"
    short = bool(cautioned(config)) and not config.control
    recipe = "default" if config.recipe == "small" and short else None

    def do(what: str, recipe: str | None = recipe, **changes: object) -> Advice:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        return Advice(what, again(config, run, dotted, recipe=recipe))

    own = Advice("Try your own stocks, one CSV file each:", again(config, run, OWN_DATA, recipe=recipe))
    more = do("Train four times as long:" if short else "Train the second GRPO twice as long:",
              grpo_second__steps=(4 if short else 2) * config.grpo_second.steps)  # fmt: skip
    seed = do("See whether another seed says the same:", seed=config.seed + 1)
    windows = do("Test on twice as many windows:", comparison__windows=2 * config.comparison.windows)
    folds = seed if data.folds > 1 else do(
        f"Train anew along time, tested on {FOLDS} stretches of it:", data__folds=FOLDS)  # fmt: skip
    larger = do("Take a larger model (one NVIDIA GPU):", recipe=LARGER)
    control = do("See whether wrong outcomes teach as much:", data__shuffle_targets=True)
    if config.control:
        return [do("Make the run that it is a control of:", recipe="default"), seed, more]
    if recipe:
        return [do("Train in earnest (some minutes on two cores):"), own, folds]
    if short:
        return [windows, more, own] if verdict.finding == "too little data to tell" else [more, own, folds]
    if not generated(comparison, config):
        if verdict.finding == "too little data to tell":
            longer = do("Test on a longer part of the bars:", data__train_share=0.5)
            return [longer, windows, larger if config.recipe == "default" else more]
        if verdict.finding == "evidence of skill":
            return [folds, control, seed if folds is not seed else windows] if adds else [folds, more, control]
        trained = Advice("See that the training works, where there is something to be learned:",
                         again(config, run, {"data.data_dir": EMBEDDED, "data.stocks": ["all"]}))  # fmt: skip
        if verdict.finding == "worse than the baseline":
            return [trained, more, larger if config.recipe == "default" else folds]
        return [more, larger if config.recipe == "default" else trained, folds]
    if data.market.kind == "random_walk":
        market = do("Take the market in which something can be found:", data__market__kind="predictable")
        return [market, own, seed]
    if verdict.finding == "too little data to tell":
        return [windows, do("Generate a market that is twice as long:", data__market__days=2 * data.market.days), own]
    if verdict.finding == "evidence of skill":
        return [own, folds, control] if adds else [more, own, folds]
    return [more, seed, own]
