"""The question and the one reader of answers."""

import dataclasses
import inspect
import math
import re
import typing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.question import (
    REASONS,
    answer,
    highest_value,
    lowest_value,
    messages,
    parse,
    read,
    read_all,
)
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.schema import INDICATORS, STATISTICS, Forecast, Unreadable, Window
from stonk_pipeline.text.form import TAGS, number, thinking

SHOWN = PromptConfig()
WINDOW = Window(
    stock="ZZTOP",
    date="2021-03-04",
    context=(95.11, 96.22, 94.33, 97.44, 98.55, 100.0),
    indicators={
        "sma": 97.01,
        "ema": 96.02,
        "mom": 4.89,
        "stoch_k": 71.0,
        "stoch_d": 62.0,
        "rsi": 55.0,
        "macd": 0.47,
        "willr": -29.0,
        "cci": 118.0,
        "adx": 23.0,
        "bbands_upper": 101.5,
        "bbands_middle": 97.25,
        "bbands_lower": 93.0,
    },
    statistics={
        "min": 94.33,
        "min_timestep": 3.0,
        "max": 100.0,
        "max_timestep": 6.0,
        "mean": 96.94,
        "median": 96.83,
        "median_timestep": 2.0,
        "trend_slope": 0.92,
        "trend_strength": 0.7,
        "trend_direction": 1.0,
        "lag_1": 0.5,
        "lag_2": -0.3,
        "lag_3": math.nan,
    },
    volatility=1.37,
    price_offset=0.0,
    price_unit=1.5,
)


def user_text(window=WINDOW, prompt=SHOWN, horizon=10):
    return messages(window, prompt, horizon)[-1]["content"]


# The question


def test_messages_are_worded_as_committed():
    assert [message["role"] for message in messages(WINDOW, SHOWN, 10)] == ["system", "user"]
    assert user_text() == (
        "Closes, oldest first: [95.11, 96.22, 94.33, 97.44, 98.55, 100.00]\n"
        "Indicators: SMA 97.01, EMA 96.02, MOM 4.89, MACD 0.47, STOCH_K 71, STOCH_D 62, RSI 55, WILLR -29, CCI 118, "
        "ADX 23, BBANDS 101.50 97.25 93.00\n"
        "Statistics: min 94.33 at 3, max 100.00 at 6, median 96.83 at 2, mean 96.94, trend up 0.92 a day, "
        "strength 0.7, lags 0.5 -0.3 none, volatility 1.37\n"
        "Forecast the next 10 closes."
    )


def test_messages_explain_the_form_that_parse_reads():
    system = messages(WINDOW, SHOWN, 2)[0]["content"]
    shown = system[system.index("<think>") :].replace("v1, v2, ...", "1, 2")
    assert parse(shown, 2) == Forecast((1.0, 2.0))


@pytest.mark.parametrize("place", range(len(WINDOW.context)))
def test_messages_show_every_close(place):
    closes = list(WINDOW.context)
    closes[place] = 77.77
    assert "77.77" in user_text(dataclasses.replace(WINDOW, context=tuple(closes)))


@pytest.mark.parametrize("name", INDICATORS)
def test_messages_show_every_indicator(name):
    changed = dataclasses.replace(WINDOW, indicators=WINDOW.indicators | {name: 31.0})
    assert user_text(changed) != user_text()
    assert re.search(rf"\b{name.split('_')[0].upper()}", user_text())
    assert user_text(changed, PromptConfig(indicators=False)) == user_text(WINDOW, PromptConfig(indicators=False))


@pytest.mark.parametrize("name", STATISTICS)
def test_messages_show_every_statistic(name):
    value = -1.0 if name == "trend_direction" else 0.2
    changed = dataclasses.replace(WINDOW, statistics=WINDOW.statistics | {name: value})
    assert user_text(changed) != user_text()
    assert user_text(changed, PromptConfig(statistics=False)) == user_text(WINDOW, PromptConfig(statistics=False))


def test_messages_show_differences_of_the_numbers_as_shown_when_asked():
    assert "Differences" not in user_text()
    asked = PromptConfig(decimals=1, differences=True)
    assert "97.4, 98.5, 100.0]" in user_text(prompt=asked)
    assert "\nDifferences: last move +1.5, close from EMA +4.0\nForecast" in user_text(prompt=asked)
    alone = PromptConfig(decimals=1, differences=True, indicators=False)
    assert "\nDifferences: last move +1.5\nForecast" in user_text(prompt=alone)


