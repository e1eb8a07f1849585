"""The published protocol against plain loops, and the files of forecasts it reads."""

import json

import numpy as np
import pandas as pd
import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.contracts.forecast.external import medians, read_rows
from stonk_pipeline.contracts.forecast.protocol import test_part, vta
from stonk_pipeline.errors import DataError

test_part.__test__ = False  # a function of the project, though its name begins with "test"


def walk(rows=200, seed=0, start=50.0):
    rng = np.random.default_rng(seed)
    dates = [str(day.date()) for day in pd.bdate_range("2020-01-01", periods=rows)]
    return pd.Series(start * np.exp(np.cumsum(rng.normal(0, 0.01, rows))), index=dates)


def plain(series, forecast):
    """MSE and MAE of one stock, window by window; `forecast` takes (scaled closes, last row, training rows)."""
    values = [float(value) for value in series]
    train, test = int(0.7 * len(values)), int(0.2 * len(values))
    mean = sum(values[:train]) / train
    deviation = (sum((value - mean) ** 2 for value in values[:train]) / train) ** 0.5
    scaled = [(value - mean) / deviation for value in values]
    squares, errors = [], []
    for last in range(len(values) - test - 1, len(values) - 10):
        for day, predicted in enumerate(forecast(scaled, last, train), start=1):
            squares.append((predicted - scaled[last + day]) ** 2)
            errors.append(abs(predicted - scaled[last + day]))
    return sum(squares) / len(squares), sum(errors) / len(errors)


def flat(scaled, last, train):
    return [scaled[last]] * 10


def drift(scaled, last, train):
    step = (scaled[train - 1] - scaled[0]) / (train - 1)
    return [scaled[last] + step * day for day in range(1, 11)]


def test_vta_equals_plain_loops_averaged_over_stocks():
    closes = {"AAA": walk(), "BBB": walk(333, 1, 200.0)}
    rows = {row.name: row for row in vta(closes)}
    for name, forecast in (("persistence", flat), ("drift", drift)):
        expected = np.mean([plain(series, forecast) for series in closes.values()], axis=0)
        assert (rows[name].mse, rows[name].mae) == pytest.approx(tuple(expected))


def test_test_part_has_the_windows_of_the_published_split():
    part = test_part(walk(1258))
    assert len(part.dates) == 242  # as in the published predictions for a file of 1,258 rows
    assert part.truth.shape == (242, 10)
    assert part.dates[0] == walk(1258).index[1258 - 251 - 1]


def test_vta_counts_a_window_without_a_forecast_as_persistence():
    series = walk()
    part = test_part(series)
    perfect = {
        ("AAA", date): part.mean + part.deviation * part.truth[row] for row, date in enumerate(part.dates) if row % 2
    }
    given, persistence, _ = vta(
        {"AAA": series},
        {
            "mine": perfect,
        },
    )
    assert given.windows == len(perfect)
    assert given.mae == pytest.approx(np.abs(part.truth - part.last)[::2].sum() / part.truth.size)
    assert given.mae < persistence.mae
    (none, same, _) = vta({"AAA": series}, {"nothing": {}})
    assert (none.mse, none.windows) == (same.mse, 0)


@pytest.mark.parametrize(
    ("series", "message"), [(walk(40), "AAA: 40 rows are too few"), (walk() * 0 + 7.0, "do not vary")]
)
def test_vta_names_the_stock_it_cannot_score(series, message):
    with pytest.raises(DataError, match=message):
        vta({"AAA": series})


def test_read_forecasts_takes_the_median_of_several_answers(tmp_path):
    values = [[float(day + answer) for day in range(10)] for answer in (0, 1, 5)]
    rows = [("aaa", "2020-01-02", json.dumps(row)) for row in values] + [("BBB", "2020-01-02 00:00", None)]
    frame = pd.DataFrame(rows, columns=["stock", "date", "values"])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    found = medians(read_rows(tmp_path / "mine.csv"))
    assert list(found) == [("AAA", "2020-01-02")]
    assert found["AAA", "2020-01-02"].tolist() == values[1]
    frame.assign(values=[*values, None]).to_parquet(tmp_path / "mine.parquet")
    assert medians(read_rows(tmp_path / "mine.parquet"))["AAA", "2020-01-02"].tolist() == values[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stock,date\nA,2020-01-02\n", "no column values"),
        ('stock,date,values\nA,2020-01-02,"[1, 2]"\n', "row 1: values must be 10 prices"),
        ("stock,date,values\nA,2020-01-02,up\n", "row 1: values must be 10 prices"),
        ("stock,date,values\n", "there are no forecasts in it"),
    ],
)
def test_read_forecasts_names_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"mine.csv.*{message}"):
        medians(read_rows(path))


