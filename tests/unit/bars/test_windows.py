"""Windows, their scale and the parts they belong to."""

import numpy as np
import pandas as pd
import pytest

from preprocessing.indicators import add_indicators
from preprocessing.splits import members, share_bounds, split_dates
from preprocessing.windows import Scale, Windows, cut_windows, fit_scale
from stonk_pipeline.config.data import DataConfig, IndicatorPeriods, MarketConfig
from stonk_pipeline.errors import ConfigError, DataError
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import CLOSE, DATE, HIGH, INDICATORS, LOW, OPEN

DAYS = 300


def bars() -> pd.DataFrame:
    return generate(MarketConfig(tickers=1, days=DAYS))["SIM01"]


def cut(data: DataConfig, scale: Scale | None = None, frame: pd.DataFrame | None = None) -> Windows:
    return cut_windows(add_indicators(bars() if frame is None else frame, data.periods), data, scale)


def test_cut_windows_cuts_every_window_with_its_target_after_the_warm_up():
    data, frame = DataConfig(window=8, horizon=5, warm_up=60), bars()
    windows = cut(data)
    days = frame[DATE].to_numpy().astype("datetime64[D]")
    assert len(windows) == DAYS - 60 - 8 - 5 + 1
    assert windows.context.shape == (len(windows), 8)
    assert windows.target.shape == (len(windows), 5)
    for row in (0, 1, len(windows) - 1):
        start = 60 + row
        assert windows.context_start[row] == days[start]
        assert windows.date[row] == days[start + 7]
        assert windows.target_start[row] == days[start + 8]
        assert windows.target_end[row] == days[start + 12]
    assert windows.target_end[-1] == days[-1]


def test_cut_windows_rebases_the_last_close_to_100():
    frame, windows = bars(), cut(DataConfig())
    closes = frame[CLOSE].to_numpy()
    np.testing.assert_allclose(windows.context[:, -1], 100.0, rtol=1e-12)
    first = closes[100:120]
    np.testing.assert_allclose(windows.context[0], 100 * first[:10] / first[9])
    np.testing.assert_allclose(windows.target[0], 100 * first[10:] / first[9])
    assert windows.features["price_unit"][0] == first[9] / 100
    assert (windows.features["price_offset"] == 0).all()


@pytest.mark.parametrize("normalisation", ["rebased", "standard", "raw"])
def test_cut_windows_leads_back_to_prices(normalisation):
    data, frame = DataConfig(normalisation=normalisation), bars()
    windows = cut(data, fit_scale(frame, frame[DATE].to_numpy()[200], data))
    offset, unit = windows.features["price_offset"][:, None], windows.features["price_unit"][:, None]
    closes, indicators = frame[CLOSE].to_numpy(), add_indicators(frame, data.periods)
    rows = windows.last[:, None]
    np.testing.assert_allclose(offset + unit * windows.context, closes[rows + np.arange(-9, 1)])
    np.testing.assert_allclose(offset + unit * windows.target, closes[rows + np.arange(1, 11)])
    for name in ("sma", "ema", "bbands_upper", "bbands_middle", "bbands_lower"):
        prices = offset[:, 0] + unit[:, 0] * windows.features[name]
        np.testing.assert_allclose(prices, indicators[name].iloc[windows.last], err_msg=name)
    for name in ("mom", "macd"):
        prices = unit[:, 0] * windows.features[name]
        np.testing.assert_allclose(prices, indicators[name].iloc[windows.last], err_msg=name)
    for name in ("rsi", "stoch_k", "stoch_d", "willr", "cci", "adx"):
        np.testing.assert_array_equal(windows.features[name], indicators[name].iloc[windows.last], err_msg=name)


def test_cut_windows_measures_volatility_of_past_returns_in_prices():
    frame, windows = bars(), cut(DataConfig(normalisation="raw", volatility_window=15), Scale(0.0, 1.0))
    closes, last = frame[CLOSE].to_numpy(), int(windows.last[5])
    returns = np.diff(np.log(closes[last - 15 : last + 1]))
    assert len(returns) == 15
    assert windows.features["volatility"][5] == pytest.approx(returns.std(ddof=1) * closes[last])
    rebased = cut(DataConfig(volatility_window=15)).features
    assert rebased["volatility"][5] == pytest.approx(100 * returns.std(ddof=1))


def test_cut_windows_computes_statistics_on_the_prompt_scale():
    windows = cut(DataConfig())
    np.testing.assert_array_equal(windows.features["min"], windows.context.min(axis=1))
    np.testing.assert_array_equal(windows.features["mean"], windows.context.mean(axis=1))


def test_cut_windows_steps_by_the_stride_from_the_warm_up_on():
    every, third = cut(DataConfig()), cut(DataConfig(stride=3))
    np.testing.assert_array_equal(third.date, every.date[::3])
    np.testing.assert_array_equal(third.context, every.context[::3])


