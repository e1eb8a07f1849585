"""The page of the forward log: rendered from real logs, damaged and hostile ones among them."""

import json
import re
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.contracts.forecast.live.calendar import sessions_from
from stonk_pipeline.contracts.forecast.live.files import files_of, write_files
from stonk_pipeline.contracts.forecast.live.kept import read_kept
from stonk_pipeline.contracts.forecast.live.make import Made
from stonk_pipeline.contracts.forecast.live.page import PAGE, render, write_page
from stonk_pipeline.contracts.forecast.live.score import SCORES, score
from stonk_pipeline.contracts.forecast.live.words import move_in_words
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.quantiles import LEVELS, normal_quantiles
from stonk_pipeline.records.forward_log import LOG, Forecasted, append, read
from tests import browser

FIRST, AHEAD = sessions_from("XNYS", "2026-03-02", 11)
SESSIONS = [FIRST, *AHEAD]
HORIZON = 2
CLOSES = dict(zip((day.date for day in SESSIONS), 100 + np.array([0, 1, 3, 2, 4, 3, 5, 6, 5, 7, 8, 6]), strict=True))
COVERAGE = {"0.5": 0.49, "0.8": 0.81, "0.9": 0.88}
HOSTILE = "</script></blockquote><script>alert(1)</script>\u202e<img src=x onerror=alert(2)>"


def logged(folder, day, stock="AAPL", model="abc", late=False, **changes):
    """A forecast from the close of a session, really logged."""
    last = float(CLOSES[SESSIONS[day].date])
    levels = np.array([normal_quantiles(last + ahead, 1.2 * ahead**0.5) for ahead in (1, 2)]).T
    made = Forecasted(
        stock=stock,
        model=model,
        adapter_digest=None,
        base_model="stonk-tiny",
        data_digest="e",
        last_bar=SESSIONS[day].date,
        last_close=last,
        calendar="XNYS",
        targets=tuple(session.date for session in SESSIONS[day + 1 : day + 1 + HORIZON]),
        first_close=SESSIONS[day + 1].close.isoformat(),
        answers=4,
        readable=1.0,
        levels=LEVELS,
        quantiles=tuple(map(tuple, levels.round(6).tolist())),
        volatility=1.2,
    ).model_copy(update=changes)
    stamp = SESSIONS[day + 1 if late else day].close + timedelta(minutes=30)
    return append(folder, made, stamp)[0]


def with_answers(folder, entry, texts):
    """Writes the forecast's JSON, CSV and picture, with one answer for each text."""
    past = pd.Series({day: float(close) for day, close in CLOSES.items() if day <= entry.last_bar})
    samples = entry.last_close + np.arange(1.0, len(texts) + 1)[:, None] * np.ones(HORIZON)
    write_files(
        Made(Forecasted(**entry.model_dump(include=set(Forecasted.model_fields))), past, samples, texts), entry, folder
    )


