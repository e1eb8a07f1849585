"""Files of forecasts that were made elsewhere: their dates, stocks and values, and how much of them is read."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from stonk_pipeline.contracts.forecast.external import medians, read_rows
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.tables import MOST_CELLS

VALUES = [float(day) for day in range(98, 108)]
DAYS = pd.bdate_range("2022-03-14", periods=30)
"""Across the change to summer time in Europe."""


def write(folder, dates, form="csv", stock="SAP"):
    path = folder / f"mine.{form}"
    values = [VALUES] * len(dates)
    frame = pd.DataFrame({"stock": stock, "date": dates, "values": values})
    if form == "parquet":
        frame.to_parquet(path)
    else:
        frame.assign(values=frame["values"].map(json.dumps)).to_csv(path, index=False)
    return path


def days_of(path):
    return [date for _, date in medians(read_rows(path))]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "Europe/London", "America/New_York"])
def test_read_forecasts_takes_midnight_in_utc_for_the_day_of_the_exchange(tmp_path, zone, form):
    stamps = DAYS.tz_localize(zone).tz_convert("UTC")
    assert days_of(write(tmp_path, stamps, form)) == [str(day.date()) for day in DAYS]


def test_read_forecasts_keeps_the_written_day_of_the_hour_of_the_close(tmp_path):
    # 20:00 and 21:00 in UTC are midnight in zones too, but then there would be sessions on Saturdays.
    closes = (DAYS + pd.Timedelta("16h")).tz_localize("America/New_York")
    written = [str(day.date()) for day in DAYS]
    assert days_of(write(tmp_path, closes.tz_convert("UTC"))) == written
    assert days_of(write(tmp_path, closes)) == written
    assert days_of(write(tmp_path, (DAYS + pd.Timedelta("16h")).strftime("%Y-%m-%d %H:%M"))) == written
    assert days_of(write(tmp_path, DAYS, "parquet")) == written


def test_read_forecasts_finds_the_zone_of_each_stock(tmp_path):
    day = DAYS.tz_localize("Europe/Berlin").tz_convert("UTC").astype(str)
    path = write(tmp_path, [*day, *DAYS.strftime("%Y-%m-%d")], stock=["SAP"] * len(DAYS) + ["GE"] * len(DAYS))
    written = [str(day.date()) for day in DAYS]
    assert list(medians(read_rows(path))) == [(stock, day) for stock in ("SAP", "GE") for day in written]


def test_read_forecasts_refuses_a_zone_that_too_few_dates_show(tmp_path):
    stamps = DAYS[1:4].tz_localize("Europe/Berlin").tz_convert("UTC")
    with pytest.raises(DataError, match=r"mine\.csv, row 1: date '2022-03-14 23:00.*write the date of the last known"):
        medians(read_rows(write(tmp_path, stamps)))


@pytest.mark.parametrize("date", ["2022-03-14x", "2022-03-14 25:00", "1022-03-14 23:00:00+00:00"])
def test_read_forecasts_refuses_a_date_that_is_none(tmp_path, date):
    with pytest.raises(DataError, match=r"mine\.csv, row 2: .*; write "):
        medians(read_rows(write(tmp_path, ["2022-03-14", date])))


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("stock", ["NA", "NAN", "NULL", "NONE", "nan"])
def test_read_forecasts_keeps_tickers_that_look_like_no_value(tmp_path, stock, form):
    assert list(medians(read_rows(write(tmp_path, ["2022-03-14"], form, stock)))) == [(stock.upper(), "2022-03-14")]


@pytest.mark.parametrize(
    "text",
    [
        f"[{', '.join(f'np.float64({value})' for value in VALUES)}]",
        f"[{', '.join(f'np.float32({value})' for value in VALUES)}]",
        str(np.array(VALUES)),
        ", ".join(map(str, VALUES)),
    ],
)
def test_read_forecasts_reads_values_as_numpy_writes_them(tmp_path, text):
    path = tmp_path / "mine.csv"
    pd.DataFrame({"stock": ["A"], "date": ["2022-03-14"], "values": [text]}).to_csv(path, index=False)
    assert medians(read_rows(path))["A", "2022-03-14"].tolist() == VALUES


@pytest.mark.parametrize("text", ["", "nan", "NULL"])
def test_read_rows_passes_over_rows_without_a_forecast(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(f'stock,date,values\nA,2022-03-11,{text}\nA,2022-03-14,"{VALUES}"\n')
    assert list(read_rows(path)) == [("A", "2022-03-14")]


def test_read_rows_shows_values_that_are_none_and_what_to_write(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("stock,date,values\nA,2022-03-14," + "up " * 100_000 + "\n")
    with pytest.raises(DataError, match=r"10 prices, as in \[101.2, 101.5, …\], and are 'up up") as caught:
        read_rows(path)
    assert len(str(caught.value)) < 500


def test_read_rows_unpacks_no_more_than_a_table_has(tmp_path):
    plain = write(tmp_path, ["2022-03-14"]).read_bytes()
    path = tmp_path / "packed.csv.gz"
    path.write_bytes(gzip.compress(plain))
    assert list(read_rows(path)) == [("SAP", "2022-03-14")]
    path.write_bytes(gzip.compress(plain + b"A,2022-03-14,1\n" * 1_000_000))
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        read_rows(path)


def test_read_rows_refuses_more_lines_than_are_read_at_once(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"stock,date,values\n" + b",,\n" * (MOST_CELLS // 3))
    with pytest.raises(DataError, match="lines, more than are read at once"):
        read_rows(path)
