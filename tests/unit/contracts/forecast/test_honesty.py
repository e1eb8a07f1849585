"""Entries that hold in the chain of the forward log, and that no honest log has."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.contracts.forecast.live.calendar import sessions_from, weeks_from
from stonk_pipeline.contracts.forecast.live.honesty import require_honest
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.files import journal
from stonk_pipeline.records.forward_log import GENESIS, LOG, Forecasted, append, read
from stonk_pipeline.runs.manifest import json_digest

HORIZON = 3
NOW = datetime(2026, 3, 20, tzinfo=UTC)


def forecast(stock="AAPL", last="2026-03-02", calendar="XNYS", weekly=False, **changes):
    _, ahead = (weeks_from if weekly else sessions_from)(calendar, last, HORIZON)
    content = {
        "stock": stock,
        "model": "abc",
        "adapter_digest": "d",
        "base_model": "stonk-tiny",
        "data_digest": "e",
        "last_bar": last,
        "last_close": 100.0,
        "calendar": calendar,
        "targets": tuple(session.date for session in ahead),
        "first_close": ahead[0].close.isoformat(),
        "answers": 8,
        "readable": 1.0,
        "levels": LEVELS,
        "quantiles": tuple((90.0, 91.0, 92.0) for _ in LEVELS),
    }
    return Forecasted(**(content | changes))


def forge(directory, made, stamp):
    """Adds an entry as somebody would who writes the file: the chain holds, whatever it says."""
    entries = read(directory)
    content = made.model_dump(mode="json") | {
        "n": len(entries) + 1,
        "stamp": stamp,
        "late": datetime.fromisoformat(stamp) >= datetime.fromisoformat(made.first_close),
        "previous": entries[-1].digest if entries else GENESIS,
    }
    journal.append(directory / LOG, content | {"digest": json_digest(content)})


@pytest.fixture
def log(tmp_path):
    append(tmp_path, forecast(), datetime(2026, 3, 2, 22, tzinfo=UTC))
    append(tmp_path, forecast("GE", "2026-03-03"), datetime(2026, 3, 3, 22, tzinfo=UTC))
    return tmp_path


def test_require_honest_takes_daily_weekly_and_late_forecasts(log):
    append(log, forecast("GE", "2026-03-06", weekly=True), datetime(2026, 3, 7, tzinfo=UTC))
    append(log, forecast("BTC", "2026-03-07", calendar="24/7"), datetime(2026, 3, 8, 1, tzinfo=UTC))
    append(log, forecast("MSFT", "2026-03-02"), datetime(2026, 3, 9, tzinfo=UTC))  # late, and says so
    require_honest(read(log), NOW)


NEXT = "2026-03-03"
AFTER_ALL = "2026-03-05T00:00:00+00:00"
FORGED = [
    (forecast("KO"), "2026-03-02T22:00:00+00:00", "before the entry above it"),
    (forecast("KO"), "2099-01-01T00:00:00+00:00", "in the future"),
    (forecast("KO", "2026-03-04"), "2026-03-03T22:00:00+00:00", "before its last bar was complete"),
    (forecast("KO", NEXT, first_close="2026-03-09T21:00:00+00:00"), AFTER_ALL, "later than it does"),
    (forecast("KO", NEXT, targets=("2026-03-06", "2026-03-09", "2026-03-10")), "", "not the sessions after"),
    (forecast("KO", NEXT, targets=("2026-03-04", "2026-03-04", "2026-03-05")), "", "not the sessions after"),
    (forecast("KO", NEXT, targets=("2026-03-02", "2026-03-04", "2026-03-05")), "", "not the sessions after"),
    (forecast("KO").model_copy(update={"last_bar": "2026-03-01"}), "", "a day without trading at XNYS"),
    (forecast("KO").model_copy(update={"calendar": "NONE"}), "", "no sessions can be found"),
    (forecast("KO").model_copy(update={"last_bar": "9999-12-30"}), "", "no sessions can be found"),
    (forecast("KO").model_copy(update={"last_bar": "0001-01-01"}), "", "no sessions can be found"),
    (forecast("GE", NEXT, last_close=101.0), "", "a second forecast of GE by this model"),
]


@pytest.mark.parametrize(("made", "stamp", "why"), FORGED)
def test_require_honest_finds_what_was_forged(log, made, stamp, why):
    forge(log, made, stamp or "2026-03-03T23:00:00+00:00")
    with pytest.raises(LogError, match=rf"entry 3 \({made.stock} from .*\): .*{why}"):
        require_honest(read(log), NOW)


def prices(*rows):
    """Quantiles that rise, but for the last ones, which are given."""
    return (*((90.0, 91.0, 92.0) for _ in LEVELS[len(rows) :]), *rows)


IMPOSSIBLE = [
    (forecast("ko"), "'ko' is no stock's symbol"),
    (forecast("GE "), "'GE' is no stock's symbol"),
    (forecast("KO", model="abc "), "'abc' is no model's id"),
    (forecast("KO").model_copy(update={"last_bar": "yesterday"}), "'yesterday' is no day such as"),
    (forecast("KO").model_copy(update={"last_bar": "20260302"}), "'20260302' is no day such as"),
    (forecast("KO", targets=("2026-03-03", "2026-W10-3", "2026-03-05")), "'2026-W10-3' is no day such as"),
    (forecast("KO", targets=()), "it has not one price for each"),
    (forecast("KO", quantiles=((1.0, 2.0, 3.0),)), "it has not one price for each"),
    (
        forecast("KO", levels=(0.5,), quantiles=((1.0, 2.0, 3.0),)),
        "its quantiles are not those at 19 levels from 5% to 95%",
    ),
    (forecast("KO", last_close=0.0), "its last close is 0, which is no price"),
    (forecast("KO", last_close=-1.0), "its last close is -1, which is no price"),
    (forecast("KO", quantiles=prices((90.0, 91.0, 1e308))), "a price of 2026-03-05 is beyond any other"),
    (forecast("KO", quantiles=prices((90.0, 90.5, 92.0))), "its quantiles of 2026-03-04 fall where their levels rise"),
]


@pytest.mark.parametrize(("made", "why"), IMPOSSIBLE)
def test_log_refuses_what_no_forecast_can_say(tmp_path, made, why):
    with pytest.raises(LogError, match=f"{re.escape(why)}.*; not logged"):
        append(tmp_path, made, datetime(2026, 3, 4, tzinfo=UTC))
    forge(tmp_path, made, "2026-03-03T23:00:00+00:00")
    with pytest.raises(LogError, match=rf"line 1 \(entry 1, .*\): {re.escape(why)}"):
        read(tmp_path)


def test_append_takes_another_spelling_of_an_id_for_the_same_model(log):
    entry, added = append(log, forecast(model="ABC"), NOW)
    assert (entry.n, added) == (1, False)
    forge(log, forecast(model="ABC"), "2026-03-03T23:00:00+00:00")
    with pytest.raises(LogError, match="a second forecast of AAPL by this model"):
        require_honest(read(log), NOW)


def test_verify_and_score_say_what_no_forecast_can_say(tmp_path, capsys):
    forge(tmp_path, forecast("KO", last_close=0.0), "2026-03-03T23:00:00+00:00")
    for command in (["verify"], ["score", "--data-dir", str(tmp_path)]):
        assert main([*command, "--forecasts-dir", str(tmp_path)]) == 1
        assert "log.jsonl, line 1 (entry 1, KO from 2026-03-02): its last close is 0" in capsys.readouterr().err


def test_verify_and_score_refuse_a_forged_entry(log, capsys):
    forge(log, forecast("KO"), "2026-03-02T22:00:00+00:00")
    for command in (["verify"], ["score", "--data-dir", str(log)]):
        assert main([*command, "--forecasts-dir", str(log)]) == 1
        assert "before the entry above it" in capsys.readouterr().err


def test_require_honest_allows_for_a_day_that_an_exchange_took_away_later(tmp_path):
    # 9 January 2025 became a day of mourning on 30 December 2024: until then calendars had a session there.
    made = forecast("KO", "2025-01-08", targets=("2025-01-09", "2025-01-10", "2025-01-13"))
    made = made.model_copy(update={"first_close": "2025-01-09T21:00:00+00:00"})
    append(tmp_path, made, datetime(2025, 1, 8, 22, tzinfo=UTC))
    require_honest(read(tmp_path), NOW)


def test_append_refuses_a_clock_that_went_back(log):
    with pytest.raises(LogError, match="set the clock, for stamps that go back prove nothing"):
        append(log, forecast("KO"), datetime(2026, 3, 2, 23, tzinfo=UTC))
    append(log, forecast("KO", "2026-03-03"), datetime(2026, 3, 3, 22, tzinfo=UTC) - timedelta(minutes=5))


def test_read_refuses_stamps_without_a_zone(log):
    made = forecast("KO", "2026-03-03", first_close="2026-03-04T21:00:00")
    forge(log, made, "2026-03-03T23:00:00")
    with pytest.raises(LogError, match="without a zone"):
        read(log)
