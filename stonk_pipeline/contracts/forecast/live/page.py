"""Writes `index.html` beside the forward log: each stock's latest forecast, the model's words, and the record so far.

The page is one file that needs no network. It follows from the log, its marks and the forecasts' JSON files alone, so
the same files give the same page.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from stonk_pipeline.contracts.forecast.live.calendar import in_weeks
from stonk_pipeline.contracts.forecast.live.files import PAST, draw_fan
from stonk_pipeline.contracts.forecast.live.honesty import require_honest
from stonk_pipeline.contracts.forecast.live.kept import Answer, answers, read_kept
from stonk_pipeline.contracts.forecast.live.score import Mark, Record, read_marks, records
from stonk_pipeline.contracts.forecast.live.words import bands_in_words, decimals_of, move_in_words, price
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.quantiles import INTERVALS
from stonk_pipeline.evaluation.significance import SPANS
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.records.forward_log import LogEntry, read
from stonk_pipeline.report.frame import environment, stylesheet
from stonk_pipeline.report.own import GENERATOR, require_own
from stonk_pipeline.report.style import WIDE, Picture
from stonk_pipeline.report.zoom import library, policy
from stonk_pipeline.runs.manifest import write_atomic

if TYPE_CHECKING:
    from markupsafe import Markup

PAGE = "index.html"
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Quantiles in a picture and in the table under it."""


class Row(NamedTuple):
    """A record with what it needs to be believed."""

    record: Record
    dates: int
    """Distinct last bars of the forecasts with an outcome; forecasts from one day share their market."""
    needed: int
    """Dates that a record needs before its shares mean anything."""


class Shown(NamedTuple):
    """A stock on the page, with its latest forecast."""

    entry: LogEntry
    period: str
    """`day` or `week`."""
    base_model: str
    picture: Picture
    chart: dict[str, Any]
    """The data of the picture that can be zoomed, as JSON."""
    table: list[tuple[str, list[float], float, float | None]]
    """Date, quantiles at `LEVELS`, median move, the close that came, for each day."""
    move: str
    bands: str
    answers: list[Answer]
    rows: list[Row]


def write_page(directory: Path) -> Path:
    """Writes the page of a log and returns where.

    Args:
        directory: of the log.

    Raises:
        LogError: the log, its marks or a forecast's JSON is damaged, there is no forecast, or somebody else's
            `index.html`; nothing is written.
    """
    path = directory / PAGE
    require_own(path, GENERATOR, LogError, "move it away")
    write_atomic(path, render(directory))
    return path


def render(directory: Path) -> str:
    """Renders the page of a log as HTML; errors as those of `write_page`."""
    entries = read(directory)
    require_honest(entries)
    marks = read_marks(directory, entries)
    if not entries:
        raise LogError(f"{directory}: no forecasts logged here yet; make one with the forecast command")
    stocks = [_shown(number, entry, directory, entries, marks) for number, entry in enumerate(_latest(entries))]
    scripts = [library()[0], (Path(__file__).parent / "page.js").read_text(encoding="utf-8")]
    own = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    jinja = environment(Path(__file__).parent)
    jinja.filters["dated"] = _dated
    return jinja.get_template("index.html.j2").render(
        css=f"{stylesheet()}{library()[1]}\n{own}",
        scripts=scripts,
        policy=policy(scripts),
        stocks=stocks,
        charts=[stock.chart for stock in stocks],
        rows=_rows(marks, entries),
        levels=LEVELS,
        price=price,
        nominal=list(INTERVALS),
        entries=entries,
        marks=len(marks),
        late=sum(entry.late for entry in entries),
        uncalibrated=sum(stock.entry.coverage is None for stock in stocks),
    )


def _dated(text: str) -> "Markup":
    """Escapes a sentence, and keeps each of its dates on one line."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\d{4}-\d\d-\d\d", r'<span class="date">\g<0></span>', str(escape(text))))


def _latest(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The forecast from the latest bar of each stock; of several, the one logged last. In the order of symbols."""
    found: dict[str, LogEntry] = {}
    for entry in entries:
        if entry.stock not in found or entry.last_bar >= found[entry.stock].last_bar:
            found[entry.stock] = entry
    return [found[stock] for stock in sorted(found)]


def _shown(number: int, entry: LogEntry, directory: Path, entries: Sequence[LogEntry], marks: Sequence[Mark]) -> Shown:
    kept = read_kept(entry, directory)
    closes = pd.Series(kept.closes or {entry.last_bar: entry.last_close})
    came = {mark.day: mark.outcome * entry.last_close / 100 for mark in marks if mark.entry == entry.digest}
    move, period = move_in_words(entry), "week" if in_weeks(entry.last_bar, entry.targets) else "day"
    title = f"The next {len(entry.targets)} {'sessions' if period == 'day' else 'weeks'}"
    quantiles = [entry.quantiles[entry.levels.index(level)] for level in LEVELS]
    return Shown(
        entry=entry,
        period=period,
        base_model=shown(entry.base_model),
        picture=Picture(
            f"fan-{number}", title, f"{entry.stock}: {move}", draw_fan(closes, entry, came), WIDE, 330, 250
        ),
        chart=_chart(entry, closes, quantiles, came),
        table=[
            (day, [row[place] for row in quantiles], quantiles[3][place] / entry.last_close - 1, came.get(place + 1))
            for place, day in enumerate(entry.targets)
        ],
        move=move,
        bands=bands_in_words(entry),
        answers=answers(kept, entry),
        rows=_rows([mark for mark in marks if mark.stock == entry.stock], entries),
    )


def _chart(
    entry: LogEntry, closes: pd.Series, quantiles: Sequence[Sequence[float]], came: Mapping[int, float]
) -> dict[str, Any]:
    """The columns of the picture that can be zoomed: closes, last close, quantiles at `LEVELS`, what came."""
    before, ahead = len(closes) - 1, len(entry.targets)
    none: list[float | None] = [None] * before
    return {
        "dates": [*map(str, closes.index), *entry.targets],
        "origin": before,
        "past": PAST,
        "decimals": decimals_of(entry),
        "columns": [
            list(range(before + 1 + ahead)),
            [*closes.tolist(), *[None] * ahead],
            [*none, *[entry.last_close] * (ahead + 1)],
            *([*none, entry.last_close, *row] for row in quantiles),
            [*none, None, *(came.get(day) for day in range(1, ahead + 1))],
        ],
    }


def _rows(marks: list[Mark], entries: Sequence[LogEntry]) -> list[Row]:
    """The records that `score` prints, in its order, with the number of dates behind each."""
    known = {entry.digest: entry for entry in entries}
    of: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for mark in marks:
        of[mark.model, mark.late].add(mark.entry)
    rows = []
    for record in sorted(records(marks), key=lambda record: (record.late, record.model)):
        forecasts = [known[digest] for digest in of[record.model, record.late]]
        dates = len({entry.last_bar for entry in forecasts})
        rows.append(Row(record, dates, SPANS * max(len(entry.targets) for entry in forecasts)))
    return rows
