"""The window without a target is the one that the dataset would hold."""

import numpy as np
import pytest

from preprocessing import reading
from preprocessing.dataset import preprocess
from preprocessing.history import first_row
from preprocessing.latest import last_window, latest_windows
from preprocessing.windows import Scale
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.errors import DataError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import CLOSE

MARKET = MarketConfig(tickers=1, days=400)


@pytest.mark.parametrize("normalisation", ["rebased", "standard"])
def test_last_window_is_the_datasets_own(tmp_path, normalisation):
    data = DataConfig(market=MARKET, normalisation=normalisation)
    preprocess(PreprocessStage(data=data, seed=0), {}, tmp_path, lambda *_: None)
    windows, _ = reading.read_split(tmp_path, "full")
    bars = generate(MARKET)["SIM01"]
    found = reading.read_histories(tmp_path)["SIM01"].dates
    first = windows[0]
    scale = None if normalisation == "rebased" else Scale(first.price_offset, first.price_unit)
    for window in windows[:: len(windows) // 7]:
        known = bars.iloc[: found.index(window.date) + 1]
        again = last_window("SIM01", known, data, scale)
        assert again.key == window.key
        assert again.context == window.context
        # Sums are taken in another order where the frame is shorter.
        assert again.indicators == pytest.approx(window.indicators, rel=1e-7)
        assert again.statistics == pytest.approx(window.statistics, rel=1e-7, nan_ok=True)
        assert again.volatility == pytest.approx(window.volatility, rel=1e-7)
        assert (again.price_offset, again.price_unit) == (window.price_offset, window.price_unit)


def test_last_window_needs_history_and_movement():
    bars, data = generate(MARKET)["SIM01"], DataConfig()
    enough = first_row(data) + data.window
    assert last_window("A", bars.iloc[:enough], data, None).date == "2018-06-04"
    with pytest.raises(DataError, match=f"A: {enough - 1} bars, and a window needs {enough}"):
        last_window("A", bars.iloc[: enough - 1], data, None)
    still = bars.assign(**{CLOSE: np.where(np.arange(400) > 350, 50.0, bars[CLOSE]), "high": 200.0, "low": 1.0})
    with pytest.raises(DataError, match="A: the last closes do not move"):
        last_window("A", still, data, None)


def test_latest_windows_use_the_scale_of_the_training():
    data = DataConfig(market=MARKET, normalisation="standard")
    (own,), _ = latest_windows(data, {})
    (given,), _ = latest_windows(data, {"SIM01": {"offset": 10.0, "unit": 2.0}})
    assert (given.window.price_offset, given.window.price_unit) == (10.0, 2.0)
    assert own.window.price_unit != 2.0
    assert own.window.date == given.window.date == str(own.bars["date"].iloc[-1].date())


def test_latest_windows_leave_out_one_stock_and_keep_the_others(tmp_path):
    bars = generate(MARKET)["SIM01"]
    bars.to_csv(tmp_path / "LONG.csv", index=False)
    bars.head(50).to_csv(tmp_path / "SHORT.csv", index=False)
    found, left_out = latest_windows(DataConfig(data_dir=str(tmp_path)), {})
    assert [each.window.stock for each in found] == ["LONG"]
    assert list(left_out) == ["SHORT"]
    assert "50 bars, and a window needs" in left_out["SHORT"]
