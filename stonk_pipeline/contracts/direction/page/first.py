"""Words the first screen of a direction run: data, headline, whether the baseline is beaten, what to do next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contracts.advice import OWN_DATA, again, too_short
from stonk_pipeline.contracts.direction.scores.results import CallComparison
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.evaluation.headline import tone
from stonk_pipeline.report.first_screen import Advice, FirstScreen, names, three

OWN = {**OWN_DATA, "news": "my-news"}
LARGER = "direction-qwen-1.5b"


def first_screen(comparison: CallComparison, config: DirectionConfig | None, run: Path) -> FirstScreen:
    """Words the first screen.

    Args:
        comparison: the numbers.
        config: settings of the run; None where they cannot be read.
        run: its directory.
    """
    finding, caution = comparison.verdict.finding, cautioned(config)
    box = tone(finding)
    return FirstScreen(
        headline=finding.capitalize(),
        tone="none" if caution and box == "good" else box,
        tested_on=tested_on(comparison, config),
        generated=not comparison.real_data,
        recipe=(config.recipe or "") if config else "",
        caution=caution,
        advice=advice(comparison, config, run) if config else (),
    )


def settings_of(record: Mapping[str, Any] | None) -> DirectionConfig | None:
    """Reads a run's settings; None where there are none, or they cannot be read any more."""
    try:
        return DirectionConfig.model_validate(record) if record else None
    except ValidationError:
        return None


def cautioned(config: DirectionConfig | None) -> str:
    """Says that a run was too short to learn; empty if it was not."""
    if config is None or any(stage.epochs for stage in (config.stage_one, config.stage_two)):
        return ""
    asked = sum(stage.steps * stage.prompts_per_step for stage in (config.stage_one, config.stage_two))
    return too_short(config, asked)


def tested_on(comparison: CallComparison, config: DirectionConfig | None) -> str:
    """Says in one sentence what the models were tested on."""
    row = comparison.final.row
    stocks = sorted({group.group for group in comparison.groups if group.by == "stock"})
    walk = config is not None and config.data.market.kind == "random_walk"
    market = "a random walk" if walk else "market and its headlines"
    what = "real prices of" if comparison.real_data else f"{market}, not real prices:"
    return (
        f"{what} {comparison.stocks} {'stock' if comparison.stocks == 1 else 'stocks'} ({names(stocks)}), "
        f"{row.decisions:,} decisions on {comparison.dates:,} dates, {comparison.first_date} to {comparison.last_date}"
    )


def advice(comparison: CallComparison, config: DirectionConfig, run: Path) -> list[Advice]:
    """Chooses three things to do next, each with its command."""
    finding = comparison.verdict.finding

    def do(what: str, recipe: str | None = None, **changes: object) -> Advice:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        return Advice(what, again(config, run, dotted, recipe=recipe))

    own = Advice("Try your own stocks and headlines:", again(config, run, OWN))
    first = comparison.verdict.model == "stage_one"  # a strict gate let no other stage begin
    stage, name = (config.stage_one, "stage_one") if first else (config.stage_two, "stage_two")
    longer = {f"{name}.epochs": 2 * stage.epochs} if stage.epochs else {f"{name}.steps": 2 * stage.steps}
    more = Advice(f"Train stage {'I' if first else 'II'} twice as long:", again(config, run, longer))
    seed = do("See whether another seed says the same:", seed=config.seed + 1)
    windows = do("Test on twice as many decisions:", comparison__windows=2 * config.comparison.windows)
    larger = do("Take a larger model (one NVIDIA GPU):", recipe=LARGER)
    if cautioned(config):
        return [do("Train in earnest (some minutes on two cores):", recipe="direction"), own, windows]
    if comparison.real_data:
        if finding == "worse than the baseline":
            generated = {"data.data_dir": EMBEDDED, "data.stocks": ["all"], "news": None, "companies": None}
            works = "See that the training works, where there is something to be learned:"
            again_there = again(config, run, {**generated, "records": None})
            return three(Advice(works, again_there), more, larger if config.recipe == "direction" else windows)
        last = larger if config.recipe == "direction" else seed
        return three(windows, more if finding == "no evidence of skill" else seed, last, more)
    if config.data.market.kind == "random_walk":
        return [do("Take the market in which something can be found:", data__market__kind="predictable"), own, seed]
    return [own, seed, windows] if finding == "evidence of skill" else [windows, more, own]
