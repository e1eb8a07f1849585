"""No number and no prompt knows the future: proven on every column of every file and on the prompt's text.

Three tickers with different histories go through the whole stage, files in and files out. A day t is chosen; then all
bars after t are cut off, or replaced by garbage, and everything up to t must stay the same to the last character.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preprocessing import dataset
from preprocessing.ohlcv import find_files
from preprocessing.reading import read_split
from stonk_pipeline.config.data import EMBEDDED, DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.contracts.forecast.question import messages
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.market.bars import best_possible, generate
from stonk_pipeline.schema import SPLITS, X_COLUMNS, Y_COLUMNS, Window

STOCKNET = Path("../shared/data/stocknet/prices")
DAYS = 400
CALENDAR = pd.bdate_range("2018-01-02", periods=DAYS)
VAL_START, TEST_START = str(CALENDAR[250])[:10], str(CALENDAR[310])[:10]
PROMPT = PromptConfig(show_ticker=True, show_dates=True, decimals=6)
# The scale of `standard` follows from all training bars, so days within the training part are not among its cuts.
CUTS = [("rebased", 180), ("rebased", 249), ("rebased", 385), ("raw", 280), ("standard", 249), ("standard", 330)]

Market = dict[str, pd.DataFrame]


def market() -> Market:
    """LATE begins after a hundred days, HOLES misses every ninth day, EARLY is whole."""
    early, late, holes = generate(MarketConfig(tickers=3, days=DAYS)).values()
    return {"EARLY": early, "LATE": late.iloc[100:], "HOLES": holes[np.arange(DAYS) % 9 != 0]}


def settings(mode: str = "rebased", data_dir: str = EMBEDDED) -> PreprocessStage:
    data = DataConfig(
        data_dir=data_dir,
        normalisation=mode,
        val_start=VAL_START,
        test_start=TEST_START,
        warm_up=50,
        split_ratio=1e9,
        outlier_factor=1e9,
    )
    return PreprocessStage(data=data, seed=0)


def run(bars: Market, directory: Path, mode: str) -> Path:
    """The whole stage on files of bars; the directory of its outputs."""
    source, out = directory / "bars", directory / "out"
    source.mkdir(parents=True)
    out.mkdir()
    for stock, frame in bars.items():
        # The factor changes over time, as Adj Close does at each dividend.
        factor = 0.9 + 0.0002 * frame.index.to_numpy()
        frame.assign(**{"adj close": frame["close"] * factor}).to_csv(source / f"{stock}.csv", index=False)
    config = settings(mode, str(source))
    dataset.preprocess(config, find_files(config.data), out, lambda *_: None)
    return out


def beginning(bars: Market, day: pd.Timestamp) -> Market:
    return {stock: frame[frame["date"] <= day] for stock, frame in bars.items()}


def garbage_after(bars: Market, day: pd.Timestamp) -> Market:
    rng = np.random.default_rng(0)
    spoiled = {}
    for stock, frame in bars.items():
        later = frame["date"] > day
        prices = rng.lognormal(0, 1, size=(int(later.sum()), 4)).cumprod(axis=1)
        changed = frame.copy()
        changed.loc[later, ["low", "open", "close", "high"]] = np.sort(prices, axis=1)
        changed.loc[later, "volume"] = rng.integers(1, 9, int(later.sum()))
        spoiled[stock] = changed
    return spoiled


def rows(out: Path, stock: str, part: str, letter: str) -> pd.DataFrame:
    return pd.read_csv(out / f"{stock}_{part}_{letter}.csv", dtype=str, keep_default_na=False)


def differences(one: Path, other: Path, day: str, *, whole_x: bool) -> list[str]:
    """Where two outputs differ in what is known by the close of `day`: (file, column) names.

    Args:
        one: an output directory.
        other: the output on bars that differ after `day` alone.
        day: the last day that both share.
        whole_x: both have all windows up to `day`; otherwise `other` ends with the last one that has its target.
    """
    found = []
    for stock in ("EARLY", "LATE", "HOLES"):
        for part in SPLITS:
            # What follows a window is not known before its last day.
            y = [frame[frame["target_end"] <= day] for frame in (rows(out, stock, part, "y") for out in (one, other))]
            x = [frame[frame["date"] <= day] for frame in (rows(out, stock, part, "x") for out in (one, other))]
            if not whole_x:
                x = [frame[frame["date"].isin(y[0]["date"])] for frame in x]
            for name, (left, right) in {f"{part}_x": x, f"{part}_y": y}.items():
                differ = len(left) != len(right) or left.columns.tolist() != right.columns.tolist()
                columns = ["length"] if differ else [c for c in left if left[c].tolist() != right[c].tolist()]
                found += [f"{stock}_{name} {column}" for column in columns]
        left, right = (pd.read_csv(out / f"{stock}_bars.csv", dtype=str) for out in (one, other))
        if not left[left["date"] <= day].equals(right[right["date"] <= day]):
            found.append(f"{stock}_bars")
    return found


def prompts(out: Path, day: str) -> dict[tuple[str, str], str]:
    windows, _ = read_split(out, "full")
    return {window.key: json.dumps(messages(window, PROMPT, 10)) for window in windows if window.date <= day}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, Path]:
    """Outputs of the stage on the unspoiled market, for each normalisation."""
    return {mode: run(market(), tmp_path_factory.mktemp(mode), mode) for mode in ("rebased", "standard", "raw")}


@pytest.mark.parametrize(("mode", "row"), CUTS)
def test_preprocess_of_a_beginning_equals_the_beginning_of_all(tmp_path, monkeypatch, outputs, mode, row):
    day = str(CALENDAR[row])[:10]
    # Before its day comes a part is empty, which the stage refuses to hand on; here that is as it should be.
    monkeypatch.setattr(dataset, "require_windows", lambda *_: None)
    out = run(beginning(market(), CALENDAR[row]), tmp_path, mode)
    assert differences(outputs[mode], out, day, whole_x=False) == []
    known = prompts(out, day)
    assert len(known) > 50
    whole = prompts(outputs[mode], day)
    assert all(whole[key] == text for key, text in known.items())


@pytest.mark.parametrize(("mode", "row"), CUTS)
def test_preprocess_does_not_see_garbage_in_the_future(tmp_path, outputs, mode, row):
    day = str(CALENDAR[row])[:10]
    out = run(garbage_after(market(), CALENDAR[row]), tmp_path, mode)
    assert differences(outputs[mode], out, day, whole_x=True) == []
    assert prompts(out, day) == prompts(outputs[mode], day)
    # The garbage did arrive: what came after the day is different.
    assert (
        rows(out, "EARLY", "full", "y").iloc[-1].tolist() != rows(outputs[mode], "EARLY", "full", "y").iloc[-1].tolist()
    )


@pytest.mark.parametrize("part", ["train", "val"])
def test_preprocess_gives_the_same_bytes_before_a_boundary_whatever_comes_after(tmp_path, outputs, part):
    last = CALENDAR[{"train": 249, "val": 309}[part]]
    out = run(garbage_after(market(), last), tmp_path, "standard")
    for stock in market():
        for letter in "xy":
            name = f"{stock}_{part}_{letter}.csv"
            assert (out / name).read_bytes() == (outputs["standard"] / name).read_bytes(), name


def test_preprocess_keeps_training_targets_before_every_validation_context(outputs):
    ends, starts = {}, {}
    for part in ("train", "val", "test"):
        y = pd.concat([rows(outputs["rebased"], stock, part, "y") for stock in market()])
        x = pd.concat([rows(outputs["rebased"], stock, part, "x") for stock in market()])
        assert set(x["stock"]) == set(market())
        ends[part], starts[part] = y["target_end"].max(), x["context_start"].min()
    assert ends["train"] < VAL_START <= starts["val"]
    assert ends["val"] < TEST_START <= starts["test"]


@pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")
def test_preprocess_keeps_training_targets_before_validation_on_real_bars(tmp_path):
    stocks = ["AAPL", "GE", "GMRE", "BRK-A", "BABA"]
    config = PreprocessStage(data=DataConfig(data_dir=str(STOCKNET), stocks=stocks), seed=0)
    numbers = dataset.preprocess(config, find_files(config.data), tmp_path, lambda *_: None)
    written = json.loads((tmp_path / "dataset.json").read_text())["stocks"]
    parts = ("train", "val", "test")
    y = {part: pd.concat([rows(tmp_path, stock, part, "y") for stock in written]) for part in parts}
    x = {part: pd.concat([rows(tmp_path, stock, part, "x") for stock in written]) for part in parts}
    assert y["train"]["target_end"].max() < numbers["val_start"] <= x["val"]["context_start"].min()
    assert y["val"]["target_end"].max() < numbers["test_start"] <= x["test"]["context_start"].min()
    assert written["GMRE"]["windows"]["train"] == 0


def test_differences_finds_a_leak_in_any_column(tmp_path, monkeypatch, outputs):
    """The proof can fail: an indicator that takes in one bar of the future, or the mean of all bars, is found."""
    honest = dataset.add_indicators

    def leaky(frame, periods):
        out = honest(frame, periods)
        return out.assign(
            rsi=out["rsi"].shift(-1).ffill(), sma=out["sma"].fillna(out["sma"].mean()) + out["sma"].mean()
        )

    monkeypatch.setattr(dataset, "add_indicators", leaky)
    whole = run(market(), tmp_path / "whole", "raw")
    spoiled = run(garbage_after(market(), CALENDAR[280]), tmp_path / "spoiled", "raw")
    day = str(CALENDAR[280])[:10]
    found = {name.split()[-1] for name in differences(whole, spoiled, day, whole_x=True)}
    assert found == {"rsi", "sma"}
    assert prompts(whole, day) != prompts(spoiled, day)


def test_differences_looks_at_every_column(tmp_path, outputs):
    copy, day = shutil.copytree(outputs["rebased"], tmp_path / "copy"), str(CALENDAR[300])[:10]
    assert differences(outputs["rebased"], copy, day, whole_x=True) == []
    for letter, columns in (("x", X_COLUMNS), ("y", Y_COLUMNS)):
        changed = rows(outputs["rebased"], "LATE", "train", letter)
        changed.loc[3] = "1999-01-04"
        changed.to_csv(copy / f"LATE_train_{letter}.csv", index=False)
        found = differences(outputs["rebased"], copy, day, whole_x=True)
        assert {f"LATE_train_{letter} {column}" for column in columns} <= set(found)


def test_windows_have_no_field_for_what_comes_after_them():
    assert not {"target", "future", "values"} & set(Window.__dataclass_fields__)


@pytest.mark.parametrize("row", [120, 299])
def test_best_possible_of_a_beginning_equals_the_beginning_of_all(row):
    config = MarketConfig(tickers=1, days=300)
    frame = generate(config)["SIM01"]
    whole, part = best_possible(frame, config, 10), best_possible(frame.head(row), config, 10)
    np.testing.assert_allclose(part, whole[:row], rtol=1e-12)
