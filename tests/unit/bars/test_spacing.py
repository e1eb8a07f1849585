"""The time axis of bars: how far apart they are, the session of a stamp, and the days on which a market trades."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing import reading
from preprocessing.dataset import preprocess
from preprocessing.ohlcv import Bars, find_files, read_bars
from preprocessing.spacing import find_spacing
from stonk_pipeline import periods
from stonk_pipeline.config.data import DataConfig, PreprocessStage
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.live.calendar import in_weeks, weeks_from
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.errors import ConfigError, DataError
from stonk_pipeline.evaluation.backtest import trade


def write(path: Path, stamps: list[str], start: float = 100.0) -> Path:
    """A file of bars with these dates and prices that move a little."""
    closes = start * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, len(stamps))))
    rows = [f"{day},{c:.4f},{c * 1.01:.4f},{c * 0.99:.4f},{c:.4f},1000" for day, c in zip(stamps, closes, strict=True)]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(rows) + "\n")
    return path


def read(path: Path, **settings: object) -> Bars:
    return read_bars(path, DataConfig.model_validate({"data_dir": str(path), **settings}))


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


def test_read_bars_keeps_the_saturdays_of_former_times_if_told(tmp_path):
    former = [day for day in pd.date_range("1949-01-03", "1952-05-31") if day.day_of_week != 6]
    sessions = [f"{day:%Y-%m-%d}" for day in [*former, *pd.bdate_range("1952-06-02", "1960-12-30")]]
    path = write(tmp_path / "A.csv", sessions)
    with pytest.raises(DataError, match=r"1949-01-08 is on a weekend.*set data\.market_days to five"):
        read(path)
    bars = read(path, market_days="five")
    assert len(bars.frame) == len(sessions)
    saturdays = sum(day.day_of_week == 5 for day in former)
    assert [(repair.kind, repair.rows, repair.changed) for repair in bars.repairs] == [("weekend", saturdays, False)]


def test_read_bars_takes_markets_that_rest_on_other_days_or_never(tmp_path):
    riyadh = [day for day in pd.date_range("2021-01-03", periods=400) if day.day_of_week not in (4, 5)]
    always = list(pd.date_range("2021-01-02", periods=400))
    for sessions, week in ((riyadh, "sunday_to_thursday"), (always, "auto")):
        bars = read(write(tmp_path / "A.csv", [f"{day:%Y-%m-%d}" for day in sessions]), market_days=week)
        assert list(bars.frame["date"]) == sessions and bars.repairs == ()


def prepared(folder: Path, out: Path, **settings: object) -> list[reading.Window]:
    """Test windows of a folder of bars."""
    out.mkdir()
    data = DataConfig.model_validate({"data_dir": str(folder), "warm_up": 60, **settings})
    preprocess(PreprocessStage(data=data, seed=0), find_files(data), out, lambda *_: None)
    return reading.read_split(out, "test")[0]


@pytest.mark.parametrize(
    ("frequency", "settings", "period", "a_year"),
    [
        ("B", {}, "trading day", 252),
        ("D", {}, "day", 365),
        ("D", {"market_days": "five"}, "trading day", 252),
        ("W-FRI", {"bars": "weekly"}, "week", 52),
    ],
)
def test_preprocess_says_what_a_bar_spans(tmp_path, frequency, settings, period, a_year):
    folder = tmp_path / "bars"
    folder.mkdir()
    write(folder / "A.csv", days("2001-01-05", 400, frequency))
    windows = prepared(folder, tmp_path / "out", **settings)
    assert {window.period for window in windows} == {period}
    assert periods.A_YEAR[period] == a_year


def test_preprocess_refuses_five_and_seven_days_in_one_run(tmp_path):
    folder = tmp_path / "bars"
    folder.mkdir()
    write(folder / "AAPL.csv", days("2020-01-01", 400, "B"))
    write(folder / "BTC-USD.csv", days("2020-01-01", 400, "D"))
    with pytest.raises(DataError, match="BTC-USD: bars on seven days a week; AAPL: on five"):
        prepared(folder, tmp_path / "out")
    assert {window.period for window in prepared(folder, tmp_path / "two", stocks=["BTC-USD"])} == {"day"}


def test_messages_of_weekly_bars_say_weeks_and_of_daily_ones_what_they_always_said(tmp_path):
    folder = tmp_path / "bars"
    folder.mkdir()
    write(folder / "A.csv", days("2001-01-05", 400, "W-FRI"))
    window = prepared(folder, tmp_path / "out", bars="weekly")[0]
    system, user = question.messages(window, PromptConfig(), 10)
    assert "the weekly closes" in system["content"] and "for each week ahead" in system["content"]
    assert " a week, strength" in user["content"]
    assert "day" not in system["content"] + user["content"] and "daily" not in system["content"]
    told = question.messages(window, PromptConfig(name_period=False), 10)
    assert told[0]["content"] == question.SYSTEM and " a day, strength" in told[1]["content"]
    for path in folder.iterdir():
        path.unlink()
    write(folder / "A.csv", days("2001-01-05", 400, "B"))
    system, user = question.messages(prepared(folder, tmp_path / "again")[0], PromptConfig(), 10)
    assert system["content"] == question.SYSTEM and " a day, strength" in user["content"]


def test_trade_annualises_by_the_bars_of_a_year():
    truth = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0.001, 0.01, (30, 5)), axis=1))
    dates = [days(f"2020-01-{day:02d}", 5, "D") for day in range(1, 31)]
    by_year = {a_year: trade(np.ones(30), truth, dates, 0.0, a_year).sharpe for a_year in (52, 252, 365)}
    assert by_year[365] == pytest.approx(by_year[252] * (365 / 252) ** 0.5)
    assert by_year[52] == pytest.approx(by_year[252] * (52 / 252) ** 0.5)


def test_settings_refuse_weeks_where_days_are_meant():
    weekly = {"data": {"bars": "weekly", "data_dir": "x"}}
    with pytest.raises(ConfigError, match=r"stonk-tiny was taught the words of daily bars.*prompt.name_period to f"):
        make_config(weekly, source="x")
    make_config(weekly | {"prompt": {"name_period": False}}, source="x")
    make_config(weekly | {"model": {"name": "Qwen/Qwen2.5-1.5B-Instruct"}}, source="x")
    with pytest.raises(ConfigError, match="the generated market has daily bars"):
        make_config({"data": {"bars": "weekly"}}, source="x")
    with pytest.raises(ConfigError, match="directions are called by the day"):
        make_config({"contract": "direction", "news": "n", "data": {"bars": "weekly", "data_dir": "x"}}, source="x")


@pytest.mark.parametrize("last", ["2021-03-26", "2021-03-22", "2021-03-28"])
def test_weeks_from_keeps_the_weekday_and_closes_with_the_last_session(last):
    own, ahead = weeks_from("XNYS", last, 3)
    assert own.date == last and f"{own.close:%Y-%m-%d %H:%M}" == "2021-03-26 20:00"
    steps = np.diff(np.array([own.date, *(week.date for week in ahead)], dtype="datetime64[D]")).astype(int)
    assert list(steps) == [7, 7, 7]
    assert f"{ahead[0].close:%Y-%m-%d}" == "2021-04-01"  # the 2nd was Good Friday
    assert in_weeks(last, [week.date for week in ahead]) and not in_weeks("2021-03-26", ["2021-03-29", "2021-04-05"])
