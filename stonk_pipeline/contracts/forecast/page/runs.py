"""Sets several runs side by side on one page, and says whether a control gained as much as the real thing."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stonk_pipeline.contract import Resolve
from stonk_pipeline.contracts.forecast.page.first import headline_of
from stonk_pipeline.contracts.forecast.scores.results import Comparison, read_comparison
from stonk_pipeline.contracts.forecast.scores.rows import Row
from stonk_pipeline.contracts.forecast.settings import of_forecasts
from stonk_pipeline.contracts.runs import open_run, require_comparison
from stonk_pipeline.errors import StageError
from stonk_pipeline.pipeline.compared import DIRECTORY
from stonk_pipeline.pipeline.places import CONFIG, require_outside
from stonk_pipeline.report.frame import duration, environment, flat, stylesheet
from stonk_pipeline.report.own import GENERATOR, require_own
from stonk_pipeline.runs import program
from stonk_pipeline.runs.manifest import MANIFEST, write_atomic

SHOWN_SETTINGS = 8
"""Differing settings named for a run; of more, the number is given."""

REMEDY = "move it away, or give --out another name"
CSV, JSON = "run,control,folds,finding,", '[\n  {\n    "run": '
"""What earlier files of the page's numbers have near their beginning."""

PLACES = ("results_dir", "models_dir", "run_dir", "comparison.trials")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, as a row of the page."""

    name: str
    control: str | None
    comparison: Comparison
    settings: dict[str, Any]
    """Dotted name -> value."""
    seconds: float
    remark: str = ""
    """What a reader has to know of the comparison's standing in its run."""

    @property
    def final(self) -> Row:
        """Returns the row that the verdict is about."""
        return self.comparison.row(self.comparison.verdict.model)

    @property
    def base(self) -> Row:
        """Returns the row of the model before any training."""
        return self.comparison.rows[0]


def read_runs(directories: Sequence[Path]) -> list[RunSummary]:
    """Reads compared runs, ordinary ones first, the highest skill on top.

    Raises:
        StageError: a directory holds no compared run, or a comparison that was changed or is of other stages.
    """
    found = []
    for directory in directories:
        run = open_run(directory)
        of_forecasts(run.config, "the page of runs")
        manifests = [part.finished(step) for part, step in run.steps()]
        remark = require_comparison(run.directory)
        comparison = read_comparison(run.stage_dir("compare"))
        settings = dict(flat(run.config.model_dump(mode="json")))
        seconds = sum(result.seconds for result in manifests if result)
        found.append(RunSummary(run.directory.name, run.config.control, comparison, settings, seconds, remark))
    return sorted(found, key=lambda run: (run.control is not None, -run.final.skill))


def differences(runs: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """Finds the settings in which each run differs from the first one, where it lies excepted."""
    return [
        {name: v for name, v in run.settings.items() if name not in PLACES and v != runs[0].settings.get(name)}
        for run in runs
    ]


def remarks(runs: Sequence[RunSummary]) -> list[str]:
    """Says what the runs' standing asks for, and what the controls say about the best ordinary run, in sentences.

    That is the best one of as many folds, if there is one.
    """
    told = [f"{run.name}: {run.remark}" for run in runs if run.remark]
    ordinary = [run for run in runs if run.control is None]
    controls = [run for run in runs if run.control is not None]
    if not ordinary or not controls:
        return told
    said = told
    for control in controls:
        folds = control.settings["data.folds"]
        best = next((run for run in ordinary if run.settings["data.folds"] == folds), ordinary[0])
        gain, reached = control.final.gain or 0.0, best.final.gain or 0.0
        least = best.final.gain_low if best.final.gain_low is not None else reached
        numbers = f"{gain:+.1%} over its base model, against {reached:+.1%} of {best.name}"
        if gain >= least:
            said.append(
                f"The control \u201c{control.control}\u201d gained as much: {numbers}. So the gain of {best.name} does "
                "not come from what this control takes away."
            )
        else:
            said.append(f"The control \u201c{control.control}\u201d gained less: {numbers}.")
    return said


def verdict_line(run: RunSummary) -> str:
    """Words a run's verdict with what the best numeric baseline says about it."""
    return headline_of(run.comparison.verdict)[0]


def write_runs_page(directories: Sequence[Path], path: Path) -> Path:
    """Writes the page, one file that needs no other and no network, and its numbers as CSV and JSON beside it.

    Args:
        directories: of runs with a finished comparison, two or more to be of use.
        path: the HTML file.

    Raises:
        StageError: a directory holds no compared run, or there is something else where a file is to be written.
    """
    require_outside(path, StageError, REMEDY, runs=False)
    for file, own in ((path, GENERATOR), (path.with_suffix(".csv"), CSV), (path.with_suffix(".json"), JSON)):
        require_own(file, own, StageError, REMEDY)
    runs = read_runs(directories)
    rows = list(zip(runs, differences(runs), strict=True))
    page = (
        environment(Path(__file__).parent)
        .get_template("runs.html.j2")
        .render(
            rows=rows,
            remarks=remarks(runs),
            css=stylesheet(),
            duration=duration,
            verdict_line=verdict_line,
            shown=SHOWN_SETTINGS,
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table = [
        {"run": run.name, "control": run.control, "folds": len(run.comparison.folds)}
        | {"finding": run.comparison.verdict.finding, "seconds": run.seconds}
        | run.final.model_dump(exclude={"name", "kind", "coverage", "calibrated_coverage"})
        for run in runs
    ]
    write_atomic(path.with_suffix(".csv"), pd.DataFrame(table).to_csv(index=False, float_format="%.6g"))
    write_atomic(path.with_suffix(".json"), json.dumps(table, indent=2) + "\n")
    write_atomic(path, page)
    return path


def command(args: argparse.Namespace, resolve: Resolve) -> int:
    """Runs `runs`, and prints where the page is; runs that are not finished are named and left out."""
    done = []
    for directory in args.directories:
        if (directory / CONFIG).is_file() and not (directory / DIRECTORY / MANIFEST).is_file():
            go_on = program.pipeline(f"--continue {directory}")
            sys.stderr.write(
                f"{directory}: left out, as its models have not been compared yet; to finish it: {go_on}\n"
            )
        else:
            done.append(directory)
    if not done:
        raise StageError("none of these runs is finished, so there is nothing to set side by side")
    sys.stdout.write(f"{write_runs_page(done, args.out)}\n")
    return 0