@pytest.fixture
def log(tmp_path):
    """Nine forecasts of AAPL, two of MSFT, one of them late; what came of AAPL is marked, of MSFT a day."""
    folder = tmp_path / "f"
    for day in range(9):
        entry = logged(folder, day, coverage=COVERAGE, tested=1400)
    with_answers(folder, entry, [f"<think>It goes {way}.</think>\n<answer>[1, 2]</answer>" for way in "abcd"])
    logged(folder, 9, "MSFT")
    logged(folder, 9, "MSFT", "slow", late=True)
    closes = pd.Series(CLOSES, dtype=float)
    score(folder, {"AAPL": closes, "MSFT": closes[:11]})
    return folder


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder with one forecast and its files."""
    folder = tmp_path_factory.mktemp("answered")
    entry = logged(folder, 1)
    with_answers(folder, entry, ["a", "b"])
    return folder, entry


def rows_of(text, label):
    """The cells of a record's table on the page, row by row."""
    body = text.partition(f'aria-label="{label}"')[2].partition("</table>")[0].partition("<tbody>")[2]
    return [
        [re.sub(r"<[^>]+>", " ", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in body.split("</tr>")[:-1]
    ]


def test_page_has_each_stock_with_its_fan_words_bands_and_answers(log):
    text = write_page(log).read_text(encoding="utf-8")
    latest = read(log)[8]
    assert move_in_words(latest) == (
        "From the last close of 105.00 on 2026-03-12, the median goes to 107.00 by 2026-03-16, 2 sessions ahead: 1.9% "
        "above it. The 90% band reaches from 104.21 to 109.79."
    )
    assert re.sub(r'<span class="date">(.*?)</span>', r"\1", text).count(move_in_words(latest)) == 2  # and as a label
    assert "its 50% band held 49%, its 80% band held 81% and its 90% band held 88% of what came" in text
    assert text.count("are not calibrated: they may hold far fewer closes") == 2  # on top, and at MSFT
    assert "It goes a." in text and "It goes d." in text
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)[1])
    assert [len(chart["dates"]) for chart in charts] == [9 + HORIZON, 1 + HORIZON]  # MSFT has no JSON with its past
    aapl = charts[0]
    assert [len(column) for column in aapl["columns"]] == [11] * 11
    assert aapl["columns"][1] == [*(float(CLOSES[day]) for day in aapl["dates"][:9]), None, None]
    assert aapl["columns"][6] == [*[None] * 8, 105.0, *latest.quantiles[9]]
    assert aapl["columns"][10][-2:] == pytest.approx([107.0, 108.0])  # what came


def test_record_on_the_page_is_that_of_score(log, capsys):
    folder = log.parent / "bars"
    folder.mkdir()
    frame = pd.DataFrame({"Date": list(CLOSES)} | {name: CLOSES.values() for name in ("Open", "High", "Low", "Close")})
    frame.assign(Volume=1000).to_csv(folder / "AAPL.csv", index=False)
    assert main(["score", "--data-dir", str(folder), "--forecasts-dir", str(log)]) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "abc" in line)
    _, counts, forecasts, days, mae, flat, skill, crps, crps_skill, within = map(str.strip, said.strip("│ ").split("│"))
    (own, late) = rows_of(render(log), "Record of each model")
    shares = re.findall(r": (\d+%)", within)
    gains = [f"{100 * float(value):+.1f}%".replace("-", "−") for value in (skill, crps_skill)]
    assert counts == "yes"
    assert own == ["abc", forecasts, days, mae, flat, gains[0], crps, gains[1], *shares]
    assert late[0].startswith("slow") and "late: does not count" in late[0]


def test_a_record_of_few_dates_says_so_and_shows_no_skill(log):
    text = render(log)
    assert len(rows_of(text, "Record of AAPL")[0]) == 11
    own, late = rows_of(text, "Record of MSFT")
    assert own == ["abc", "1", "1", "too few outcomes yet: forecasts from 1 date, of 6 that a record needs"]
    assert "late: does not count" in late[0]
    assert "Of 11, 1 was written down late, when the first outcome could be known: such never count." in text
    (log / SCORES).unlink()
    assert render(log).count("No outcome is marked yet.") == 3


def test_the_same_log_gives_the_same_page_without_a_model(log, capsys):
    assert main(["forecast", "--page-only", "--forecasts-dir", str(log)]) == 0
    path = log / PAGE
    assert capsys.readouterr().out == f"{path}\n"
    before = path.read_bytes()
    write_page(log)
    assert path.read_bytes() == before
    assert not re.findall(rb"(?:src|href)=\"(?!data:|#)", before)  # nothing is fetched
    assert b"Permission is hereby granted" in before


