"""Records of the deepstock form: labels of the next session alone, and what is left out is counted."""

import json
import math

import pandas as pd
import pytest

from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.make.companies import company, read_companies
from stonk_pipeline.contracts.direction.make.records import read_records
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.errors import DataError

SETTINGS = ExamplesConfig(max_train_samples=None)
NEWS = NewsConfig()


def record(date, close, previous, ticker="AAPL", **more):
    about = {"name": "Apple Inc", "description": "Makes phones."}
    info = {
        "current_date": date,
        "company_info": about,
        "price": {"close": close, "close_previous": previous},
        "news": {"news_headlines": ["<b>Phones</b> sell", "Phones sell", ""]},
        "financials": {"financials": json.dumps({"Revenues": 394328000000, "EPS": 6.11})},
    }
    return {"ticker": ticker, "company_info": info | more}


DAYS = ("2023-01-03", "2023-01-04", "2023-01-05", "2023-01-06", "2023-01-09", "2023-01-10")
CLOSES = (125.0, 126.0, 125.0, 129.0, 130.0, 130.01)


def series(ticker="AAPL", leave_out=()):
    previous = (124.0, *CLOSES)
    return [
        record(day, close, before, ticker)
        for day, close, before in zip(DAYS, CLOSES, previous, strict=False)
        if day not in leave_out
    ]


def read(tmp_path, records, settings=SETTINGS):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return read_records(path, settings, NEWS)


def labels(made):
    return {(d.window.stock, d.window.date): (m.end, m.label) for d, m in zip(*made, strict=True)}


def test_labels_come_from_the_next_session(tmp_path):
    made, counts = read(tmp_path, reversed(series()))
    assert labels(made) == {
        ("AAPL", "2023-01-03"): ("2023-01-04", "up"),
        ("AAPL", "2023-01-04"): ("2023-01-05", "down"),
        ("AAPL", "2023-01-05"): ("2023-01-06", "up"),
        ("AAPL", "2023-01-06"): ("2023-01-09", "up"),  # over a weekend
        ("AAPL", "2023-01-09"): ("2023-01-10", "flat"),
    }
    assert made.movements[2].change == pytest.approx(3.2)
    assert counts["last"] == 1
    assert counts["read"] == 6


def test_a_missing_session_gives_no_label_instead_of_a_later_one(tmp_path):
    # The next row of AAPL after the 4th is the 6th: two days later, as the other ticker's rows show.
    made, counts = read(tmp_path, series(leave_out=("2023-01-05",)) + series("MSFT"))
    mine = {date: found for (ticker, date), found in labels(made).items() if ticker == "AAPL"}
    assert set(mine) == {"2023-01-03", "2023-01-06", "2023-01-09"}
    assert counts["no next session"] == 1


def test_a_session_that_all_tickers_miss_is_found_by_its_prices(tmp_path):
    made, counts = read(tmp_path, series(leave_out=("2023-01-05",)))
    assert counts["prices disagree"] == 1  # 125 before the 6th, 126 on the 4th
    assert ("AAPL", "2023-01-04") not in labels(made)
    far = [record("2023-01-03", 100.0, 99.0), record("2023-01-12", 101.0, 100.0)]
    assert read(tmp_path, far)[1]["no next session"] == 1  # nine days


def test_labels_so_many_sessions_ahead_need_every_session_between(tmp_path):
    two = ExamplesConfig(days_ahead=2)
    made, counts = read(tmp_path, series(), two)
    assert labels(made)["AAPL", "2023-01-05"] == ("2023-01-09", "up")
    assert counts["last"] == 2
    made, counts = read(tmp_path, series(leave_out=("2023-01-05",)) + series("MSFT"), two)
    assert ("AAPL", "2023-01-03") not in labels(made)
    assert counts["no next session"] == 2


