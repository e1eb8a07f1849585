"""Baselines: what they forecast, on any scale, and that none of them sees the future."""

import math

import numpy as np
import pandas as pd
import pytest

from preprocessing import reading
from preprocessing.dataset import STAGE
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.evaluation import baselines, metrics
from stonk_pipeline.runs import manifest
from stonk_pipeline.schema import INDICATORS, STATISTICS, History, Target, Window


def window(context=(100.0, 100.0), *, stock="AAA", date="2024-01-02", offset=0.0, unit=1.0):
    flat = dict.fromkeys(INDICATORS, 100.0), dict.fromkeys(STATISTICS, 1.0)
    return Window(stock, date, tuple(context), *flat, 1.0, offset, unit)


def test_growth_compounds_on_any_scale():
    standard = window((0.0, 0.5), offset=48.0, unit=4.0)
    forecast = 48.0 + 4.0 * baselines.growth([standard], 3, np.array([math.log(1.01)]))[0]
    assert forecast == pytest.approx([50 * 1.01, 50 * 1.01**2, 50 * 1.01**3])


def test_daily_drift_is_the_mean_training_return_and_pooled_for_others():
    prices = [20 * 1.01**k for k in range(5)]
    pair = [window(prices[:3]), window((100.0, 100.0), stock="BBB")]
    daily = baselines.daily_drift(pair, [Target("", "", tuple(prices[3:])), Target("", "", (100.0, 100.0))])
    assert daily["AAA"] == pytest.approx(math.log(1.01))
    assert daily["BBB"] == 0.0
    assert daily[baselines.POOLED] == pytest.approx(math.log(1.01) / 2)
    assert baselines.daily_drift([], []) == {baselines.POOLED: 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The dataset of a small generated market."""
    out = tmp_path_factory.mktemp("dataset")
    market = MarketConfig(tickers=3, days=500)
    manifest.execute(STAGE, PreprocessStage(data=DataConfig(market=market), seed=0), {}, out)
    return out


@pytest.fixture(scope="module")
def parts(data):
    return {split: reading.read_split(data, split) for split in ("train", "test")}


def forecasts(data, parts, histories=None):
    windows, _ = parts["test"]
    return baselines.all_baselines(windows, 10, parts["train"], histories or reading.read_histories(data), seed=0)


def test_all_baselines_forecast_every_window_and_regressions_find_what_can_be_known(data, parts):
    windows, targets = parts["test"]
    found = forecasts(data, parts)
    assert set(found) == {"drift", "mean_return", "exp_smoothing", "theta", "ridge", "boosted_trees"}
    truth = np.array([target.values for target in targets])
    flat = metrics.mae(baselines.persistence(windows, 10), truth)
    skills = {name: float(metrics.skill(metrics.mae(values, truth), flat)) for name, values in found.items()}
    assert all(values.shape == (len(windows), 10) and np.isfinite(values).all() for values in found.values())
    assert skills["ridge"] > 0.05
    assert skills["boosted_trees"] > 0.0
    assert all(abs(skills[name]) < 0.15 for name in ("drift", "mean_return", "exp_smoothing", "theta"))


def test_no_baseline_sees_what_comes_after_a_window(data, parts):
    windows, _ = parts["test"]
    early = (windows[: len(windows) // 2], None)
    last = early[0][-1].date
    poisoned = {
        stock: History(
            history.dates,
            tuple(close if date <= last else 1e6 for date, close in zip(history.dates, history.closes, strict=True)),
        )
        for stock, history in reading.read_histories(data).items()
    }
    clean = forecasts(data, parts | {"test": early})
    for name, values in forecasts(data, parts | {"test": early}, poisoned).items():
        np.testing.assert_array_equal(values, clean[name], err_msg=name)


def test_smoothing_and_theta_agree_with_statsmodels_at_the_end_of_the_training_part():
    from statsmodels.tsa.forecasting.theta import ThetaModel
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    rng = np.random.default_rng(3)
    # A level under noise: the weight of the smoothing is well inside (0, 1).
    closes = 100 + 0.02 * np.arange(400) + rng.normal(0, 2, 400) + np.cumsum(rng.normal(0, 0.3, 400))
    dates = tuple(str(day.date()) for day in pd.bdate_range("2020-01-01", periods=400))
    histories = {"AAA": History(dates, tuple(closes))}
    asked = [window((closes[-2], closes[-1]), date=dates[-1])]
    smooth = SimpleExpSmoothing(closes, initialization_method="estimated").fit().forecast(5)
    np.testing.assert_allclose(baselines.smoothing(asked, 5, histories, dates[-1])[0], smooth, rtol=1e-6)
    theta = ThetaModel(closes, period=1, deseasonalize=False).fit().forecast(5)
    np.testing.assert_allclose(baselines.theta(asked, 5, histories, dates[-1])[0], theta, rtol=1e-6)


def test_smoothing_without_enough_history_is_persistence():
    histories = {"AAA": History(("2024-01-01", "2024-01-02"), (99.0, 100.0))}
    assert baselines.smoothing([window()], 2, histories, "2024-01-02").tolist() == [[100.0, 100.0]]
    assert baselines.theta([window()], 2, histories, "2024-01-02").tolist() == [[100.0, 100.0]]


def test_features_are_alike_on_every_scale():
    def on(offset, unit):
        def level(price):
            return (price - offset) / unit

        indicators = {name: level(52.0) for name in INDICATORS} | {"mom": 2.0 / unit, "macd": 1.0 / unit, "rsi": 60.0}
        statistics = dict.fromkeys(STATISTICS, 0.5) | {name: level(51.0) for name in ("min", "max", "mean", "median")}
        statistics["trend_slope"] = 0.2 / unit
        for name in ("stoch_k", "stoch_d", "willr", "cci", "adx"):
            indicators[name] = 30.0
        return Window("AAA", "d", (level(49.0), level(50.0)), indicators, statistics, 0.8 / unit, offset, unit)

    np.testing.assert_allclose(baselines.features([on(0.0, 0.5)]), baselines.features([on(48.0, 4.0)]), rtol=1e-12)