def test_texts_of_others_are_escaped(tmp_path):
    entry = logged(tmp_path, 0, base_model=f"tiny{HOSTILE[:-40]}")
    with_answers(tmp_path, entry, [HOSTILE, f"<think>{HOSTILE}</think>{HOSTILE}"])
    text = render(tmp_path)
    assert text.count("<script") == 3
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<img" not in text and "\u202e" not in text
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: content[:-9], "not JSON"),
        (lambda content: "[]", "damaged"),
        (lambda content: content.replace("101.0", "NaN"), "damaged"),
        (lambda content: content.replace("2026-03-02", "2026-03-04"), "of days in their order"),
        (lambda content: content.replace('"closes": {', '"closes": {"x": 1,'), "of days in their order"),
        (lambda content: content.replace('"2026-03-03": 101.0', '"2026-03-03": 9.0'), "do not end with the last bar"),
        (lambda content: content.replace('"2026-03-02": 100.0', '"2026-03-02": -1.0'), "is no price"),
        (lambda content: content.replace('"texts": [', '"texts": ["x",'), "not one close for each day"),
        (lambda content: content.replace('"digest": "', '"digest": "0'), "of another forecast than entry 1"),
    ],
)
def test_read_kept_names_a_damaged_file(answered, tmp_path, damage, why):
    folder, entry = answered
    path = files_of(entry, tmp_path)[0]
    content = files_of(entry, folder)[0].read_text()
    assert damage(content) != content
    path.write_text(damage(content))
    with pytest.raises(LogError, match=why) as caught:
        read_kept(entry, tmp_path)
    assert str(path) in str(caught.value) and "delete the file: the page does without it" in str(caught.value)


def test_page_of_a_log_with_a_damaged_file_is_not_written(log):
    path = files_of(read(log)[8], log)[0]
    path.write_text("[]")
    with pytest.raises(LogError, match="damaged"):
        write_page(log)
    assert not (log / PAGE).exists()
    path.unlink()
    assert "In the model's own words" not in write_page(log).read_text()


def test_an_altered_log_gives_no_page(log, capsys):
    content = (log / LOG).read_text()
    (log / LOG).write_text(content.replace("stonk-tiny", "stonk-huge", 1))
    assert main(["forecast", "--page-only", "--forecasts-dir", str(log)]) == 1
    assert "line 1 (entry 1, AAPL from 2026-03-02): altered" in capsys.readouterr().err
    (log / LOG).write_text(content)
    (log / SCORES).write_text((log / SCORES).read_text().replace('"late": false', '"late": true', 1))
    assert main(["forecast", "--page-only", "--forecasts-dir", str(log)]) == 1
    assert "scores.jsonl, line 1: late is True" in capsys.readouterr().err
    assert not (log / PAGE).exists()


def test_no_page_where_there_is_nothing_or_somebody_elses(tmp_path, log, capsys):
    assert main(["forecast", "--page-only", "--forecasts-dir", str(tmp_path / "none")]) == 1
    assert "no forecasts logged here yet" in capsys.readouterr().err
    (log / PAGE).write_text("<title>mine</title>")
    with pytest.raises(LogError, match="not made by this command, which would write over it; move it away"):
        write_page(log)
    assert (log / PAGE).read_text() == "<title>mine</title>"


def test_prices_of_a_cheap_coin_keep_their_digits(tmp_path):
    rows = tuple((0.0000123 * (0.9 + level / 5),) * 2 for level in LEVELS)
    entry = logged(tmp_path, 0, last_close=0.0000123, quantiles=rows)
    assert "From the last close of 0.00001230 on" in move_in_words(entry)


@pytest.mark.skipif(browser.chromium() is None, reason="no browser: chromium is not installed")
def test_pictures_can_be_zoomed_in_a_browser_and_texts_run_nothing(log, tmp_path):
    path = files_of(read(log)[8], log)[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"texts": [HOSTILE] * 4}))
    pressed = "document.querySelector('.views [aria-pressed=true]')"
    with browser.page(str(browser.chromium()), tmp_path) as page:
        page.open(write_page(log).resolve().as_uri())
        page.wait("document.querySelectorAll('.uplot canvas').length === 2", seconds=20)
        page.wait(f"{pressed}?.textContent === 'All'")  # all of its nine closes
        page.ask("document.querySelector('.views button').click()")
        page.wait(f"{pressed}?.textContent === 'Forecast'")
        assert page.ask("document.querySelector('.wide').offsetParent === null")  # still ones: for print alone
        assert page.ask("document.querySelectorAll('img, blockquote script').length") == 0
        assert HOSTILE.partition("\u202e")[0] in page.ask("document.querySelector('blockquote').textContent")