def test_messages_hide_ticker_and_dates_by_default():
    text = "".join(message["content"] for message in messages(WINDOW, SHOWN, 10))
    assert "ZZTOP" not in text
    assert not re.search(r"20\d\d|\d-\d", text)
    other = dataclasses.replace(WINDOW, stock="AAPL", date="1999-12-31", price_unit=9.0)
    assert messages(other, SHOWN, 10) == messages(WINDOW, SHOWN, 10)


def test_messages_show_ticker_and_dates_when_asked():
    text = user_text(prompt=PromptConfig(show_ticker=True, show_dates=True))
    assert "Stock: ZZTOP" in text
    assert "2021-03-04" in text
    assert "2021" not in user_text(prompt=PromptConfig(show_ticker=True))
    assert "ZZTOP" not in user_text(prompt=PromptConfig(show_dates=True))


def test_messages_are_the_same_for_the_same_window():
    again = dataclasses.replace(WINDOW, indicators=dict(reversed(WINDOW.indicators.items())))
    assert messages(again, PromptConfig(), 10) == messages(WINDOW, SHOWN, 10)


@pytest.mark.parametrize("function", [messages, question.question])
def test_messages_cannot_be_given_a_target(function):
    hints = typing.get_type_hints(function)
    assert list(inspect.signature(function).parameters) == ["window", "prompt", "horizon"]
    assert (hints["window"], hints["prompt"], hints["horizon"]) == (Window, PromptConfig, int)
    assert not {"target", "values", "outcome"} & {field.name for field in dataclasses.fields(Window)}


def test_messages_word_closes_that_stand_still():
    still = {"trend_direction": 0.0, "trend_slope": -0.0, "trend_strength": 0.0, "lag_1": math.nan, "lag_2": math.nan}
    text = user_text(dataclasses.replace(WINDOW, statistics=WINDOW.statistics | still))
    assert "trend flat 0.00 a day, strength 0.0, lags none none none" in text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1.005, 0, "1"),
        (-0.004, 2, "0.00"),  # no negative zero
        (-0.0, 1, "0.0"),
        (-0.05, 1, "-0.1"),
        (1e6, 2, "1000000.00"),
        (123.456, 6, "123.456000"),
    ],
)
def test_number_has_fixed_decimals_and_no_negative_zero(value, decimals, text):
    assert number(value, decimals) == text


STANDARDISED = dataclasses.replace(WINDOW, context=(1.0, 2.0), price_offset=50.0, price_unit=5.0)
"""The last price is 60."""


def test_lowest_value_is_a_price_of_zero():
    assert lowest_value(STANDARDISED) == -10.0
    assert lowest_value(WINDOW) == 0.0


def test_highest_value_is_ten_times_the_last_price():
    assert highest_value(STANDARDISED) == (600.0 - 50.0) / 5.0
    assert highest_value(WINDOW) == 1000.0


# The reader


def form(inner, think="up"):
    return f"<think>{think}</think>\n<answer>{inner}</answer>"


READABLE = [
    (form("[1, 2]"), (1.0, 2.0)),
    ("<think></think><answer>[1,2]</answer>", (1.0, 2.0)),  # no thought, no spaces
    (" \n<think>\nup\n</think>\n\n<answer>\n[ 1 ,\n\t2 ]\n</answer>\n ", (1.0, 2.0)),  # spaces and newlines
    (form("[1, 2]", "closes [3, 4] </b> < answer > 5"), (1.0, 2.0)),  # whatever is thought
    (form("[-1.5, 0]"), (-1.5, 0.0)),  # the standardised scale has negative values
    (form("[007, 2.50]"), (7.0, 2.5)),
    (form("[999999999.999999999, 0.000000001]"), (1e9, 1e-9)),  # nine digits on each side
]

