"""Draws forecasts to look at: candles, the answers as a fan, and what came; with the model's own words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stonk_pipeline.contracts.forecast.scores.results import Comparison, Example
from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import UNPRINTED
from stonk_pipeline.periods import noun
from stonk_pipeline.report.charts import whole_ticks
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.style import LIGHT, Draw, Picture
from stonk_pipeline.text.form import thinking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAST = 20
"""Candles before the decision; the model saw the last ones of them."""
WORDS = 700
"""Longest quotation, in characters."""


@dataclass(frozen=True, slots=True)
class Fan:
    """A window with its forecasts and their picture."""

    kind: str
    example: Example
    picture: Picture
    words: str
    """The thinking in the first answer, as the model wrote it. Unescaped."""
    numbers: str
    """The rest of that answer. Unescaped."""
    reason: str | None
    """Why it is no forecast, if it is none."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The data of one picture, in prices."""

    candles: pd.DataFrame | None
    """Bars up to the decision, oldest first."""
    context: np.ndarray
    samples: np.ndarray
    """(S, H), the readable answers."""
    truth: np.ndarray


def fans(files: RunFiles, comparison: Comparison) -> list[Fan]:
    """Draws the examples that the run's files allow to draw, in the order given."""
    windows, answers = (_parquet(files, name) for name in ("windows", f"forecasts/{comparison.verdict.model}"))
    if windows is None or answers is None:
        return []
    found = []
    for number, example in enumerate(comparison.examples):
        window = windows[(windows["stock"] == example.stock) & (windows["date"] == example.date)]
        own = answers[(answers["stock"] == example.stock) & (answers["date"] == example.date)]
        if len(window) and len(own):
            scene = _scene(files, example, window.iloc[0], own)
            drawn = Picture(
                f"fan-{number}",
                f"{example.stock}, decided on {example.date}",
                _alt(scene, example, noun(comparison.period)),
                draw_fan(scene, comparison.period),
                350,
                240,
            )
            first = own.sort_values("sample").iloc[0]
            reason = None if pd.isna(first["reason"]) else str(first["reason"])
            found.append(Fan(example.kind, example, drawn, *quoted(str(first["completion"])), reason))
    return found


def draw_fan(scene: Scene, period: str) -> Draw:
    """Draws candles (or closes) up to the decision; all answers, their middle half and median; the truth as dots."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        days = np.arange(1, len(scene.truth) + 1)
        last = float(scene.context[-1])
        tint = LIGHT["accent"]
        _past(axes, scene)
        axes.plot([0, days[-1]], [last, last], color=LIGHT["muted"], linewidth=1, linestyle=(0, (2, 2)))
        if len(scene.samples):
            paths = np.column_stack([np.full(len(scene.samples), last), scene.samples])
            low, first, middle, third, high = np.quantile(paths, [0, 0.25, 0.5, 0.75, 1], axis=0)
            steps = np.arange(len(middle))
            axes.fill_between(steps, low, high, color=tint, alpha=0.14, linewidth=0)
            axes.fill_between(steps, first, third, color=tint, alpha=0.24, linewidth=0)
            axes.plot(steps, middle, color=tint, linewidth=2.2)
        axes.plot(days, scene.truth, color=LIGHT["ink"], linewidth=1.1, marker="o", ms=3.4, mec="none")
        axes.axvline(0.5, color=LIGHT["rule"], linewidth=1)
        axes.set_xlim(0.5 - PAST, days[-1] + 0.5)
        whole_ticks(axes.xaxis)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}".replace("-", "−") if value else "0")
        axes.set_xlabel(f"{period}s from the decision")
        axes.yaxis.set_major_locator(_few_ticks())

    return draw


def quoted(answer: str) -> tuple[str, str]:
    """Prepares an answer to be shown: (its thinking, the rest of it), each cut where it is long. Unescaped.

    Control characters and marks that turn the reading direction are replaced: they would garble what stands around.
    """
    text = UNPRINTED.sub("\ufffd", answer)
    return _cut(thinking(text)), _cut(text.partition("</think>")[2].strip())


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else text[:WORDS].rstrip() + " …"


def _parquet(files: RunFiles, name: str) -> pd.DataFrame | None:
    """Reads a table of the comparison, `date` as ISO text; None where there is none."""
    from pyarrow import ArrowException

    path = files.root / "model_comparison" / f"{name}.parquet"
    try:
        frame = pd.read_parquet(path) if path.is_file() else None
        return None if frame is None else frame.assign(date=_iso(frame["date"]))
    except (ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise StageError(f"{path}: damaged; run the comparison again") from error


def _iso(dates: pd.Series) -> pd.Series:
    return dates.astype(str).str[:10]


def _scene(files: RunFiles, example: Example, window: Any, own: pd.DataFrame) -> Scene:
    def price(values: Any) -> np.ndarray:
        return np.asarray(window["price_offset"] + window["price_unit"] * np.asarray(values, dtype=np.float64))

    horizon = len(window["target"])
    readable = [values for values in own["values"] if values is not None and len(values) == horizon]
    bars = files.table("preprocessing", f"{example.stock}_bars.csv")
    candles = bars[_iso(bars["date"]) <= example.date].tail(PAST) if bars is not None else None
    return Scene(
        candles=candles if candles is not None and len(candles) else None,
        context=price(window["context"]),
        samples=price(readable).reshape(-1, horizon),
        truth=price(window["target"]),
    )


def _past(axes: "Axes", scene: Scene) -> None:
    """Draws candles where there are bars, else the closes the model saw. Hollow candles rose, filled ones fell."""
    if scene.candles is None:
        places = np.arange(len(scene.context)) - len(scene.context) + 1
        axes.plot(places, scene.context, color=LIGHT["ink"], linewidth=1.4)
        return
    bars = scene.candles
    places = np.arange(len(bars)) - len(bars) + 1
    rose = (bars["close"] >= bars["open"]).to_numpy()
    axes.vlines(places, bars["low"], bars["high"], color=LIGHT["up"], linewidth=0.9)
    for of, face in ((rose, LIGHT["card"]), (~rose, LIGHT["down"])):
        part = bars[of]
        axes.bar(
            places[of],
            part["close"] - part["open"],
            bottom=part["open"],
            width=0.62,
            color=face,
            edgecolor=LIGHT["down"],
            linewidth=0.9,
        )


def _alt(scene: Scene, example: Example, bar: str) -> str:
    move = 100 * (scene.truth[-1] / scene.context[-1] - 1)
    said = ""
    if len(scene.samples):
        middle = 100 * (float(np.median(scene.samples[:, -1])) / scene.context[-1] - 1)
        said = f"; the model's median forecast was {middle:+.1f}%"
    return (
        f"{example.kind.capitalize()} forecast: {example.stock} from {example.date}; after {len(scene.truth)} {bar}s "
        f"the price had moved by {move:+.1f}%{said}."
    )


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)
