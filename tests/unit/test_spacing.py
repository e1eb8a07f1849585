"""The time axis of bars: how far apart they are, the session of a stamp, and the days on which a market trades."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ohlcv import Bars, read_bars
from preprocessing.spacing import find_spacing
from stonk_pipeline.config import DataConfig
from stonk_pipeline.errors import DataError


def write(path: Path, stamps: list[str], start: float = 100.0) -> Path:
    """A file of bars with these dates and prices that move a little."""
    closes = start * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, len(stamps))))
    rows = [f"{day},{c:.4f},{c * 1.01:.4f},{c * 0.99:.4f},{c:.4f},1000" for day, c in zip(stamps, closes, strict=True)]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(rows) + "\n")
    return path


def read(path: Path, **settings: object) -> Bars:
    return read_bars(path, DataConfig.model_validate(settings))


def days(first: str, count: int, frequency: str) -> list[str]:
    return list(pd.date_range(first, periods=count, freq=frequency).strftime("%Y-%m-%d"))


@pytest.mark.parametrize(
    ("frequency", "named"),
    [
        ("W-FRI", "the bars are weekly.*set data.bars to weekly"),
        ("ME", "the bars are monthly"),
        ("2W", "the bars are fortnightly"),
        ("QE", "the bars are quarterly"),
        ("11D", "the bars are irregular, 11 days apart"),
    ],
)
def test_read_bars_refuses_bars_that_are_not_daily(tmp_path, frequency, named):
    path = write(tmp_path / "A.csv", days("1990-01-05", 100, frequency))
    with pytest.raises(DataError, match=named):
        read(path)


def test_read_bars_names_a_history_of_two_spacings(tmp_path):
    path = write(tmp_path / "A.csv", days("2010-01-01", 60, "W-FRI") + days("2011-03-01", 300, "B"))
    with pytest.raises(DataError, match=r"weekly from 2010-01-01 to 2011-0.*daily from 2011.*cut off"):
        read(path)


@pytest.mark.parametrize("frequency", ["W-FRI", "W-MON", "W-SUN"])
def test_read_bars_takes_weekly_bars_if_asked(tmp_path, frequency):
    path = write(tmp_path / "A.csv", days("2012-01-06", 500, frequency))
    assert len(read(path, bars="weekly").frame) == 500
    daily = write(tmp_path / "B.csv", days("2012-01-06", 500, "B"))
    with pytest.raises(DataError, match=r"the bars are daily, and weekly ones are expected"):
        read(daily, bars="weekly")


def test_find_spacing_takes_a_stock_that_is_hardly_traded_for_daily():
    rng = np.random.default_rng(3)
    for share in (0.9, 0.6, 0.45):
        all_days = np.array(days("2010-01-01", 1000, "B"), dtype="datetime64[D]")
        found = find_spacing(all_days[rng.random(1000) < share])
        assert found is not None and found.kind == "daily", (share, found)
    holes = np.delete(np.arange(1000), np.r_[100:140, 300:330])
    found = find_spacing(all_days[holes])
    assert found is not None and found.kind == "daily"


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("clock", [[" 10:00", " 12:00", " 16:00"], ["", "", ""]])
def test_read_bars_refuses_several_bars_a_day(tmp_path, equal, clock):
    stamps = [f"{day}{time}" for day in days("2021-01-04", 200, "B") for time in clock]
    path = write(tmp_path / "A.csv", stamps)
    if equal:
        lines = path.read_text().splitlines()
        lines[1:] = [f"{stamp},{lines[1].partition(',')[2]}" for stamp in stamps]
        path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="intraday bars, 3 a day"):
        read(path)


def test_read_bars_drops_the_repeats_of_a_file_that_was_written_twice(tmp_path):
    path = write(tmp_path / "A.csv", days("2021-01-04", 100, "B"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines + lines[1:]) + "\n")
    bars = read(path)
    assert len(bars.frame) == 100
    assert {repair.kind: repair.rows for repair in bars.repairs}["duplicate"] == 100


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata"]
)
def test_read_bars_takes_the_session_of_stamps_in_utc(tmp_path, zone):
    sessions = pd.date_range("2021-01-04", periods=300, freq="B")
    stamps = sessions.tz_localize(zone).tz_convert("UTC").strftime("%Y-%m-%d %H:%M:%S+00:00")
    bars = read(write(tmp_path / "SAP.DE.csv", list(stamps)))
    assert list(bars.frame["date"]) == list(sessions)
    (told,) = [repair for repair in bars.repairs if repair.kind == "time_of_day"]
    assert "at midnight in " in told.detail and told.changed


def test_read_bars_takes_the_session_of_the_case_that_was_found(tmp_path):
    sessions = pd.date_range("2021-01-04", periods=200, freq="B")
    stamps = sessions.tz_localize("Europe/Berlin").tz_convert("UTC").strftime("%Y-%m-%d %H:%M:%S+00:00")
    assert stamps[0] == "2021-01-03 23:00:00+00:00"
    assert read(write(tmp_path / "SAP.csv", list(stamps))).frame["date"].iloc[0] == pd.Timestamp("2021-01-04")


def test_read_bars_keeps_the_date_of_a_close_in_the_exchange_own_zone(tmp_path):
    sessions = pd.date_range("2021-01-04", periods=300, freq="B")
    stamps = (sessions + pd.Timedelta(hours=16)).tz_localize("America/New_York").strftime("%Y-%m-%d %H:%M:%S%z")
    assert list(read(write(tmp_path / "A.csv", list(stamps))).frame["date"]) == list(sessions)


@pytest.mark.parametrize("clock", ["", " 17:23:00+00:00"])
def test_read_bars_refuses_weekend_sessions_of_a_five_day_market(tmp_path, clock):
    sessions = [*days("2021-01-04", 200, "B"), *days("2021-01-10", 20, "7D")]
    path = write(tmp_path / "A.csv", [f"{day}{clock}" for day in sorted(sessions)])
    with pytest.raises(DataError, match="weekend"):
        read(path)


def test_read_bars_keeps_a_special_session_and_says_so(tmp_path):
    sessions = sorted([*days("2021-01-04", 300, "B"), "2021-11-06"])
    bars = read(write(tmp_path / "A.csv", sessions))
    assert len(bars.frame) == 301
    assert [(repair.kind, repair.rows, repair.changed) for repair in bars.repairs] == [("weekend", 1, False)]


def test_read_bars_takes_markets_that_rest_on_other_days_or_never(tmp_path):
    riyadh = [day for day in pd.date_range("2021-01-03", periods=400) if day.dayofweek not in (4, 5)]
    for sessions in (riyadh, list(pd.date_range("2021-01-02", periods=400))):
        bars = read(write(tmp_path / "A.csv", [f"{day:%Y-%m-%d}" for day in sessions]))
        assert list(bars.frame["date"]) == sessions and bars.repairs == ()