UNREADABLE = [
    ("", "no thinking"),
    ("   \n", "no thinking"),
    ("I cannot forecast prices.", "no thinking"),
    ("[1, 2]", "no thinking"),
    ("<answer>[1, 2]</answer>", "no thinking"),
    ("<think>up <answer>[1, 2]</answer>", "no thinking"),  # never closed
    ("up</think><answer>[1, 2]</answer>", "no thinking"),  # never opened
    ("Well: " + form("[1, 2]"), "no thinking"),  # text before
    ("<THINK>up</THINK><answer>[1, 2]</answer>", "no thinking"),
    ("< think>up</think><answer>[1, 2]</answer>", "no thinking"),
    ("<think>up</think>", "no answer"),
    ("<think>up</think>[1, 2]", "no answer"),
    ("<think>up</think><answer>[1, 2", "no answer"),  # cut off by the length limit
    ("<think>up</think><answer>[1, 2]", "no answer"),
    ("<think>up</think>[1, 2]</answer>", "no answer"),
    ("<think>up <answer>[1, 2]</answer></think>", "no answer"),  # the answer inside the thinking
    ("<think>up <answer></think>[1, 2]</answer>", "no answer"),  # crossed blocks
    (form("[1, 2]") + form("[1, 2]"), "several answers"),
    (form("[1, 2]") + "<answer>[3, 4]</answer>", "several answers"),
    (form("[1, 2]", "<think>up</think>"), "several answers"),  # nested
    (form("[1, 2]", "I will write <answer>"), "several answers"),
    (form("<answer>[1, 2]</answer>"), "several answers"),
    ("<think>up</think><think>down</think><answer>[1, 2]</answer>", "several answers"),
    (form("[1, 2]") + "</answer>", "several answers"),
    (form("[1, 2]") + " I hope this helps.", "text outside"),
    (form("[1, 2]") + "<|im_end|>", "text outside"),
    ("<think>up</think> so <answer>[1, 2]</answer>", "text outside"),
    ("<think>up</think></answer>[1, 2]<answer>", "text outside"),  # tags in the wrong order
    (form(""), "not a list"),
    (form("1, 2"), "not a list"),
    (form("[1, 2"), "not a list"),
    (form("1, 2]"), "not a list"),
    (form("["), "not a list"),
    (form("(1, 2)"), "not a list"),
    (form("{1, 2}"), "not a list"),
    (form("\uff3b1, 2\uff3d"), "not a list"),  # full-width brackets
    (form("[1, 2] dollars"), "not a list"),
    (form("closes: [1, 2]"), "not a list"),
    (form("[]"), "not a number"),
    (form("[ ]"), "not a number"),
    (form("[1, 2,]"), "not a number"),
    (form("[1,, 2]"), "not a number"),
    (form("[1 2]"), "not a number"),
    (form("[1; 2]"), "not a number"),
    (form("[[1, 2]]"), "not a number"),
    (form("[1], [2]"), "not a number"),
    (form("[v1, v2]"), "not a number"),  # the form itself, repeated
    (form("[1, ...]"), "not a number"),
    *(
        (form(f"[1, {element}]"), "not a number")
        for element in (
            *("NaN", "nan", "inf", "-inf", "Infinity", "1e308", "1e2", "1E2", "1e400", "null", "None", "True"),
            *("+1", ".5", "1.", "-.5", "--1", "- 1", "1.2.3", "1_000", "0x10", "1f", "1/2", "$1", "1%", '"1"', "~1"),
            *("\uff11", "٣", "²", "½", "Ⅷ", "1\u200b", "\u22121", "1\x00"),  # digits and signs that are not ASCII
            *("1234567890", "0.1234567891", "1" * 400),  # longer than any price
        )
    ),
    (form("[1]"), "wrong length"),
    (form("[1, 2, 3]"), "wrong length"),
    (form("[1,500.5, 2]"), "wrong length"),  # thousands separators are not part of a number
]


@pytest.mark.parametrize(("text", "values"), READABLE)
def test_parse_reads_the_form(text, values):
    assert parse(text, 2) == Forecast(values)


@pytest.mark.parametrize(("text", "reason"), UNREADABLE)
def test_parse_says_why_an_answer_is_no_forecast(text, reason):
    assert parse(text, 2) == Unreadable(reason)


@pytest.mark.parametrize(
    ("inner", "window", "readable"),
    [
        ("[0.01, 2]", WINDOW, True),
        ("[0, 2]", WINDOW, False),  # a price of zero
        ("[-0, 2]", WINDOW, False),
        ("[1, -2]", WINDOW, False),
        ("[1, 1000]", WINDOW, True),
        ("[1, 1000.1]", WINDOW, False),  # a point forgotten
        ("[-9.99, 2]", STANDARDISED, True),
        ("[-10, 2]", STANDARDISED, False),
        ("[1, 110]", STANDARDISED, True),
        ("[1, 111]", STANDARDISED, False),
    ],
)
def test_read_refuses_values_that_are_no_prices_of_the_window(inner, window, readable):
    unbounded = parse(form(inner), 2)
    assert isinstance(unbounded, Forecast)
    assert read(form(inner), window, 2) == (unbounded if readable else Unreadable("out of range"))


