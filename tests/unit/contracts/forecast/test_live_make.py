"""From bars to a forecast that can be logged: sessions, quantiles, files; the model's answers are given."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest
from pydantic import ValidationError

from stonk_pipeline.cli import build_parser
from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.contracts.forecast.live import make as making
from stonk_pipeline.contracts.forecast.live.files import keep, write_files
from stonk_pipeline.contracts.forecast.live.forecaster import Forecaster
from stonk_pipeline.contracts.forecast.live.make import make
from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from stonk_pipeline.contracts.forecast.live.tables import forecast_table
from stonk_pipeline.contracts.forecast.scores.calibrate import Calibration
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import DataError
from stonk_pipeline.evaluation.conformal import NOMINAL
from stonk_pipeline.market.bars import generate
from stonk_pipeline.records.forward_log import append
from stonk_pipeline.schema import DATE

AFTER = datetime(2025, 11, 26, 21, 30, tzinfo=UTC)
"""After the close of 26 November 2025, before Thanksgiving."""


@pytest.fixture
def bars(tmp_path):
    """Bars up to 26 November 2025."""
    frame = generate(MarketConfig(tickers=1, days=300))["SIM01"]
    dates = pd.bdate_range(end="2025-11-26", periods=len(frame))
    frame.assign(**{DATE: dates}).to_csv(tmp_path / "AAPL.csv", index=False)
    return tmp_path


@pytest.fixture
def forecaster(bars, monkeypatch):
    def ask(forecaster, request, windows, progress):
        answers = [
            f"<think>x</think>\n<answer>{json.dumps([round(100 + step / 10, 1)] * 10)}</answer>"
            for step in range(request.samples - 1)
        ]
        return [[*answers, "no form"] for _ in windows]

    monkeypatch.setattr(making, "_ask", ask)
    return Forecaster("abc", load_config("small", {"data": {"data_dir": str(bars)}}), None, {})


def test_make_forecasts_the_next_sessions_of_the_exchange(forecaster, tmp_path):
    request = ForecastRequest(samples=20)
    (made,), left_out = make(forecaster, request, lambda *_: None, AFTER)
    assert left_out == {}
    assert made.forecast.targets[:2] == ("2025-11-28", "2025-12-01")
    assert made.forecast.first_close == "2025-11-28T18:00:00+00:00"
    assert made.forecast.last_bar == "2025-11-26"
    assert made.forecast.readable == 0.95
    last = made.forecast.last_close
    assert last == made.closes.iloc[-1]
    assert made.forecast.quantiles[9][0] == pytest.approx(last * 1.0085, rel=1e-6)
    entry, _ = append(tmp_path / "f", made.forecast, AFTER)
    assert not entry.late
    path = write_files(made, entry, tmp_path / "f")
    assert json.loads(path.read_text())["entry"]["digest"] == entry.digest
    with path.with_suffix(".csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["date"] for row in rows] == list(entry.targets)
    assert float(rows[0]["q50"]) == pytest.approx(entry.quantiles[9][0], rel=1e-5)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


CALIBRATION = Calibration(
    radii={str(level): tuple(round(4 * level, 2) for _ in range(10)) for level in NOMINAL},
    coverage={"0.5": 0.49, "0.8": 0.81, "0.9": 0.88, "0.95": 0.96},
    windows=700,
    tested=1400,
    until="2025-11-01",
)


def test_make_calibrates_the_bands_around_the_median_and_says_what_they_held(forecaster, tmp_path):
    (plain,), _ = make(forecaster, ForecastRequest(samples=20), lambda *_: None, AFTER)
    (made,), _ = make(replace(forecaster, calibration=CALIBRATION), ForecastRequest(samples=20), lambda *_: None, AFTER)
    size = made.forecast.volatility / 100 * made.forecast.last_close
    middle = plain.forecast.quantiles[9][0]
    assert made.forecast.quantiles[9][0] == pytest.approx(middle, rel=1e-6)
    assert made.forecast.quantiles[0][0] == pytest.approx(middle - 3.6 * size, rel=1e-5)
    assert made.forecast.quantiles[14][0] == pytest.approx(middle + 2.0 * size, rel=1e-5)
    assert (plain.forecast.coverage, made.forecast.coverage) == (None, CALIBRATION.coverage)
    entry, _ = append(tmp_path / "f", made.forecast, AFTER)
    said = json.loads(write_files(made, entry, tmp_path / "f").read_text())["bands"]
    assert said == (
        "Calibrated; on 1,400 test windows, its 50% band held 49%, its 80% band held 81% and its 90% band held 88% of "
        "what came."
    )
    shown, _ = append(tmp_path / "g", plain.forecast, AFTER)
    assert "not calibrated" in forecast_table(shown).caption
    assert "90% band held 88%" in forecast_table(entry).caption


def test_calibrated_bands_never_reach_below_nothing(forecaster):
    wide = CALIBRATION.model_copy(update={"radii": {level: (1e4,) * 10 for level in CALIBRATION.radii}})
    (made,), _ = make(replace(forecaster, calibration=wide), ForecastRequest(samples=20), lambda *_: None, AFTER)
    assert made.forecast.quantiles[0] == (0.0,) * 10


@pytest.mark.parametrize("drawn_again", ["the same answers", "other answers"])
def test_keep_writes_the_files_that_a_killed_process_did_not(forecaster, tmp_path, drawn_again):
    (made,), _ = make(forecaster, ForecastRequest(samples=20), lambda *_: None, AFTER)
    entry, _ = append(tmp_path, made.forecast, AFTER)  # and here it was killed
    if drawn_again == "other answers":
        higher = [[2 * value for value in row] for row in made.forecast.quantiles]
        made = made._replace(forecast=made.forecast.model_copy(update={"quantiles": tuple(map(tuple, higher))}))
    again, added, path = keep(made, tmp_path)
    assert (again, added) == (entry, False)
    content = json.loads(path.read_text())
    assert content["entry"]["quantiles"] == [list(row) for row in entry.quantiles]
    assert ("samples" in content) == (drawn_again == "the same answers")  # never answers of another forecast
    assert path.with_suffix(".csv").is_file()
    assert path.with_suffix(".png").is_file()
    assert keep(made, tmp_path) == (entry, False, None)


def test_make_refuses_a_bar_of_a_session_that_has_not_ended(forecaster):
    with pytest.raises(DataError, match="closes at 2025-11-26 21:00 UTC; forecast after that"):
        make(forecaster, ForecastRequest(), lambda *_: None, AFTER.replace(hour=20))


def test_make_refuses_a_day_without_trading(forecaster):
    with pytest.raises(DataError, match="a day without trading at XTKS"):
        # Labour Thanksgiving of Japan is on 24 November, for the 23rd is a Sunday; the last bar is moved there.
        path = forecaster.config.data.data_dir + "/AAPL.csv"
        frame = pd.read_csv(path)
        frame[frame["date"] <= "2025-11-24"].to_csv(path, index=False)
        make(forecaster, ForecastRequest(calendar="XTKS"), lambda *_: None, AFTER)


def test_request_gives_the_options_of_the_command():
    request = ForecastRequest(stocks=["A", "B"], data_dir="x", samples=9)
    assert request.arguments()[:2] == ["--stock=A,B", "--data-dir=x"]
    assert ForecastRequest().arguments()[0] == "--stock=all"


def test_request_gives_values_that_look_like_options_as_values():
    request = ForecastRequest(data_dir="--base", models_dir="--adapter", forecasts_dir="--key", calendar="--seed")
    args = build_parser().parse_args(["forecast", *request.arguments()])
    assert [args.data_dir, args.models_dir, args.forecasts_dir] == ["--base", "--adapter", "--key"]
    assert (args.calendar, args.base, args.adapter, args.key) == ("--seed", False, None, None)


@pytest.mark.parametrize(
    "given", [{"stocks": ["--base"]}, {"stocks": ["A", "-b"]}, {"key": "--base/x"}, {"key": "x/--y"}]
)
def test_request_refuses_options_in_place_of_stocks_and_keys(given):
    with pytest.raises(ValidationError, match="should match pattern"):
        ForecastRequest(**given)