def test_a_decision_holds_what_its_record_says_and_nothing_later(tmp_path):
    made, _ = read(tmp_path, series())
    decision = made.decisions[2]
    assert decision.window.context == pytest.approx(
        tuple(100 * close / 125.0 for close in (124.0, 125.0, 126.0, 125.0))
    )
    assert decision.window.last == 100.0
    assert [headline.text for headline in decision.headlines] == ["Phones sell"]
    assert decision.company.facts == (("Revenues", "394.3B"), ("EPS", "6.11"))
    poisoned = [*series()[:3], *(record(day, 7.0, 9.0) for day in DAYS[3:])]
    later, _ = read(tmp_path, poisoned)
    before = {d.window.date: d for d in made.decisions}
    for decision in later.decisions:
        if decision.window.date < DAYS[3]:
            assert decision == before[decision.window.date]


def test_volatility_comes_from_past_returns_or_the_setting(tmp_path):
    made, _ = read(tmp_path, series(), ExamplesConfig(fallback_volatility=3.0))
    returns = [math.log(b / a) for a, b in zip((124.0, *CLOSES), CLOSES[:5], strict=False)]
    assert made.decisions[0].window.volatility == 3.0
    assert made.decisions[4].window.volatility == pytest.approx(100 * pd.Series(returns).std())


def test_records_that_cannot_be_used_are_counted(tmp_path):
    broken = [
        record("2023-01-03", None, 1.0),
        record("2023-01-03", 0.0, 1.0),
        record("2023-01-03", "12", 1.0),
        record("2023-01-03", True, 1.0),
        record("soon", 1.0, 1.0),
        record("2023-01-03", 1.0, 1.0, ticker=None),
        record("2023-01-03", 1.0, 1.0, price=None),
    ]
    made, counts = read(tmp_path, broken + series() + series()[:2])
    assert (counts["no price"], counts["duplicate"], len(made.decisions)) == (7, 2, 5)


def test_records_read_the_same_from_parquet_and_other_nestings(tmp_path):
    plain, counts = read(tmp_path, series())
    pd.DataFrame(series()).to_parquet(tmp_path / "r.parquet")
    assert read_records(tmp_path / "r.parquet", SETTINGS, NEWS) == (plain, counts)
    nested = []
    for row in series():
        info = row["company_info"] | {"ticker": row["ticker"], "financials": {"Revenues": 394328000000, "EPS": 6.11}}
        nested.append({"company_info": info | {"news": {"news_headlines": [{"headline": "Phones sell"}]}}})
    assert read(tmp_path, nested) == (plain, counts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: no company_info"),
        ('{"ticker": "A"}', "line 1: no company_info"),
        ("\xff", "not readable as JSONL"),
    ],
)
def test_read_records_names_file_and_line(tmp_path, text, says):
    path = tmp_path / "r.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        read_records(path, SETTINGS, NEWS)


def test_read_records_refuses_two_prices_of_one_day_and_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"line 2: another price of AAPL on 2023-01-03 than .*line 1 has"):
        read(tmp_path, [record("2023-01-03", 1.0, 1.0), record("2023-01-03", 2.0, 1.0)])
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / "none.jsonl", SETTINGS, NEWS)
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="not readable"):
        read_records(tmp_path / "x.parquet", SETTINGS, NEWS)


def test_company_cleans_every_text_and_keeps_what_are_figures():
    facts = {
        "<b>eps": 1.23456,
        "shares": 15_900_000,
        "none": None,
        "list": [1],
        "flag": True,
        "nan": math.nan,
        "a": "b",
    }
    found = company("A\u202eB", None, facts | {"price": 1234.5, "cap": 2.5e12})
    assert found.name == "AB"
    assert found.description == ""
    assert found.facts == (("eps", "1.235"), ("shares", "15.9M"), ("a", "b"), ("price", "1234"), ("cap", "2.5T"))


def test_read_companies_reads_a_table_and_names_what_is_wrong(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"aapl": {"name": "Apple Inc", "facts": {"eps": 6}}}')
    assert read_companies(path)["AAPL"].facts == (("eps", "6"),)
    for text, says in (
        ("{", "not JSON"),
        ("[]", "not a table"),
        ('{"A": 1}', "A: not a table"),
        ('{"A": {"x": 1}}', "'x'"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            read_companies(path)
