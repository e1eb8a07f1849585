"""Stamps of bars: the session of an exchange whose midnight they are, and bars of hours."""

import numpy as np
import pandas as pd
import pytest

from preprocessing.ohlcv import read_bars
from preprocessing.zones import ZONES
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.schema import DATE


def read(folder, stamps, name="SAP"):
    """Bars of these stamps, all with the same prices."""
    path = folder / f"{name}.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "".join(f"{stamp},10,11,9,10,5\n" for stamp in stamps))
    return read_bars(path, DataConfig())


def days_of(bars):
    return bars.frame[DATE].to_numpy().astype("datetime64[D]")


def weekdays(count=500):
    """Weekdays of two years, some missing, so that summer and winter time come twice."""
    return pd.bdate_range("2020-06-01", periods=count).delete([30, 31])


def utc(days, zone):
    return days.tz_localize(zone).tz_convert("UTC")


def kinds(bars):
    return [repair.kind for repair in bars.repairs]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata"])
@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%SZ"])
def test_session_days_are_those_of_the_exchange_whose_midnight_is_written_in_utc(tmp_path, zone, form):
    days = weekdays()
    bars = read(tmp_path, utc(days, zone).strftime(form))
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))
    assert f"midnight in {zone}" in bars.repairs[0].detail


def test_session_days_are_found_where_the_zone_was_cut_off_and_sundays_show_it(tmp_path):
    days = weekdays()
    bars = read(tmp_path, utc(days, "Europe/Berlin").strftime("%Y-%m-%d %H:%M:%S"))
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))


def test_session_days_of_parquet_with_a_zone(tmp_path):
    days = weekdays()
    prices = {name: 10.0 for name in ("Open", "High", "Low", "Close", "Volume")}
    pd.DataFrame({"Date": utc(days, "Europe/Berlin")}).assign(**prices).to_parquet(tmp_path / "SAP.parquet")
    bars = read_bars(tmp_path / "SAP.parquet", DataConfig())
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))


def test_session_days_of_a_sunday_to_thursday_market(tmp_path):
    days = pd.date_range("2020-06-01", periods=400)
    days = days[~days.day_of_week.isin([4, 5])]
    bars = read(tmp_path, utc(days, "Asia/Riyadh").strftime("%Y-%m-%d %H:%M:%S+00:00"))
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))


@pytest.mark.parametrize("form", ["%Y-%m-%d 20:00:00+00:00", "%Y-%m-%d 16:00:00", "%Y-%m-%d 00:00:00-05:00"])
def test_session_days_are_the_written_ones_where_the_time_is_that_of_the_close(tmp_path, form):
    days = weekdays()
    bars = read(tmp_path, days.strftime(form))
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))
    assert kinds(bars) == ["time_of_day"]


def test_session_days_keep_the_dates_of_a_market_without_weekends(tmp_path):
    days = pd.date_range("2021-01-01", periods=200)
    bars = read(tmp_path, days.strftime("%Y-%m-%d 23:59:59+00:00"))
    np.testing.assert_array_equal(days_of(bars), days.to_numpy().astype("datetime64[D]"))


def test_session_days_refuses_weekends_that_no_exchange_explains(tmp_path):
    shifted = (weekdays() + pd.Timedelta(hours=-5, minutes=-17)).strftime("%Y-%m-%d %H:%M:%S+00:00")
    with pytest.raises(DataError, match=r"SAP\.csv: .*bars are dated on weekends.*write the date of each session"):
        read(tmp_path, shifted)


def test_refuse_intraday_names_hours_of_a_market_that_never_rests(tmp_path):
    stamps = pd.date_range("2021-01-01", periods=24 * 40, freq="h").strftime("%Y-%m-%d %H:%M:%S+00:00")
    with pytest.raises(DataError, match=r"intraday bars, 24 a day and 60 minutes apart"):
        read(tmp_path, stamps)


def test_refuse_intraday_leaves_repeats_of_the_same_stamp(tmp_path):
    stamps = list(weekdays(60).strftime("%Y-%m-%d 16:00:00"))
    bars = read(tmp_path, [*stamps, *stamps[10:50]])
    assert len(bars.frame) == len(stamps)
    assert sum(repair.rows for repair in bars.repairs if repair.kind == "duplicate") == 40


def test_refuse_intraday_leaves_the_running_bar_of_the_last_day(tmp_path):
    days = list(weekdays(60).strftime("%Y-%m-%d"))
    assert len(read(tmp_path, [*days, f"{days[-1]} 15:42:00"]).frame) == len(days)


@pytest.mark.parametrize("year", ["0000", "0001", "9999"])
@pytest.mark.parametrize("time", ["23:00:00+00:00", "05:00:00"])
def test_session_days_of_years_that_no_calendar_of_zones_has_is_refused(tmp_path, year, time):
    stamps = [f"{year}-{month:02}-{day:02} {time}" for month in range(1, 13) for day in range(1, 28)]
    with pytest.raises(DataError, match=r"SAP\.csv"):
        read(tmp_path, stamps)


def test_zones_are_those_of_every_exchange_calendar():
    from exchange_calendars.calendar_utils import _default_calendar_factories as calendars

    # A calendar's zone is a property of its class that needs no sessions, whose making takes seconds each.
    zones = [made.tz for made in calendars.values() if isinstance(made, type)]
    known = {str(zone.fget(None) if isinstance(zone, property) else zone) for zone in zones}
    assert len(known) > 40
    assert set(ZONES) == known - {"UTC"}
