"""Calendars, quantiles, and the marks of forecasts whose outcome came."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import scoringrules

from stonk_pipeline.cli import main
from stonk_pipeline.contracts.forecast.live.calendar import WEEKDAYS, sessions_from
from stonk_pipeline.contracts.forecast.live.score import SCORES, read_marks, records, score
from stonk_pipeline.errors import ConfigError, DataError
from stonk_pipeline.evaluation.quantiles import LEVELS, crps_of, inside, quantiles_of
from stonk_pipeline.records.forward_log import LOG, Forecasted, append, read
from stonk_pipeline.runs.manifest import json_digest

DAYS = ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]
BEFORE = datetime(2026, 3, 2, 22, tzinfo=UTC)


def forecast(stock="AAPL", first_close="2026-03-03T21:00:00+00:00"):
    paths = [[99.0 + 0.2 * step] * 3 for step in range(len(LEVELS))]  # median 100.8
    return Forecasted(
        stock=stock,
        model="abc",
        adapter_digest=None,
        base_model="stonk-tiny",
        data_digest="e",
        last_bar=DAYS[0],
        last_close=100.0,
        calendar="XNYS",
        targets=tuple(DAYS[1:]),
        first_close=first_close,
        answers=8,
        readable=1.0,
        levels=LEVELS,
        quantiles=tuple(tuple(path) for path in paths),
    )


def test_marks_compare_crps_with_a_random_walk_of_the_same_volatility(tmp_path):
    made = forecast().model_copy(update={"volatility": 1.5})
    append(tmp_path, made, BEFORE)
    marks = score(tmp_path, closes(100.0, 103.0, 99.0))
    for day, mark in enumerate(marks, start=1):
        exact = scoringrules.crps_normal(mark.outcome, 100.0, 1.5 * day**0.5)
        assert mark.crps_random_walk == pytest.approx(exact, rel=0.06)  # from 19 quantiles
    (record,) = records(marks)
    assert record.crps_skill == pytest.approx(
        1 - np.mean([mark.crps for mark in marks]) / np.mean([mark.crps_random_walk for mark in marks])
    )
    assert read_marks(tmp_path, read(tmp_path)) == marks


def test_a_log_of_an_earlier_version_has_no_random_walk_and_stays_whole(tmp_path):
    append(tmp_path, forecast(), BEFORE)
    path = tmp_path / LOG
    line = json.loads(path.read_text())
    old = {name: value for name, value in line.items() if name not in ("volatility", "coverage", "tested", "digest")}
    path.write_text(json.dumps(old | {"digest": json_digest(old)}) + "\n")
    (entry,) = read(tmp_path)
    assert (entry.volatility, entry.coverage) == (None, None)
    (record,) = records(score(tmp_path, closes(100.0, 103.0)))
    assert record.crps_skill is None


def closes(*values):
    return {"AAPL": pd.Series(values, index=DAYS[: len(values)])}


def test_sessions_know_holidays_and_early_closes():
    own, ahead = sessions_from("XNYS", "2026-11-24", 4)
    assert own.date == "2026-11-24"
    assert [session.date for session in ahead] == ["2026-11-25", "2026-11-27", "2026-11-30", "2026-12-01"]
    assert ahead[1].close == datetime(2026, 11, 27, 18, tzinfo=UTC)
    assert own.close == datetime(2026, 11, 24, 21, tzinfo=UTC)
    _, summer = sessions_from("XNYS", "2026-07-01", 1)
    assert summer[0].close.hour == 20
    _, weekdays = sessions_from(WEEKDAYS, "2026-11-24", 3)
    assert [session.date for session in weekdays] == ["2026-11-25", "2026-11-26", "2026-11-27"]


def test_sessions_give_as_many_as_the_longest_horizon():
    for exchange in ("XNYS", "XSHG", "XTKS"):
        _, ahead = sessions_from(exchange, "2026-01-28", 60)
        assert len(ahead) == 60
    _, old = sessions_from("XNYS", "2001-09-10", 1)
    assert old[0].date == "2001-09-17"


def test_sessions_refuse_what_is_no_session():
    with pytest.raises(DataError, match="2026-11-26, a day without trading at XNYS"):
        sessions_from("XNYS", "2026-11-26", 3)
    with pytest.raises(ConfigError, match="no exchange calendar 'XNOP'"):
        sessions_from("XNOP", "2026-11-25", 3)


def test_quantiles_are_those_of_a_new_draw():
    samples = np.arange(1.0, 20.0)[:, None] + np.zeros(3)  # 19 answers: rank p * 20
    assert quantiles_of(samples)[:, 0] == pytest.approx(np.arange(1.0, 20.0))


def test_crps_of_quantiles_is_near_the_true_one():
    from scipy import stats

    z = 0.7
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert crps_of(stats.norm.ppf(LEVELS), z) == pytest.approx(exact, rel=0.06)


def test_inside_counts_the_ends():
    quantiles = np.arange(19.0)
    assert inside(quantiles, 4.0) == {"0.5": True, "0.8": True, "0.9": True}
    assert inside(quantiles, 0.5) == {"0.5": False, "0.8": False, "0.9": True}


def test_score_marks_each_day_once_as_it_comes(tmp_path):
    append(tmp_path, forecast(), BEFORE)
    assert score(tmp_path, closes(100.0)) == []
    (first,) = score(tmp_path, closes(100.0, 102.0))
    assert (first.day, first.outcome, first.error_persistence) == (1, pytest.approx(102.0), pytest.approx(2.0))
    assert first.error == pytest.approx(1.2)
    assert first.inside == {"0.5": False, "0.8": True, "0.9": True}
    assert [mark.day for mark in score(tmp_path, closes(100.0, 102.0, 101.0, 99.0))] == [2, 3]
    assert score(tmp_path, closes(100.0, 102.0, 101.0, 99.0)) == []
    (record,) = records(read_marks(tmp_path, read(tmp_path)))
    assert (record.forecasts, record.days) == (1, 3)
    assert record.mae == pytest.approx((1.2 + 0.2 + 1.8) / 3)
    assert record.mae_persistence == pytest.approx(4 / 3)


def test_score_is_not_misled_by_a_split(tmp_path):
    append(tmp_path, forecast(), BEFORE)
    halved = score(tmp_path, closes(50.0, 51.0))
    assert halved[0].outcome == pytest.approx(102.0)


def test_score_keeps_late_forecasts_apart(tmp_path):
    append(tmp_path, forecast(), BEFORE)
    append(tmp_path, forecast().model_copy(update={"model": "late"}), datetime(2026, 3, 4, tzinfo=UTC))
    score(tmp_path, closes(100.0, 102.0))
    assert {(record.model, record.late) for record in records(read_marks(tmp_path, read(tmp_path)))} == {
        ("abc", False),
        ("late", True),
    }


def write_bars(folder, values):
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame({"Date": DAYS[: len(values)]} | {name: values for name in ("Open", "High", "Low", "Close")})
    frame.assign(Volume=1000).to_csv(folder / "AAPL.csv", index=False)


def test_score_command_marks_and_verify_notices_a_log_that_lost_its_end(tmp_path, capsys):
    append(tmp_path / "f", forecast(), BEFORE)
    append(tmp_path / "f", forecast("MSFT"), BEFORE)
    where = ["--forecasts-dir", str(tmp_path / "f")]
    write_bars(tmp_path / "bars", [100.0, 102.0, 101.0])
    assert main(["score", "--data-dir", str(tmp_path / "bars"), *where]) == 0
    said = capsys.readouterr().out
    assert "2 days marked now, 2 in all, 4 without an outcome yet" in said
    assert "no bars of MSFT" in said
    assert main(["verify", *where]) == 0
    content = (tmp_path / "f" / LOG).read_text().splitlines(keepends=True)
    (tmp_path / "f" / LOG).write_text("")
    assert main(["verify", *where]) == 1
    assert "its end was cut off" in capsys.readouterr().err
    (tmp_path / "f" / LOG).write_text(content[0].replace("99.0", "99.5") + content[1])
    assert main(["score", "--data-dir", str(tmp_path / "bars"), *where]) == 1
    assert "line 1 (entry 1, AAPL from 2026-03-02): altered" in capsys.readouterr().err


def forge_marks(folder, line, **changes):
    """Marks as somebody would who writes the file."""
    lines = (folder / SCORES).read_text().splitlines()
    lines[line - 1] = json.dumps(json.loads(lines[line - 1]) | changes)
    (folder / SCORES).write_text("".join(f"{text}\n" for text in lines))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"error": 0.0}, "error is 0.0, and 0.2"),
        ({"error_persistence": 9.0}, "error_persistence is 9.0, and 1.0"),
        ({"crps": 0.0}, "crps is 0.0, and 0."),
        ({"inside": {"0.5": True, "0.8": True, "0.9": True, "1": True}}, "inside is {"),
        ({"day": 1}, "marks day 1 of entry 1 a second time"),
        ({"day": 9}, "marks day 9 of entry 1, which forecasts 3"),
        ({"late": True}, "late is True, and False"),
        ({"model": "mine"}, "model is mine, and abc"),
        ({"outcome": -1.0}, "outcome is -1, which no close is"),
        ({"entry": "0" * 64}, "marks entry 1 (AAPL, digest 000000000000), which the log does not hold"),
    ],
)
def test_verify_and_score_refuse_marks_that_do_not_follow_from_the_log(tmp_path, capsys, changes, why):
    append(tmp_path / "f", forecast(), BEFORE)
    score(tmp_path / "f", closes(100.0, 102.0, 101.0))
    forge_marks(tmp_path / "f", 2, **changes)
    write_bars(tmp_path / "bars", [100.0, 102.0, 101.0])
    for command in (["verify"], ["score", "--data-dir", str(tmp_path / "bars")]):
        assert main([*command, "--forecasts-dir", str(tmp_path / "f")]) == 1
        said = capsys.readouterr().err
        assert "scores.jsonl, line 2: " in said and why in said


def test_verify_refuses_a_day_that_is_marked_twice(tmp_path, capsys):
    append(tmp_path, forecast(), BEFORE)
    score(tmp_path, closes(100.0, 102.0))
    (tmp_path / SCORES).write_text(2 * (tmp_path / SCORES).read_text())
    assert main(["verify", "--forecasts-dir", str(tmp_path)]) == 1
    assert "scores.jsonl, line 2: marks day 1 of entry 1 a second time" in capsys.readouterr().err


def test_score_counts_what_the_bars_say_and_names_marks_that_say_otherwise(tmp_path, capsys):
    append(tmp_path / "f", forecast(), BEFORE)
    score(tmp_path / "f", closes(100.0, 100.8))  # an outcome just at the median
    write_bars(tmp_path / "bars", [100.0, 102.0])
    assert main(["score", "--data-dir", str(tmp_path / "bars"), "--forecasts-dir", str(tmp_path / "f")]) == 0
    said = capsys.readouterr().out
    assert "1 of these days came differently by the bars of" in said
    assert "the first: AAPL on 2026-03-03, 100.80 % of the last close when it was marked, 102.00 % now" in said
    assert "1.200" in said  # |100.8 - 102|


def test_marks_are_json_that_a_person_can_read(tmp_path):
    append(tmp_path, forecast(), BEFORE)
    score(tmp_path, closes(100.0, 102.0))
    record = json.loads((tmp_path / SCORES).read_text())
    assert record["stock"] == "AAPL"
    assert record["late"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forecast", "--stock", "AAPL"], "AAPL: no champion in "),
        (["forecast", "--model", "x"], "--model: the champion has settings of its own"),
        (["forecast", "--set", "wait_minutes=1", "--set", "seed=1"], "--set: the champion has settings of its own"),
        (["forecast", "--set", "wait_minutes=1", "--stock", "AAPL"], "AAPL: no champion in "),
        (["forecast", "--samples", "1"], "--samples: "),
        (["forecast", "--adapter", "nowhere", "--recipe", "small"], "nowhere: no adapter there"),
        (["score", "--data-dir", "x"], "no forecasts logged here yet"),
        (["verify", "--head", "abc"], "the log does not hold abc"),
    ],
)
def test_commands_say_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert message in capsys.readouterr().err