def test_read_all_reads_each_answer_with_the_bounds_of_its_window():
    text = form("[-1, 2]")
    windows = [WINDOW, STANDARDISED]
    assert read_all([[text, ""], [text]], windows, 2) == [
        [Unreadable("out of range"), Unreadable("no thinking")],
        [Forecast((-1.0, 2.0))],
    ]
    with pytest.raises(ValueError, match="shorter"):
        read_all([[text]], windows, 2)


def test_reasons_are_all_reached():
    table = {reason for _, reason in UNREADABLE} | {"out of range"}
    assert table == set(REASONS)


FORM = re.compile(
    r"\s*<think>(?:(?!</?think>|</?answer>).)*</think>\s*"
    r"<answer>\s*\[\s*(?:-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\s*,\s*-?[0-9]{1,9}(?:\.[0-9]{1,9})?)*\s*\]\s*</answer>\s*",
    re.DOTALL,
)
"""The form as one pattern: what `parse` reads step by step, said in another way."""

FRAGMENTS = (
    *TAGS,
    "[",
    "]",
    ",",
    " ",
    "\n",
    "-",
    ".",
    "1",
    "23.5",
    "\uff10",
    "nan",
    "1e9",
    "\u2003",
    "<",
    "x",
    "\ud800",
)
VALID = form("[1.5, 2, -3]", "a")


@st.composite
def almost_valid(draw):
    """A valid answer with a few places replaced by fragments."""
    text = VALID
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 9)))
        text = text[:start] + draw(st.sampled_from(("", *FRAGMENTS))) + text[stop:]
    return text


ANY_TEXT = st.one_of(
    st.text(),
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join),
    st.binary().map(lambda raw: raw.decode("utf-8", errors="surrogateescape")),
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(lambda parts: form(f"[{''.join(parts)}]")),
    almost_valid(),
)


@given(
    text=ANY_TEXT,
    horizon=st.integers(1, 4),
    bounds=st.sampled_from([(-math.inf, math.inf), (0.0, math.inf), (-math.inf, 1.0), (0.0, 2.0)]),
)
@example(text=VALID, horizon=3, bounds=(-math.inf, math.inf))
@example(text=VALID, horizon=3, bounds=(0.0, 2.0))
def test_parse_gives_a_forecast_or_a_reason_for_any_text(text, horizon, bounds):
    lowest, highest = bounds
    found = parse(text, horizon, lowest=lowest, highest=highest)
    if isinstance(found, Forecast):
        assert len(found.values) == horizon
        assert all(type(value) is float and math.isfinite(value) for value in found.values)
        assert all(lowest < value <= highest for value in found.values)
        assert FORM.fullmatch(text)
    else:
        assert isinstance(found, Unreadable)
        assert found.reason in REASONS
        assert not FORM.fullmatch(text) or found.reason in ("wrong length", "out of range")


@given(
    values=st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=12).map(tuple),
    decimals=st.integers(0, 6),
    thought=st.text(st.characters(exclude_characters="<>")),
)
def test_parse_reads_back_what_answer_writes(values, decimals, thought):
    text = answer(thought, values, decimals)
    found = parse(text, len(values))
    assert found == Forecast(tuple(float(number(value, decimals)) for value in values))
    assert found.values == pytest.approx(values, abs=0.51 * 10.0**-decimals, rel=1e-12)
    assert thinking(text) == thought.strip()


def test_thinking_gives_all_of_a_text_without_the_form():
    assert thinking(" I think so\n") == "I think so"
    assert thinking("<think>cut off") == "<think>cut off"


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>" * (MEGABYTE // 7), "no thinking"),
        ("<" * MEGABYTE, "no thinking"),
        (" " * MEGABYTE + "x", "no thinking"),
        ("<think>" + "</think" * (MEGABYTE // 7), "no thinking"),
        ("<think>" + " \n" * (MEGABYTE // 2) + "</think>", "no answer"),
        ("<think></think>" + "<answer" * (MEGABYTE // 7), "no answer"),
        (form("[" * MEGABYTE), "not a list"),
        (form("[" + " " * MEGABYTE), "not a list"),
        (form("[" + "1" * MEGABYTE + "]"), "not a number"),
        (form("[" + "0." * (MEGABYTE // 2) + "]"), "not a number"),
        (form("[" + "1,\n" * (MEGABYTE // 3) + "]"), "not a number"),
        (form("[1" + ",1" * (MEGABYTE // 2) + "]"), "wrong length"),
    ],
    ids=lambda value: value[:20],
)
def test_parse_comes_to_an_end_on_a_megabyte(text, reason):
    assert parse(text, 10) == Unreadable(reason)
