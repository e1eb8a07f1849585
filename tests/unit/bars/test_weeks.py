"""The days of the week: dates one day off, weekdays that are missing, weeks that are not over."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.ingest.sources import checks_of
from preprocessing.ohlcv import Bars, read_bars
from preprocessing.table import Table
from preprocessing.weeks import drop_unfinished_week
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.operations import IngestConfig
from stonk_pipeline.errors import DataError

WEEKLY = DataConfig(bars="weekly", data_dir="x")
CUT_OFF = "dates that are one day early.*data.market_days to sunday_to_thursday"


def read(folder: Path, dates: pd.DatetimeIndex, **data: object) -> Bars:
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, len(dates)))).round(4)
    frame = pd.DataFrame({"Date": dates, "Open": closes, "High": closes, "Low": closes, "Close": closes, "Volume": 9})
    frame.to_csv(folder / "A.csv", index=False)
    return read_bars(folder / "A.csv", DataConfig.model_validate({"data_dir": "x", **data}))


def sessions(count: int = 400, shift: int = 0, without: int | None = None) -> pd.DatetimeIndex:
    days = pd.bdate_range("2021-01-04", periods=count)
    return days[days.day_of_week != without] + pd.Timedelta(days=shift)


@pytest.mark.parametrize("count", [30, 100, 400])
def test_check_week_refuses_sessions_from_tuesday_to_saturday(tmp_path, count):
    with pytest.raises(DataError, match=r"A\.csv, line 6: 2021-01-09 is on a weekend; .*Tuesday, .*one day late"):
        read(tmp_path, sessions(count, shift=1))


def test_check_week_refuses_dates_in_utc_whose_time_was_cut_off(tmp_path):
    utc = sessions().tz_localize("Europe/Berlin").tz_convert("UTC").tz_localize(None).normalize()
    with pytest.raises(DataError, match=rf"line 2: 2021-01-03 is on a weekend; .*Sunday, Monday.*{CUT_OFF}"):
        read(tmp_path, utc)
    found = read(tmp_path, utc, market_days="sunday_to_thursday")
    assert len(found.frame) == 400 and found.repairs == ()


def test_check_week_believes_a_zone_that_the_file_names(tmp_path):
    dates = sessions(shift=-1).tz_localize("Asia/Jerusalem")
    assert len(read(tmp_path, dates).frame) == 400


def test_check_week_notes_what_contradicts_the_week_that_was_set(tmp_path):
    changed = sessions(300, shift=-1).append(pd.bdate_range("2022-02-28", periods=50))
    (told,) = read(tmp_path, changed, market_days="sunday_to_thursday").repairs
    assert (told.kind, told.rows, told.changed) == ("weekend", 10, False)
    told, missing = read(tmp_path, sessions(shift=1), market_days="five").repairs
    assert missing.kind == "missing_weekday"
    assert (told.kind, told.rows, told.changed) == ("weekend", 80, False)
    assert checks_of(IngestConfig(market_days="sunday_to_thursday")).market_days == "sunday_to_thursday"


@pytest.mark.parametrize(("day", "name"), [(0, "Monday"), (2, "Wednesday"), (4, "Friday")])
def test_check_week_refuses_a_weekday_without_sessions(tmp_path, day, name):
    for dates in (sessions(without=day), sessions(50, without=day), sessions(200, without=day).append(more())):
        with pytest.raises(DataError, match=f"hardly a bar on a {name} from 2021.* data.market_days to five"):
            read(tmp_path, dates)
    (told,) = read(tmp_path, sessions(without=day), market_days="five").repairs
    assert told.detail.startswith(f"hardly a bar on a {name} from 2021-01-0") and not told.changed


def more() -> pd.DatetimeIndex:
    return pd.bdate_range("2021-10-11", periods=300)


def test_check_week_takes_holidays_a_stock_that_is_hardly_traded_and_the_wednesdays_of_1968(tmp_path):
    rng = np.random.default_rng(2)
    assert len(read(tmp_path, sessions()[rng.random(400) < 0.5]).frame) > 150
    days = pd.bdate_range("1967-01-02", "1969-12-31")
    crisis = (days.day_of_week == 2) & (days >= "1968-06-12") & (days <= "1968-12-31")
    assert len(read(tmp_path, days[~crisis]).frame) == len(days) - crisis.sum()


def unfinished(dates: list[str], today: str) -> tuple[list[str], list[str]]:
    """(days that are kept of these weekly bars, days that are told)."""
    before = pd.date_range(end=pd.Timestamp(dates[0]) - pd.Timedelta(days=7), periods=20, freq="7D")
    days = np.array([*before.strftime("%Y-%m-%d"), *dates], dtype="datetime64[D]")
    table = Table(Path("A.csv"), "line", np.arange(len(days)), {"date": days})
    repairs: list = []
    kept = drop_unfinished_week(table, WEEKLY, repairs, np.datetime64(today))
    return [str(day) for day in kept.columns["date"][20:]], [day for repair in repairs for day in repair.dates]


@pytest.mark.parametrize(
    ("dates", "today", "dropped"),
    [
        (["2021-03-01", "2021-03-08"], "2022-01-01", []),
        # Dated by Mondays: a row of the 11th shows that the week of the 8th was running, too.
        (["2021-03-01", "2021-03-08", "2021-03-11"], "2022-01-01", ["2021-03-08", "2021-03-11"]),
        (["2021-03-01", "2021-03-08"], "2021-03-11", ["2021-03-08"]),
        (["2021-03-01", "2021-03-08"], "2021-03-13", []),
        # Dated by Fridays: a Wednesday's is a part of the next week, a Thursday's may be the eve of a holiday.
        (["2021-03-05", "2021-03-08"], "2022-01-01", ["2021-03-08"]),
        (["2021-03-05", "2021-03-10"], "2022-01-01", ["2021-03-10"]),
        (["2021-03-26", "2021-04-01"], "2022-01-01", []),
        (["2021-03-26", "2021-04-01"], "2021-04-01", ["2021-04-01"]),
        (["2021-03-05", "2021-03-12"], "2021-03-12", []),
    ],
)
def test_drop_unfinished_week_keeps_whole_weeks_alone(dates, today, dropped):
    kept, told = unfinished(dates, today)
    assert told == dropped
    assert kept == [day for day in dates if day not in dropped]


def test_read_bars_reports_an_unfinished_week(tmp_path):
    dates = pd.date_range("2016-01-04", periods=200, freq="W-MON")
    found = read(tmp_path, dates.append(dates[-1:] + pd.Timedelta(days=3)), bars="weekly")
    assert len(found.frame) == 199
    (told,) = [repair for repair in found.repairs if repair.kind == "unfinished_week"]
    assert told.changed and told.detail == "2 rows (2019-10-28, 2019-10-31) of a week that was not over; dropped"
