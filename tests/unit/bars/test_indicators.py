"""Indicators: equal to `ta`, causal, and undefined rather than wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ta.trend import ADXIndicator, CCIIndicator

from preprocessing.indicators import add_indicators, adx, cci, defined_from
from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig, IndicatorPeriods, MarketConfig
from stonk_pipeline.market.bars import generate
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, HIGH, INDICATORS, LOW

STOCKNET = Path("../shared/data/stocknet/prices")
FIRST_DEFINED = {
    "sma": 19,
    "ema": 49,
    "mom": 10,
    "stoch_k": 13,
    "stoch_d": 15,
    "rsi": 13,
    "macd": 25,
    "willr": 13,
    "cci": 19,
    "adx": 27,
    "bbands_upper": 19,
    "bbands_middle": 19,
    "bbands_lower": 19,
}


def bars(days: int = 300, seed: int = 1) -> pd.DataFrame:
    return generate(MarketConfig(tickers=1, days=max(days, 300), seed=seed))["SIM01"].head(days)


def flat(days: int, price: float = 33.3) -> pd.DataFrame:
    frame = bars(days)
    return frame.assign(**{name: price for name in ("open", HIGH, LOW, CLOSE)})


@pytest.mark.parametrize("period", [2, 5, 14, 20])
def test_cci_equals_ta(period):
    frame = bars()
    theirs = CCIIndicator(frame[HIGH], frame[LOW], frame[CLOSE], window=period).cci()
    np.testing.assert_allclose(cci(frame[HIGH], frame[LOW], frame[CLOSE], period), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", [2, 5, 14, 20])
def test_adx_equals_ta_after_its_zeros(period):
    frame = bars()
    theirs = ADXIndicator(frame[HIGH], frame[LOW], frame[CLOSE], window=period).adx().to_numpy()
    ours = adx(frame[HIGH], frame[LOW], frame[CLOSE], period)
    start = 2 * period - 1
    np.testing.assert_allclose(ours[start:], theirs[start:], rtol=1e-9, atol=1e-9)
    assert np.isnan(ours[:start]).all()
    assert (theirs[:start] == 0).all()


@pytest.mark.skipif(not STOCKNET.is_dir(), reason=f"no real bars in {STOCKNET}")
@pytest.mark.parametrize("stock", ["AAPL", "BRK-A", "GMRE"])
def test_cci_and_adx_equal_ta_on_real_bars(stock):
    frame = read_bars(STOCKNET / f"{stock}.csv", DataConfig()).frame
    series = frame[HIGH], frame[LOW], frame[CLOSE]
    np.testing.assert_allclose(cci(*series, 20), CCIIndicator(*series, window=20).cci(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(adx(*series, 14)[27:], ADXIndicator(*series, window=14).adx()[27:], rtol=1e-9, atol=1e-9)


def test_adx_equals_ta_where_prices_stand_still_for_a_while():
    frame = pd.concat([bars(60), flat(40, 90.0), bars(60, seed=2)], ignore_index=True)
    series = frame[HIGH], frame[LOW], frame[CLOSE]
    np.testing.assert_allclose(adx(*series, 14)[27:], ADXIndicator(*series, window=14).adx()[27:], rtol=1e-9, atol=1e-9)


def test_add_indicators_follows_the_formulas():
    frame = bars()
    out = add_indicators(frame, IndicatorPeriods()).iloc[-1]
    close, high, low = (frame[name].to_numpy() for name in (CLOSE, HIGH, LOW))
    top, bottom = high[-14:].max(), low[-14:].min()
    expected = {
        "sma": close[-20:].mean(),
        "mom": close[-1] - close[-11],
        "stoch_k": 100 * (close[-1] - bottom) / (top - bottom),
        "willr": -100 * (top - close[-1]) / (top - bottom),
        "bbands_upper": close[-20:].mean() + 2 * close[-20:].std(),
        "bbands_middle": close[-20:].mean(),
        "bbands_lower": close[-20:].mean() - 2 * close[-20:].std(),
    }
    for name, value in expected.items():
        assert out[name] == pytest.approx(value, rel=1e-9), name
    assert frame[CLOSE].ewm(span=50, adjust=False).mean().iloc[-1] == pytest.approx(out["ema"])
    fast, slow = (frame[CLOSE].ewm(span=span, adjust=False).mean().iloc[-1] for span in (12, 26))
    assert out["macd"] == pytest.approx(fast - slow)


def test_add_indicators_heeds_every_period():
    frame = bars()
    usual = add_indicators(frame, IndicatorPeriods())
    other = IndicatorPeriods(
        sma=7, ema=9, mom=3, stoch=5, stoch_smooth=2, rsi=6, macd_fast=4, willr=8, cci=11, adx=6, bbands=9
    )
    changed = add_indicators(frame, other)
    for name in INDICATORS:
        assert not np.isclose(usual[name].iloc[-1], changed[name].iloc[-1]), name
    wide = add_indicators(frame, IndicatorPeriods(bbands_width=3.0))
    assert (wide["bbands_upper"] > usual["bbands_upper"]).iloc[30:].all()


def test_add_indicators_is_undefined_in_the_warm_up_and_only_there():
    out = add_indicators(bars(), IndicatorPeriods())
    assert {name: int(out[name].first_valid_index()) for name in INDICATORS} == FIRST_DEFINED
    for name, first in FIRST_DEFINED.items():
        assert out[name].iloc[first:].notna().all(), name


@pytest.mark.parametrize(
    "periods",
    [{}, {"sma": 60}, {"mom": 70}, {"adx": 40}, {"stoch": 60, "stoch_smooth": 9}, {"ema": 5, "macd_slow": 55}],
)
def test_defined_from_ends_at_the_first_row_with_all_indicators(periods):
    settings = IndicatorPeriods(**periods)
    whole = add_indicators(bars(), settings)[list(INDICATORS)].notna().all(axis=1)
    first = max(defined_from(settings).values())
    assert first == int(whole.idxmax())
    assert whole.iloc[first:].all()


def test_add_indicators_keeps_the_bars_and_changes_nothing_in_place():
    frame = bars()
    before = frame.copy()
    out = add_indicators(frame, IndicatorPeriods())
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(out[list(BAR_COLUMNS)], before.reset_index(drop=True))
    assert tuple(out.columns) == (*BAR_COLUMNS, *INDICATORS)


def test_add_indicators_does_not_depend_on_the_index():
    frame = bars()
    dated = frame.set_axis(pd.DatetimeIndex(frame["date"]), axis=0)
    shifted = frame.set_axis(np.arange(len(frame))[::-1], axis=0)
    expected = add_indicators(frame, IndicatorPeriods())
    for other in (dated, shifted):
        pd.testing.assert_frame_equal(add_indicators(other, IndicatorPeriods()), expected)


@pytest.mark.parametrize("days", [1, 2, 13, 14, 15, 20, 27, 28, 29, 50])
def test_add_indicators_accepts_short_histories(days):
    out = add_indicators(bars(days), IndicatorPeriods())
    assert len(out) == days
    for name, first in FIRST_DEFINED.items():
        assert out[name].isna().sum() == min(first, days), name


def test_add_indicators_is_undefined_where_no_price_changes():
    out = add_indicators(flat(120), IndicatorPeriods()).iloc[60:]
    for name in ("stoch_k", "stoch_d", "willr", "cci"):
        assert out[name].isna().all(), name
    assert out["sma"].to_numpy() == pytest.approx(33.3)
    assert (out["adx"] == 0).all()
    assert not np.isinf(out[list(INDICATORS)].to_numpy()).any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 299))
def test_add_indicators_of_a_beginning_equals_the_beginning_of_all(seed, cut):
    frame = bars(seed=seed)
    whole = add_indicators(frame, IndicatorPeriods())[list(INDICATORS)].to_numpy()
    part = add_indicators(frame.head(cut), IndicatorPeriods())[list(INDICATORS)].to_numpy()
    np.testing.assert_allclose(part, whole[:cut], rtol=1e-12, atol=1e-12)
