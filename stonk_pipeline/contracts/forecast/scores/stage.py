"""Runs the comparison stage: asks every model about the same test windows, scores the answers, writes all files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preprocessing import reading
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.page.pictures import write_pictures
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.scores import chronos, evidence
from stonk_pipeline.contracts.forecast.scores.calibrate import calibrate_answers, write_calibrated
from stonk_pipeline.contracts.forecast.scores.results import Comparison, write_comparison
from stonk_pipeline.contracts.forecast.sections import ComparisonStage
from stonk_pipeline.evaluation.baselines import all_baselines
from stonk_pipeline.models import load
from stonk_pipeline.runs.manifest import Progress, Stage
from stonk_pipeline.sampling.ask import Prompts, alone, draw_each, part
from stonk_pipeline.schema import Target, Window

Part = tuple[list[Window], list[Target]]


def run(config: ComparisonStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Compares base, first GRPO, SFT and second GRPO model with baselines and the best possible forecast.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; `grpo_1st`, `sft`, `grpo_2nd`: training stages (those that exist).
        out: receives the files of `evidence` and those of `results.write_comparison`.
        progress: receives the windows answered so far, over all models.

    Returns:
        Numbers of the run: verdict and each model's skill.
    """
    named = config.comparison.chronos
    extra = chronos.load(named) if named else None  # a package that is missing is said before any model answers
    windows, targets = _some(config, inputs["dataset"], "test")
    calibration = _some(config, inputs["dataset"], "val") if config.comparison.conformal else ([], [])
    horizon = len(targets[0].values)
    roles = [role for role in evidence.MODELS if role == "base" or role in inputs]
    read: dict[str, tuple[evidence.Answers, evidence.Answers]] = {}
    lots = [windows, calibration[0]] if calibration[0] else [windows]
    for place, role in enumerate(roles):
        adapter = inputs[role] / load.ADAPTER if role in inputs else None
        texts = ask_each(config, lots, horizon, adapter, out, part(progress, place, len(roles), role))
        answers = [question.read_all(said, asked, horizon) for said, asked in zip(texts, lots, strict=True)]
        evidence.write_answers(out, role, windows, texts[0], answers[0])
        if calibration[0]:
            read[role] = answers[1], answers[0]
    if calibration[0]:
        write_calibrated(out, windows, calibrate_answers(calibration, (windows, targets), read))
    write_references(config, inputs["dataset"], out, (windows, targets), extra)
    return finish(evidence.read_evidence(out).compare(config), out)


def finish(comparison: Comparison, out: Path) -> dict[str, Any]:
    """Writes a comparison's files and pictures; returns the numbers of the stage."""
    write_comparison(comparison, out)
    write_pictures(comparison, out)
    return {"verdict": comparison.verdict.finding, "windows": comparison.rows[0].windows} | {
        f"skill_{row.name}": row.skill for row in comparison.rows
    }


def _some(config: ComparisonStage, directory: Path, split: str) -> Part:
    return reading.spread(*reading.read_split(directory, split), config.comparison.windows, config.seed)


def write_references(config: ComparisonStage, directory: Path, out: Path, test: Part, extra: Any | None) -> None:
    """Writes the outcomes, and the forecasts that need no language model.

    Args:
        config: settings.
        directory: the dataset.
        out: directory of the comparison.
        test: windows and their targets.
        extra: a foundation model, loaded, or None.
    """
    windows, targets = test
    histories, horizon = reading.read_histories(directory), len(targets[0].values)
    ahead = [reading.dates_ahead(window, histories[window.stock], horizon) for window in windows]
    evidence.write_windows(out, windows, targets, ahead)
    train = reading.read_split(directory, "train")
    others = all_baselines(windows, horizon, train, histories, config.seed)
    if extra is not None:
        others["chronos"] = chronos.forecast(extra, windows, horizon, histories)
    evidence.write_baselines(out, windows, others, reading.read_best_possible(directory))


def ask(
    config: ComparisonStage, windows: list[Window], horizon: int, adapter: Path | None, out: Path, progress: Progress
) -> list[list[str]]:
    """Samples a model's answers to every window, as `ask_each` does for several lots of windows."""
    return ask_each(config, [windows], horizon, adapter, out, progress)[0]


def ask_each(
    config: ComparisonStage,
    lots: Sequence[list[Window]],
    horizon: int,
    adapter: Path | None,
    out: Path,
    progress: Progress,
) -> list[list[list[str]]]:
    """Samples a model's answers to lots of windows, with the comparison's engine and sampling settings.

    Args:
        config: settings.
        lots: what to ask about; answers to one lot do not depend on the others.
        horizon: closes to forecast.
        adapter: adapter directory, or None for the base model.
        out: where a `scratch` directory may be made.
        progress: receives the windows answered so far.
    """

    def of(windows: list[Window]) -> Prompts:
        return lambda tokenizer, room, limit: questions(
            tokenizer, windows, config.prompt, horizon, room=room, limit=limit
        )

    return draw_each(config.model, config.comparison, config.seed, [*map(of, lots)], adapter, out, progress)


def ask_alone(
    config: ComparisonStage,
    windows: list[Window],
    horizon: int,
    adapter: Path | None,
    progress: Progress,
    *,
    purpose: str,
    wait_minutes: float,
) -> list[list[str]]:
    """Samples as `ask` does, but outside of a stage: waits for this process's devices and holds them.

    Args:
        config, windows, horizon, adapter, progress: as for `ask`.
        purpose: what others read who wait for the same accelerator.
        wait_minutes: longest wait.

    Raises:
        BusyError: another process computed there all the time.
    """
    with alone(purpose, wait_minutes, config.model) as scratch:
        return ask(config, windows, horizon, adapter, scratch, progress)


STAGE = Stage("model_comparison", ComparisonStage, run)
