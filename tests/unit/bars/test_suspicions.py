"""Small splits that nobody adjusted for are named, and only they."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing.dataset import load_bars, preprocess
from preprocessing.ohlcv import Bars, find_files
from preprocessing.suspicions import suspect_splits
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.market.bars import generate
from stonk_pipeline.report.frame import environment
from stonk_pipeline.schema import CLOSE, DATE, HIGH, LOW, OPEN

STOCKNET = Path("../shared/data/stocknet/prices")
real_bars = pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")
PRICES = [OPEN, HIGH, LOW, CLOSE]
DAY = 200


def market(stocks: int = 4) -> dict[str, pd.DataFrame]:
    return generate(MarketConfig(tickers=stocks, days=400))


def split(frame: pd.DataFrame, new: float, old: float) -> pd.DataFrame:
    """Unadjusted bars of a stock with a split of `new` for `old`, on a day that else stands still."""
    frame = frame.copy()
    frame.loc[: DAY - 1, PRICES] *= new / old
    frame.loc[DAY, PRICES] = frame.loc[DAY - 1, CLOSE] * old / new
    return frame


def suspicions(frames: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    found = suspect_splits([Bars(stock, frame, False, ()) for stock, frame in frames.items()])
    return {bars.stock: [repair.detail for repair in bars.repairs] for bars in found if bars.repairs}


@pytest.mark.parametrize(
    ("new", "old"),
    [
        *((3, 2), (5, 4), (4, 3), (2, 1), (3, 1), (10, 1), (1, 2), (1, 10), (5, 3)),
        *((6, 5), (7, 5), (8, 5), (7, 4), (9, 5), (7, 2), (2, 3), (4, 5)),
    ],
)
def test_suspect_splits_names_each_usual_ratio(new, old):
    frames = market()
    frames["SIM02"] = split(frames["SIM02"], new, old)
    found = suspicions(frames)
    day = frames["SIM02"][DATE][DAY].date()
    assert list(found) == ["SIM02"]
    assert found["SIM02"] == [
        f"1 row ({day}) opens and closes at about {old / new:.4g} times the close before, as after a split of {new} "
        f"for {old} that is not adjusted for, and the other stocks do not; kept, adjust the bars if it is one"
    ]


def test_suspect_splits_names_nothing_in_bars_without_a_split():
    assert suspicions(market(12)) == {}


def test_suspect_splits_passes_over_a_day_on_which_others_fall_too():
    frames = market()
    frames["SIM02"] = split(frames["SIM02"], 5, 4)
    frames["SIM03"].loc[DAY:, PRICES] *= 0.85
    assert suspicions(frames) == {}


def test_suspect_splits_passes_over_moves_that_the_open_does_not_show():
    frames = market(1)
    frame = split(frames["SIM01"], 5, 4)
    # The day opens at the close before and falls by a fifth in its course: no split does that.
    frame.loc[DAY, [OPEN, HIGH]] = frame.loc[DAY - 1, CLOSE]
    assert suspicions({"SIM01": frame}) == {}


def test_suspect_splits_names_a_split_of_a_stock_that_is_alone():
    assert "and the other stocks do not" not in suspicions({"SIM01": split(market(1)["SIM01"], 3, 2)})["SIM01"][0]


def test_preprocess_writes_a_suspicion_among_the_repairs(tmp_path):
    frames = market(2)
    frames["SIM01"] = split(frames["SIM01"], 3, 2)
    (tmp_path / "bars").mkdir()
    for stock, frame in frames.items():
        frame.to_csv(tmp_path / "bars" / f"{stock}.csv", index=False)
    data = DataConfig(data_dir=str(tmp_path / "bars"), warm_up=50)
    (tmp_path / "out").mkdir()
    numbers = preprocess(PreprocessStage(data=data, seed=0), find_files(data), tmp_path / "out", lambda *_: None)
    dataset = json.loads((tmp_path / "out" / "dataset.json").read_text())
    stocks = dataset["stocks"]
    assert [(repair["kind"], repair["changed"]) for repair in stocks["SIM01"]["repairs"]] == [
        ("split_suspected", False)
    ]
    assert stocks["SIM02"]["repairs"] == []
    assert numbers["repaired_rows"] == 0
    assert any("as after a split of 3 for 2" in line for line in numbers["repairs"])
    table = environment().from_string('{% from "macros.html.j2" import stock_table %}{{ stock_table(dataset) }}')
    assert "adjust the bars if it is one (reported, not changed)</li>" in table.render(dataset=dataset)
    np.testing.assert_allclose(load_bars(data, find_files(data))[0][0].frame[CLOSE], frames["SIM01"][CLOSE], rtol=1e-12)


@real_bars
@pytest.mark.parametrize("adjust", [True, False])
def test_suspect_splits_names_no_day_of_real_bars(adjust):
    data = DataConfig(data_dir=str(STOCKNET), split_ratio=2.0, adjust=adjust)
    market, _ = load_bars(data, find_files(data))
    assert sum(len(bars.frame) for bars in market) > 29_000
    assert [
        (bars.stock, repair.dates) for bars in market for repair in bars.repairs if repair.kind[:5] == "split"
    ] == []


@real_bars
@pytest.mark.parametrize(("new", "old"), [(3, 2), (5, 4), (6, 5), (7, 4), (1, 10)])
def test_suspect_splits_names_most_splits_put_into_real_bars(new, old):
    data = DataConfig(data_dir=str(STOCKNET), split_ratio=2.0)
    market, _ = load_bars(data, find_files(data))
    rows = dict(zip((bars.stock for bars in market), np.random.default_rng(0).permutation(280)[:25] + 10, strict=True))
    for bars in market:
        bars.frame.loc[: rows[bars.stock] - 1, PRICES] *= new / old
    told = {
        bars.stock: [r.dates[0] for r in bars.repairs if r.kind == "split_suspected"] for bars in suspect_splits(market)
    }
    put = {bars.stock: [str(bars.frame[DATE][rows[bars.stock]].date())] for bars in market}
    assert sum(told[stock] == put[stock] for stock in put) >= 23
    assert all(told[stock] in ([], put[stock]) for stock in put)
