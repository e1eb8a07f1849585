"""Defines the column names and data types that stages hand to each other.

A `Window` is everything a model may see. It has no future in it: the closes to be forecast are a `Target`, another
object, which only rewards, selection and metrics receive. So a prompt that leaks the future is a type error.

All numbers of a window and its target are on the *prompt scale* (rebased, standardised or raw, see
`DataConfig.normalisation`); `price = price_offset + price_unit * value` leads back to prices.
"""

from dataclasses import dataclass
from typing import Literal

from stonk_pipeline.periods import TRADING_DAY

DATE, OPEN, HIGH, LOW, CLOSE, VOLUME = "date", "open", "high", "low", "close", "volume"
BAR_COLUMNS = (DATE, OPEN, HIGH, LOW, CLOSE, VOLUME)
"""Columns of a clean frame of bars: lower case, RangeIndex, `date` as datetime64 without zone, the rest float64."""

INDICATORS = (
    "sma",
    "ema",
    "mom",
    "stoch_k",
    "stoch_d",
    "rsi",
    "macd",
    "willr",
    "cci",
    "adx",
    "bbands_upper",
    "bbands_middle",
    "bbands_lower",
)
"""Technical indicators, each at the close of the window's last bar."""

LEVEL_INDICATORS = ("sma", "ema", "bbands_upper", "bbands_middle", "bbands_lower")
"""Indicators that are prices: they are moved to the prompt scale as a price is."""

DIFFERENCE_INDICATORS = ("mom", "macd")
"""Indicators that are differences of prices: they are divided by `price_unit` alone."""

STATISTICS = (
    "min",
    "min_timestep",
    "max",
    "max_timestep",
    "mean",
    "median",
    "median_timestep",
    "trend_slope",
    "trend_strength",
    "trend_direction",
    "lag_1",
    "lag_2",
    "lag_3",
)
"""Statistics of the window's closes on the prompt scale; time steps count from 1 (the oldest bar).

`trend_slope` is the least-squares slope a bar, `trend_strength` the R2 of that line (0 to 1), `trend_direction` -1, 0
or +1, `lag_k` the correlation of the closes with themselves k bars earlier (NaN for constant closes).
"""

SPLITS = ("train", "val", "test", "full")

X_COLUMNS = (
    "stock",
    "date",
    "context_start",
    "sequence",
    *INDICATORS,
    *STATISTICS,
    "volatility",
    "price_offset",
    "price_unit",
)
Y_COLUMNS = ("stock", "date", "target_start", "target_end", "sequence")


@dataclass(frozen=True, slots=True)
class Window:
    """What the model may know at the close of `date`: recent closes, indicators, statistics."""

    stock: str
    date: str
    """Date of the last bar in the context (ISO): the decision date."""
    context: tuple[float, ...]
    """Closes on the prompt scale, oldest first."""
    indicators: dict[str, float]
    statistics: dict[str, float]
    volatility: float
    """Standard deviation of one bar's change of the close, on the prompt scale, from past returns alone."""
    price_offset: float
    price_unit: float
    period: str = TRADING_DAY
    """What one bar spans, a key of `periods.A_YEAR`."""

    @property
    def key(self) -> tuple[str, str]:
        """Returns (stock, date), which identifies the window in every file."""
        return self.stock, self.date

    @property
    def last(self) -> float:
        """Returns the last close, on the prompt scale: the persistence forecast of every day ahead."""
        return self.context[-1]


@dataclass(frozen=True, slots=True)
class History:
    """The clean closes of one stock, oldest first; whoever uses it for a window stops at the window's date."""

    dates: tuple[str, ...]
    """ISO."""
    closes: tuple[float, ...]
    """Prices."""


@dataclass(frozen=True, slots=True)
class Target:
    """The closes that came after a window. Never given to a prompt."""

    start: str
    """Date of the first forecast close (ISO)."""
    end: str
    """Date of the last forecast close (ISO)."""
    values: tuple[float, ...]
    """The next closes on the prompt scale of the window."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast parsed from a model's answer: the next closes on the prompt scale."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer that does not fit its contract, and why: `reason` is a key of the contract's `REASONS`."""

    reason: str


Side = Literal["up", "down"]
Label = Literal["up", "down", "flat"]


@dataclass(frozen=True, slots=True)
class Headline:
    """A headline, sanitised for prompts (`text.quoting.clean`)."""

    time: str
    """When it was published (ISO, UTC); empty where its source gives none."""
    text: str
    hours: float | None = None
    """Hours from its publication to the decision; None where the source gives no time."""


@dataclass(frozen=True, slots=True)
class Company:
    """Name, description and figures of a company, sanitised for prompts (`text.quoting.clean`)."""

    name: str
    description: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """(name, value) of its figures, as the source names them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the model may know when it calls a direction: a window, and what was published before its close.

    As a `Window` it has no future in it; what came is a `Movement`.
    """

    window: Window
    company: Company | None = None
    headlines: tuple[Headline, ...] = ()
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class Movement:
    """The price move that came after a decision. Never given to a prompt."""

    end: str
    """Date of the close that was called (ISO)."""
    change: float
    """From the last known close to that one, in percent."""
    label: Label


@dataclass(frozen=True, slots=True)
class Call:
    """A call parsed from a model's answer: where the close goes, how far, how sure the model is, and why."""

    side: Side
    change: float
    """Size of the move in percent, without a sign."""
    confidence: float
    """Stated probability that the side is right, 0.5 to 1."""
    thinking: str

    @property
    def sign(self) -> int:
        """1 for up, -1 for down."""
        return 1 if self.side == "up" else -1

    @property
    def up_probability(self) -> float:
        """Stated probability of a rise."""
        return self.confidence if self.side == "up" else 1.0 - self.confidence
