"""Gives all pictures one look: a colour a forecaster everywhere, and SVG that follows the page into the dark.

Pictures are drawn with the light palette. For the page, each colour in the SVG is then replaced by the CSS variable of
its role, so that one picture serves both schemes; for PNG files the colours stay as they are. The palette is Okabe and
Ito's in spirit (hues that colour-blind readers tell apart), and marker and line style repeat what colour says.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stonk_pipeline.evaluation.results import TOO_FEW

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT = {
    "paper": "#fcfbf9",
    "card": "#ffffff",
    "ink": "#1b1e23",
    "muted": "#5b626d",
    "rule": "#e2dfd9",
    "accent": "#00705c",
    "alarm": "#b5420f",
    "base": "#828a95",
    "first": "#3b8bcb",
    "middle": "#c77708",
    "last": "#00735e",
    "baseline": "#8b5fb4",
    "best_possible": "#1b1e24",
    "up": "#6f7782",
    "down": "#3e444d",
    "part_1": "#1b1e25",
    "part_2": "#b03468",
    "part_3": "#66761a",
    "part_4": "#5a68a5",
}
DARK = {
    "paper": "#131519",
    "card": "#1a1d22",
    "ink": "#e9e7e2",
    "muted": "#a3a9b4",
    "rule": "#31353d",
    "accent": "#5fd0b5",
    "alarm": "#ff9466",
    "base": "#98a1ad",
    "first": "#73b4ec",
    "middle": "#eda63f",
    "last": "#58cfb2",
    "baseline": "#bd98e0",
    "best_possible": "#e9e7e3",
    "up": "#8d95a0",
    "down": "#c3c8d0",
    "part_1": "#e9e7e4",
    "part_2": "#f08bb3",
    "part_3": "#b9c860",
    "part_4": "#a3b0ea",
}
"""The same roles, light and dark. `base` is the untrained model; `first`, `middle` and `last` are those made of it, in
their order; `part_*` are for the components of a reward, apart from the forecasters' colours.
Every light value is unique: it is how a role is found again in an SVG."""

MARKERS = {"base": "s", "first": "^", "middle": "v", "last": "o", "accent": "o", "best_possible": "D", "baseline": "P"}
DASHES: dict[str, Any] = {
    "base": (0, (4, 2)),
    "first": "-",
    "middle": "-",
    "last": "-",
    "accent": "-",
    "best_possible": (0, (6, 2, 1, 2)),
    "baseline": (0, (1, 1.5)),
}
"""Marker and line style of each role in which a forecaster is drawn."""

WIDE, NARROW = 1072, 350
"""Widths of pictures in CSS pixels; wide ones have a narrow twin for phones."""


def percent(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """Writes 0.087 as `8.7%`, with a true minus sign; None as an em dash, and beyond a thousand percent no digits."""
    if value is None:
        return "—"
    if abs(value) >= 9.995:
        return "> +999%" if value > 0 else "< −999%"
    text = f"{100 * value:+.{digits}f}" if sign else f"{100 * value:.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return f"{text.replace('-', '−')}%"


def between(low: float | None, high: float | None, digits: int = 1, *, to: str = " to ") -> str:
    """Writes an interval of skills, or that there are too few dates for one."""
    if low is None or high is None:
        return TOO_FEW
    return f"{percent(low, digits, sign=True)}{to}{percent(high, digits, sign=True)}"


Draw = Callable[["Figure"], None]
"""Fills an empty figure."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its words, drawn when it is asked for: for the page or as a file."""

    key: str
    """Unique on the page, where ids in the SVG begin with it; name of the file."""
    title: str
    alt: str
    """What it shows, for people who cannot see it."""
    draw: Draw
    width: int
    height: int
    """In CSS pixels, as the width."""
    twin: int | None = None
    """Height of its twin for phones, where it would be too small to read."""

    def wide(self) -> str:
        """Draws its SVG for the page."""
        return svg(self.draw, self.width, self.height, f"{self.key}-w")

    def narrow(self) -> str:
        """Draws the SVG of its twin for phones."""
        assert self.twin is not None
        return svg(self.draw, NARROW, self.twin, f"{self.key}-n")

    def save(self, directory: Path) -> Path:
        """Writes it as a PNG file and returns where."""
        path = directory / f"{self.key}.png"
        path.write_bytes(png(self.draw, self.width, self.height))
        return path


@contextmanager
def canvas(draw: Draw, width: int, height: int) -> Iterator["Figure"]:
    """Draws a figure of so many CSS pixels (one pixel a point)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(cast(Any, _settings())):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        yield figure


def svg(draw: Draw, width: int, height: int, prefix: str) -> str:
    """Draws an SVG to stand in a page: colours are CSS variables, ids are unique, no metadata."""
    buffer = StringIO()
    with canvas(draw, width, height) as figure:
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Creator": None, "Date": None, "Format": None, "Type": None},
        )
    return themed(buffer.getvalue(), prefix)


def themed(text: str, prefix: str) -> str:
    """Adapts matplotlib's SVG file for a page (see `svg`)."""
    text = text[text.index("<svg") :]
    text = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'href="#{prefix}-')
    text = re.sub(r"font: (\d+ )?([\d.]+px)[^;\"]*", r"font-size: \2", text)
    text = re.sub(r"stroke: #\w{6}; stroke-opacity: 0\b(?!\.)", "stroke: none", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # Places alone are shortened: a label 0.025 would read as 0.02, and even ticks as uneven ones.
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), text)
    for role, value in LIGHT.items():
        text = text.replace(value, f"var(--{role})")
    return text


def png(draw: Draw, width: int, height: int) -> bytes:
    """Draws the bytes of a PNG file on light paper, at twice its size."""
    from io import BytesIO

    buffer = BytesIO()
    with canvas(draw, width, height) as figure:
        figure.savefig(buffer, format="png", dpi=144, facecolor=LIGHT["card"], metadata={"Software": None})
    return buffer.getvalue()


def _settings() -> dict[str, Any]:
    ink, muted, rule = LIGHT["ink"], LIGHT["muted"], LIGHT["rule"]
    return {
        "font.size": 11.5,
        "font.family": ["DejaVu Sans"],
        "axes.titlesize": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "text.color": ink,
        "axes.labelcolor": muted,
        "xtick.color": rule,
        "ytick.color": rule,
        "xtick.labelcolor": muted,
        "ytick.labelcolor": muted,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.edgecolor": rule,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": rule,
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "lines.markeredgecolor": ink,
        "svg.fonttype": "none",
        "svg.hashsalt": "stonk",
        "figure.constrained_layout.h_pad": 0.04,
        "figure.constrained_layout.w_pad": 0.04,
    }
