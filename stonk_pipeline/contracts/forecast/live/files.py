"""Writes one forecast as JSON, CSV and a picture."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stonk_pipeline.contracts.forecast.live.make import Made
from stonk_pipeline.contracts.forecast.live.words import bands_in_words, shortest
from stonk_pipeline.records.forward_log import LogEntry, append
from stonk_pipeline.report.style import LIGHT, Draw, png
from stonk_pipeline.runs.manifest import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAST = 40
"""Closes before the forecast in the picture."""
KEPT_CLOSES = 120
"""Closes up to the last bar in the JSON, for the page."""
BANDS = ((0.05, 0.95, 0.12), (0.1, 0.9, 0.14), (0.25, 0.75, 0.22))
"""Quantiles at the ends of a band, and how dark it is."""


def keep(made: Made, directory: Path) -> tuple[LogEntry, bool, Path | None]:
    """Logs a forecast and writes its files; for one that is logged already, only those that are missing.

    A process that was killed between the two left an entry without files.

    Returns:
        (the entry in the log, whether it was added now, the path of the JSON if files were written)
    """
    entry, added = append(directory, made.forecast)
    missing = not all(path.is_file() for path in files_of(entry, directory))
    return entry, added, write_files(made, entry, directory) if added or missing else None


def files_of(entry: LogEntry, directory: Path) -> tuple[Path, Path, Path]:
    """Returns the paths of a logged forecast's files: `{STOCK}_{date}_{model}.json`, `.csv` and `.png`."""
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.model)
    base = directory / f"{entry.stock}_{entry.last_bar}_{model}"
    return base.with_name(f"{base.name}.json"), base.with_name(f"{base.name}.csv"), base.with_name(f"{base.name}.png")


def write_files(made: Made, entry: LogEntry, directory: Path) -> Path:
    """Writes the files of a logged forecast and returns the path of the first.

    The JSON holds the answers, if they are those of the entry: after a process that was killed between the log and the
    files, the model may have been asked anew.
    """
    numbers, table, picture = files_of(entry, directory)
    directory.mkdir(parents=True, exist_ok=True)
    same = made.forecast.quantiles == entry.quantiles
    answers = {"samples": made.samples.round(6).tolist(), "texts": made.texts} if same else {}
    content = {
        "entry": entry.model_dump(mode="json"),
        "bands": bands_in_words(entry),
        "closes": {str(day): float(close) for day, close in made.closes.tail(KEPT_CLOSES).items()},
        **answers,
    }
    write_atomic(numbers, json.dumps(content, indent=1))
    write_atomic(table, table_text(entry))
    write_atomic(picture, png(draw(made, entry), 640, 340))
    return numbers


def table_text(entry: LogEntry) -> str:
    """Formats a forecast as CSV: stock, date, and one column for each quantile (`q05` … `q95`)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["stock", "date", *(f"q{round(100 * level):02d}" for level in entry.levels)])
    for day, date in enumerate(entry.targets):
        writer.writerow([entry.stock, date, *(f"{row[day]:.6g}" for row in entry.quantiles)])
    return stream.getvalue()


def draw(made: Made, entry: LogEntry) -> Draw:
    """Draws the forecast's fan with what it is and how far its bands can be believed above it."""

    def fill(figure: "Figure") -> None:
        draw_fan(made.closes, entry, {})(figure)
        late = ", written down late" if entry.late else ""
        kind = "spread of" if entry.coverage is None else "calibrated bands around"
        figure.axes[0].set_title(
            f"{entry.stock}: 50 %, 80 % and 90 %, {kind} {entry.answers} answers{late}\n{shortest(entry)}", loc="left"
        )

    return fill


def draw_fan(closes: pd.Series, entry: LogEntry, came: Mapping[int, float]) -> Draw:
    """Draws the last closes, and ahead of them the forecast's median within its bands, with what came as dots.

    Args:
        closes: up to the last bar, by ISO date; at least that one.
        entry: the forecast.
        came: closes that came, by days ahead.
    """

    def fill(figure: "Figure") -> None:
        axes = figure.subplots()
        past = closes.tail(PAST).to_numpy()
        steps = np.arange(len(entry.targets) + 1)
        paths = np.column_stack([np.full(len(entry.levels), entry.last_close), np.array(entry.quantiles)])
        row = {level: path for level, path in zip(entry.levels, paths, strict=True)}
        for low, high, alpha in BANDS:
            axes.fill_between(steps, row[low], row[high], color=LIGHT["accent"], alpha=alpha, linewidth=0)
        axes.plot(np.arange(1 - len(past), 1), past, color=LIGHT["ink"], linewidth=1.4)
        axes.plot(
            steps, np.full(len(steps), entry.last_close), color=LIGHT["muted"], linewidth=1, linestyle=(0, (2, 2))
        )
        axes.plot(steps, row[0.5], color=LIGHT["accent"], linewidth=2.2)
        axes.plot(list(came), list(came.values()), color=LIGHT["ink"], linewidth=0, marker="o", ms=3.6, mec="none")
        axes.axvline(0, color=LIGHT["rule"], linewidth=1)
        ticks = {1 - len(past): str(closes.index[-len(past)]), 0: entry.last_bar, len(entry.targets): entry.targets[-1]}
        axes.set_xticks(list(ticks), list(ticks.values()))

    return fill