def test_cut_windows_leaves_out_and_counts_windows_without_indicators():
    frame = bars()
    still = frame.index.to_series().between(150, 189)
    frame.loc[still, [OPEN, HIGH, LOW, CLOSE]] = 50.0
    windows = cut(DataConfig(), frame=frame)
    # Rows 163 to 189 have stood still for 14 bars (stochastic), and the smoothed one needs two bars more to recover.
    assert windows.undefined == 191 - 163 + 1
    assert not set(range(163, 192)) & set(windows.last.tolist())
    assert {162, 192} <= set(windows.last.tolist())
    assert all(np.isfinite(windows.features[name]).all() for name in (*INDICATORS, "volatility"))


def test_cut_windows_never_uses_an_indicator_in_its_warm_up():
    data = DataConfig(warm_up=0, periods=IndicatorPeriods(sma=150))
    windows = cut(data)
    assert windows.last[0] == 149
    assert windows.undefined == 149 - 9


@pytest.mark.parametrize("days", [1, 50, 110, 119])
def test_cut_windows_gives_none_for_a_short_history(days):
    assert len(cut(DataConfig(), frame=bars().head(days))) == 0


def test_cut_windows_gives_one_for_just_enough_history():
    assert len(cut(DataConfig(), frame=bars().head(120))) == 1


def test_fit_scale_uses_the_bars_before_validation_alone():
    frame, data = bars(), DataConfig(normalisation="standard")
    start = frame[DATE].to_numpy()[200]
    scale = fit_scale(frame, start, data)
    closes = frame[CLOSE].to_numpy()
    assert scale == Scale(closes[:200].mean(), closes[:200].std())
    changed = frame.assign(close=np.where(np.arange(DAYS) < 200, closes, 1e6))
    assert fit_scale(changed, start, data) == scale


def test_fit_scale_refuses_a_stock_without_training_bars():
    frame = bars()
    with pytest.raises(DataError, match="no two different closes before 2018-01-02"):
        fit_scale(frame, np.datetime64("2018-01-02"), DataConfig(normalisation="standard"))
    with pytest.raises(DataError, match="no two different closes"):
        fit_scale(frame.assign(close=5.0), np.datetime64("2018-12-02"), DataConfig(normalisation="standard"))


def test_split_dates_takes_shares_of_the_union_of_all_calendars():
    days = np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]")
    assert len(days) == 100
    dates = split_dates([days[:60], days[40:], days[::7]], DataConfig(train_share=0.7, val_share=0.1))
    assert (dates.val_start, dates.test_start) == (days[70], days[80])


def test_split_dates_takes_the_dates_given():
    data = DataConfig(val_start="2020-02-01", test_start="2020-03-01")
    dates = split_dates([np.array(["2020-01-01"], dtype="datetime64[D]")], data)
    assert (str(dates.val_start), str(dates.test_start)) == ("2020-02-01", "2020-03-01")


@pytest.mark.parametrize("text", ["01/02/2020", "2019", "2020-01", "2020-02-30", "NaT"])
def test_split_dates_refuses_what_is_no_date(text):
    data = DataConfig(val_start="2000-01-01", test_start="2020-03-01").model_copy(update={"val_start": text})
    with pytest.raises(ConfigError, match=rf"data\.val_start: '{text}' is not a date"):
        split_dates([np.array(["2020-01-01"], dtype="datetime64[D]")], data)


def test_share_bounds_is_not_moved_by_binary_rounding():
    for days in range(10, 3000, 10):
        assert share_bounds(days, DataConfig(train_share=0.7, val_share=0.1)) == (days * 7 // 10, days * 8 // 10)


@pytest.mark.parametrize("stride", [1, 4])
def test_members_puts_whole_windows_with_targets_into_each_part(stride):
    data = DataConfig(stride=stride)
    windows = cut(data)
    dates = split_dates([bars()[DATE].to_numpy()], data)
    parts = members(windows, dates)
    for row in range(len(windows)):
        start, end = windows.context_start[row], windows.target_end[row]
        expected = {"full"}
        if end < dates.val_start:
            expected.add("train")
        if start >= dates.val_start and end < dates.test_start:
            expected.add("val")
        if start >= dates.test_start:
            expected.add("test")
        found = {name for name, piece in parts.items() if row in range(*piece.indices(len(windows)))}
        assert found == expected, row
    assert all(len(range(*parts[name].indices(len(windows)))) for name in ("train", "val", "test"))


def test_members_gives_empty_parts_to_a_stock_outside_of_them():
    windows = cut(DataConfig())
    before, after = np.datetime64("2000-01-03"), np.datetime64("2001-01-03")
    parts = members(windows, split_dates([], DataConfig(val_start=str(before), test_start=str(after))))
    sizes = {name: len(range(*piece.indices(len(windows)))) for name, piece in parts.items()}
    assert sizes == {"train": 0, "val": 0, "test": len(windows), "full": len(windows)}
