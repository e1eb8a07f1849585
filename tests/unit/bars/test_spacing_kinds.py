"""Spacings of bars: which steps between dates are days, weeks, months, two kinds, or none."""

import numpy as np
import pandas as pd
import pytest

from preprocessing.spacing import find_spacing


def as_days(dates):
    return pd.DatetimeIndex(dates).to_numpy().astype("datetime64[D]")


def some(dates, share, seed=0):
    """A share of the dates, drawn at random, in order."""
    return dates[np.random.default_rng(seed).random(len(dates)) < share]


BUSINESS = pd.bdate_range("2012-01-02", periods=1500)
WEEKS = pd.date_range("2012-01-06", periods=500, freq="W-FRI")


@pytest.mark.parametrize(
    ("kind", "dates"),
    [
        ("daily", BUSINESS),
        ("daily", pd.date_range("2020-01-01", periods=700)),
        ("daily", some(BUSINESS, 0.9)),
        ("daily", some(BUSINESS, 0.5)),
        ("daily", some(BUSINESS, 0.35)),
        ("daily", BUSINESS[:200].append(BUSINESS[900:])),
        ("weekly", WEEKS),
        ("weekly", WEEKS - pd.to_timedelta((np.arange(500) % 9 == 0) * 1, unit="D")),
        ("weekly", some(WEEKS, 0.97)),
        ("weekly", pd.date_range("2012-01-02", periods=40, freq="7D").append(pd.DatetimeIndex(["2012-10-04"]))),
        ("fortnightly", WEEKS[::2]),
        ("monthly", pd.date_range("2000-01-31", periods=260, freq="ME")),
        ("monthly", pd.date_range("2000-01-31", periods=260, freq="BME")),
        ("quarterly", pd.date_range("2000-01-31", periods=60, freq="QE")),
        ("yearly", pd.date_range("1950-01-31", periods=60, freq="YE")),
        ("irregular", BUSINESS[::3]),
        ("irregular", some(BUSINESS, 0.12)),
    ],
)
def test_find_spacing_names_what_most_steps_are(kind, dates):
    assert find_spacing(as_days(dates)).kind == kind


@pytest.mark.parametrize("weeks", [25, 400])
def test_find_spacing_names_a_history_that_begins_with_weeks(weeks):
    days = as_days(WEEKS[:weeks].append(pd.bdate_range(WEEKS[weeks - 1] + pd.Timedelta(days=3), periods=300)))
    spacing = find_spacing(days)
    assert spacing.kind == "mixed"
    assert spacing.said.startswith("weekly from 2012-01-06 to ") and ", daily from " in spacing.said


def test_find_spacing_says_where_one_spacing_ends_and_the_next_begins():
    days = as_days(WEEKS[:50].append(pd.bdate_range("2013-02-25", "2014-04-18")))
    assert find_spacing(days).said == "weekly from 2012-01-06 to 2012-12-14, daily from 2013-02-25 to 2014-04-18"


def test_find_spacing_cannot_tell_from_a_few_bars():
    assert find_spacing(as_days(WEEKS[:10])) is None