def write_bars(folder, **stocks):
    folder.mkdir()
    for name, closes in stocks.items():
        frame = pd.DataFrame(
            {"Date": closes.index, **dict.fromkeys(("Open", "High", "Low", "Close"), closes.to_numpy())}
        )
        frame.assign(Volume=1.0).to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_evaluate_prints_the_table(tmp_path, capsys):
    bars = write_bars(tmp_path / "bars", AAA=walk(), BBB=walk(250, 2))
    forecasts = pd.DataFrame({"stock": ["AAA"], "date": [walk().index[170]], "values": [json.dumps([1.0] * 10)]})
    forecasts.to_csv(tmp_path / "mine.csv", index=False)
    options = ["--protocol", "vta", "--data-dir", str(bars), "--forecasts", str(tmp_path / "mine.csv")]
    assert main(["evaluate", *options, "--recipe", "default", "--min-share", "0"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["forecasts", "mine", "persistence", "drift"]
    persistence = np.mean([plain(series, flat) for series in (walk(), walk(250, 2))], axis=0)
    assert said[2].split()[1:3] == [f"{value:.4f}" for value in persistence]
    windows = sum(len(test_part(series).dates) for series in (walk(), walk(250, 2)))
    assert said[1].split()[3:] == ["1", f"{1 / windows:.1%}"]
    assert said[2].split()[3:] == [str(windows), "100.0%"]


def test_evaluate_leaves_out_what_preprocessing_leaves_out_and_says_it(tmp_path, capsys):
    bars = write_bars(tmp_path / "bars", AAA=walk(), NEW=walk(30))
    (bars / "BAD.csv").write_text("Date,Open,High,Low,Close\n2020-01-02,1,1,1,-1\n")
    (bars / "AAPL (1).csv").write_text((bars / "AAA.csv").read_text())
    options = ["evaluate", "--protocol", "vta", "--data-dir", str(bars), "--recipe", "default"]
    assert main(options) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[3:] == [str(len(test_part(walk()).dates)), "100.0%"]
    assert err.splitlines()[0] == "3 of 4 stocks and files are left out:"
    assert "BAD.csv, line 2: close is -1" in err and "NEW.csv: 30 rows are too few" in err
    assert "AAPL (1).csv: not named after a stock symbol" in err
    assert main([*options, "--stock", "AAA,BAD"]) == 1
    assert "BAD.csv, line 2: close is -1" in capsys.readouterr().err


def test_evaluate_needs_bars_and_an_adapter_that_is_there(tmp_path, capsys):
    assert main(["evaluate", "--protocol", "vta", "--recipe", "default"]) == 1
    assert "give --data-dir a folder" in capsys.readouterr().err
    assert main(["evaluate", "--protocol", "vta", "--adapter", str(tmp_path)]) == 1
    assert "no adapter there" in capsys.readouterr().err


@pytest.fixture
def score(tmp_path, capsys):
    """Scores a file of forecasts of 1.0 with given stocks and dates; gives exit code, output and errors."""
    bars = write_bars(tmp_path / "bars", AAA=walk())

    def run(keys, *options):
        rows = [(stock, date, json.dumps([1.0] * 10)) for stock, date in keys]
        pd.DataFrame(rows, columns=["stock", "date", "values"]).to_csv(tmp_path / "mine.csv", index=False)
        asked = ["evaluate", "--protocol", "vta", "--data-dir", str(bars), "--forecasts", str(tmp_path / "mine.csv")]
        code = main([*asked, "--recipe", "default", *options])
        return code, *capsys.readouterr()

    return run


DATES = test_part(walk()).dates


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d"])
def test_evaluate_refuses_dates_of_another_form(score, form):
    keys = [("AAA", pd.Timestamp(date).strftime(form)) for date in DATES]
    code, out, err = score(keys, "--min-share", "0")
    assert (code, out) == (1, "")
    assert f"mine.csv: none of {len(DATES)} rows matches a test window" in err
    assert f"the first row is 'AAA' on '{keys[0][1]}', the first expected 'AAA' on '{DATES[0]}'" in err


def test_evaluate_refuses_forecasts_of_another_stock(score):
    code, out, err = score([("OTHER", date) for date in DATES for _ in range(2)])
    assert (code, out) == (1, "")
    assert f"none of {2 * len(DATES)} rows matches" in err
    assert "'OTHER' is no stock of these bars" in err
    assert f"the first expected 'AAA' on '{DATES[0]}'" in err


def test_evaluate_refuses_forecasts_of_the_training_days_alone(score):
    code, out, err = score([("AAA", date) for date in walk().index[:50]])
    assert (code, out) == (1, "")
    assert "none of 50 rows matches" in err


def test_evaluate_states_the_share_and_refuses_a_small_one(score):
    half, few = DATES[: len(DATES) // 2 + 1], DATES[: len(DATES) // 4]
    code, out, err = score([("AAA", date) for date in half])
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[3:] == [str(len(half)), f"{len(half) / len(DATES):.1%}"]
    mixed = [("AAA", date) for date in few] + [("AAA", date.replace("-", "/")) for date in DATES]
    code, out, err = score(mixed)
    assert (code, out) == (1, "")
    assert f"only {len(few)} of {len(DATES)} test windows ({len(few) / len(DATES):.1%}) have a forecast" in err
    assert f"the first window without one is 'AAA' on '{DATES[len(few)]}'" in err
    allowed = err.split("--min-share ")[1].strip()
    code, out, err = score(mixed, "--min-share", allowed)
    assert code == 0
    assert f"{len(DATES)} of {len(mixed)} rows are of no bar and count for nothing" in err


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "half"])
def test_evaluate_takes_a_share_between_none_and_all(score, share, capsys):
    with pytest.raises(SystemExit):
        score([("AAA", DATES[0])], "--min-share", share)
    assert "--min-share" in capsys.readouterr().err
