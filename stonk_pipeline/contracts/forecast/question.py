"""Words the question for the coming closes of a stock, and parses the model's answer.

`messages` is the only place that words a question and `parse` the only one that reads an answer; GRPO, sampling, SFT,
comparison and forecasting all use them. The messages go through the model's own chat template.
"""

import math
import re

from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.periods import TRADING_DAY, adjective, noun
from stonk_pipeline.schema import Forecast, Unreadable, Window
from stonk_pipeline.text import form
from stonk_pipeline.text.figures import indicator_text
from stonk_pipeline.text.form import Messages, number

REASONS = form.REASONS | {
    "not a list": "the answer is not a list in square brackets",
    "not a number": "an element is not a plain decimal number",
    "wrong length": "the list has not one value for each bar ahead",
    "out of range": "a value is not a possible price",
}
"""Why an answer is not a forecast; `Unreadable.reason` is one of the keys."""

_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")

SYSTEM = (
    "You forecast the daily closes of a stock. Think briefly, then give one number for each day ahead, "
    "on the scale of the closes shown. Answer in this form:\n"
    "<think>reasoning</think>\n"
    "<answer>[v1, v2, ...]</answer>"
)

SHORTER = "shorten data.window, or switch prompt.indicators or prompt.statistics off"
"""How a person makes the prompts shorter."""
_DIRECTIONS = {-1: "down", 0: "flat", 1: "up"}


def messages(window: Window, prompt: PromptConfig, horizon: int) -> Messages:
    """Builds the question about one window, as chat messages.

    Args:
        window: what may be known at the close of `window.date`.
        prompt: what of it to show.
        horizon: closes to ask for.

    Returns:
        A system and a user message.
    """
    spanned = period(window, prompt)
    system = SYSTEM.replace("daily", adjective(spanned)).replace("each day", f"each {noun(spanned)}")
    return [{"role": "system", "content": system}, {"role": "user", "content": question(window, prompt, horizon)}]


def question(window: Window, prompt: PromptConfig, horizon: int) -> str:
    """Words the user message: closes, indicators and statistics of one window, on its prompt scale."""
    about = []
    if prompt.show_ticker:
        about.append(f"Stock: {window.stock}")
    if prompt.show_dates:
        about.append(f"Last close: {window.date}")
    about.append(f"Closes, oldest first: {join(window.context, prompt.decimals)}")
    if prompt.indicators:
        about.append(f"Indicators: {indicator_text(window.indicators, prompt.decimals)}")
    if prompt.statistics:
        about.append(f"Statistics: {_statistics(window, prompt)}")
    if prompt.differences:
        gap, step = differences(window, prompt)
        from_ema = "" if math.isnan(gap) else f", close from EMA {gap:+.{prompt.decimals}f}"
        about.append(f"Differences: last move {step:+.{prompt.decimals}f}{from_ema}")
    about.append(f"Forecast the next {horizon} closes.")
    return "\n".join(about)


def differences(window: Window, prompt: PromptConfig) -> tuple[float, float]:
    """Subtracts numbers of a question as they are shown, so that what is said of them follows from the question.

    Returns:
        (last close less its EMA, NaN where the question has no indicators; last close less the one before), on the
        window's prompt scale.
    """
    last, before = (round(value, prompt.decimals) for value in window.context[:-3:-1])
    ema = round(window.indicators["ema"], prompt.decimals) if prompt.indicators else math.nan
    return last - ema, last - before


def join(values: tuple[float, ...], decimals: int) -> str:
    """Formats numbers as the answer's form wants them: `[v1, v2, …]`."""
    return "[" + ", ".join(number(value, decimals) for value in values) + "]"


def answer(thought: str, values: tuple[float, ...], decimals: int) -> str:
    """Writes an answer in the form that `parse` reads."""
    return form.join(thought, join(values, decimals))


def parse(
    completion: str, horizon: int, *, lowest: float = -math.inf, highest: float = math.inf
) -> Forecast | Unreadable:
    """Reads an answer. Strict and total: any text gives a forecast or a named reason, never an exception.

    Args:
        completion: the model's own text, without the prompt.
        horizon: how many closes were asked for.
        lowest: values at or below this are no prices; see `lowest_value`.
        highest: values above this are slips of the pen; see `highest_value`.

    Returns:
        The forecast on the window's prompt scale, or `Unreadable` with a key of `REASONS`.
    """
    parts = form.split(completion)
    if isinstance(parts, Unreadable):
        return parts
    inner = parts.answer
    if not (inner.startswith("[") and inner.endswith("]")):
        return Unreadable("not a list")
    return _values(inner[1:-1], horizon, lowest, highest)


def _values(inner: str, horizon: int, lowest: float, highest: float) -> Forecast | Unreadable:
    parts = [part.strip() for part in inner.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return Unreadable("not a number")
    if len(parts) != horizon:
        return Unreadable("wrong length")
    values = tuple(float(part) for part in parts)
    if any(not lowest < value <= highest for value in values):
        return Unreadable("out of range")
    return Forecast(values)


def period(window: Window, prompt: PromptConfig) -> str:
    """Returns what one bar of a window spans, as the question names it: a key of `periods.A_YEAR`."""
    return window.period if prompt.name_period else TRADING_DAY


def lowest_value(window: Window) -> float:
    """Returns the value on the window's prompt scale that stands for a price of zero."""
    return -window.price_offset / window.price_unit


def highest_value(window: Window) -> float:
    """Returns the prompt-scale value that stands for ten times the last price; more counts as a slip of the pen."""
    return 10 * window.last + 9 * window.price_offset / window.price_unit


def read(completion: str, window: Window, horizon: int) -> Forecast | Unreadable:
    """Parses an answer with the price bounds of its window."""
    return parse(completion, horizon, lowest=lowest_value(window), highest=highest_value(window))


def read_all(texts: list[list[str]], windows: list[Window], horizon: int) -> list[list[Forecast | Unreadable]]:
    """Parses every answer of every window."""
    return [
        [read(text, window, horizon) for text in of_window] for window, of_window in zip(windows, texts, strict=True)
    ]


def _statistics(window: Window, prompt: PromptConfig) -> str:
    decimals, bar = prompt.decimals, noun(period(window, prompt))
    values = window.statistics
    places = ", ".join(
        f"{name} {number(values[name], decimals)} at {values[f'{name}_timestep']:.0f}"
        for name in ("min", "max", "median")
    )
    lags = " ".join("none" if math.isnan(values[f"lag_{k}"]) else number(values[f"lag_{k}"], 1) for k in (1, 2, 3))
    return (
        f"{places}, mean {number(values['mean'], decimals)}, "
        f"trend {_DIRECTIONS[int(values['trend_direction'])]} {number(values['trend_slope'], 2)} a {bar}, "
        f"strength {values['trend_strength']:.1f}, lags {lags}, volatility {number(window.volatility, 2)}"
    )
