"""The back-test against hand-made days, and the deflated Sharpe ratio against its published example."""

import numpy as np
import pytest

from stonk_pipeline.evaluation.backtest import deflated_sharpe, positions_of, sharpe, trade

DAYS = [[f"2024-01-0{day}" for day in (1, 2, 3)]]


def test_trade_enters_at_the_next_close_and_pays_on_entry_and_exit():
    result = trade(np.array([0.5]), np.array([[110.0, 121.0, 108.9]]), DAYS, cost=0.001)
    # The move from 100 to 110 comes before the entry and earns nothing.
    assert result.daily == pytest.approx((0.0, 0.5 * 0.1 - 0.0005, 0.5 * -0.1 - 0.0005))
    assert result.total_return == pytest.approx((1 + 0.0495) * (1 - 0.0505) - 1)
    assert result.drawdown == pytest.approx(0.0505)
    assert result.turnover == pytest.approx((0.5 + 0.5) / 3)
    assert result.dates == ("2024-01-01", "2024-01-02", "2024-01-03")


def test_trade_splits_capital_over_open_positions():
    truth = np.array([[100.0, 110.0, 110.0], [100.0, 100.0, 120.0]])
    result = trade(np.array([1.0, -1.0]), truth, DAYS * 2, cost=0.0)
    assert result.daily == pytest.approx((0.0, 0.05, -0.1))


def test_trade_does_not_look_at_what_comes_after_a_day():
    rng = np.random.default_rng(0)
    dates = [f"2024-01-{day:02d}" for day in range(1, 29)]
    days = [dates[start : start + 4] for start in range(20)]
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (20, 4)), axis=1))
    before = trade(np.ones(20), closes, days, 0.001).daily
    poisoned = closes.copy()
    poisoned[10:] *= 7
    poisoned[10:, 1:] *= 3
    after = trade(np.ones(20), poisoned, days, 0.001).daily
    assert after[:11] == before[:11]  # the first poisoned position earns from the 12th day on


def test_sharpe_of_nothing_is_zero():
    assert sharpe(np.zeros(10)) == 0.0
    assert deflated_sharpe(np.zeros(10), 5, 0.1) == 0.5


def test_deflated_sharpe_equals_the_published_example():
    # Bailey and Lopez de Prado 2014: an annual Sharpe ratio of 2.5 over 1,250 days, skewness -3, kurtosis 10, found in
    # 100 trials whose annual Sharpe ratios vary by 1/2, has a deflated Sharpe ratio of about 0.90.
    from scipy.stats import norm

    own, expected = 2.5 / np.sqrt(250), np.sqrt(0.5 / 250)
    euler = 0.5772156649015329
    best = expected * ((1 - euler) * norm.ppf(1 - 1 / 100) + euler * norm.ppf(1 - 1 / (100 * np.e)))
    published = norm.cdf((own - best) * np.sqrt(1249) / np.sqrt(1 + 3 * own + 9 / 4 * own**2))
    assert published == pytest.approx(0.90, abs=0.005)
    # The same function on returns with these moments: normal ones first, for which the formula is short.
    returns = np.random.default_rng(1).normal(0.0012, 0.01, 1250)
    ratio = sharpe(returns)
    plain = norm.cdf(ratio * np.sqrt(1249) / np.sqrt(1 + ratio**2 / 2))
    assert deflated_sharpe(returns, 1, 0.0) == pytest.approx(plain, abs=0.01)
    assert deflated_sharpe(returns, 100, float(expected)) < deflated_sharpe(returns, 2, float(expected)) < plain


def test_positions_are_moves_in_spreads_cut_at_one():
    forecast = np.array([[100.0, 101.0], [100.0, 90.0], [100.0, 100.0]])
    assert positions_of(forecast, np.array([4.0, 4.0, 4.0])).tolist() == [0.25, -1.0, 0.0]
