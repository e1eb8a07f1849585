"""The generated market: what can be known about it, and what cannot."""

import numpy as np
import pandas as pd
import pytest

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.market import bars as market
from stonk_pipeline.market.bars import DECAY, MOMENTUM, REVERSION, best_possible, generate
from stonk_pipeline.schema import BAR_COLUMNS

HORIZON, FIRST = 10, 100
"""Days ahead; rows before the first are the warm-up, in which the 50-day mean forgets its start."""
MANY = MarketConfig(tickers=60)


@pytest.fixture(scope="module")
def predictable():
    return generate(MANY)


@pytest.fixture(scope="module")
def walk():
    return generate(MANY.model_copy(update={"kind": "random_walk"}))


def closes(bars):
    """(days, tickers)"""
    return np.column_stack([frame["close"].to_numpy() for frame in bars.values()])


def log_returns(bars):
    return np.diff(np.log(closes(bars)), axis=0)


def errors(bars, config):
    """Mean errors of the best possible forecast and of persistence, as shares of the last close."""
    own = flat = 0.0
    for frame in bars.values():
        close = frame["close"].to_numpy()
        rows = np.arange(FIRST, len(close) - HORIZON)
        truth = close[rows[:, None] + np.arange(1, HORIZON + 1)]
        best = best_possible(frame, config, HORIZON)[rows]
        own += (np.abs(best - truth) / close[rows, None]).mean()
        flat += (np.abs(close[rows, None] - truth) / close[rows, None]).mean()
    return own / len(bars), flat / len(bars)


def test_generate_gives_the_same_bars_for_the_same_settings():
    config = MarketConfig(tickers=3, days=300)
    one, again = generate(config), generate(MarketConfig(tickers=3, days=300))
    assert list(one) == ["SIM01", "SIM02", "SIM03"]
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, again[name], check_exact=True)
    other = generate(config.model_copy(update={"seed": 8}))
    assert not np.array_equal(one["SIM01"]["close"], other["SIM01"]["close"])


@pytest.mark.parametrize("kind", ["predictable", "random_walk"])
def test_generate_gives_bars_that_could_be_real(kind, predictable, walk):
    bars = {"predictable": predictable, "random_walk": walk}[kind]
    assert len(bars) == MANY.tickers
    for frame in bars.values():
        assert tuple(frame.columns) == BAR_COLUMNS
        assert len(frame) == MANY.days
        assert frame.index.equals(pd.RangeIndex(MANY.days))
        numbers = frame.drop(columns="date")
        assert (numbers.dtypes == np.float64).all()
        assert np.isfinite(numbers).all(axis=None)
        assert (numbers > 0).all(axis=None)
        assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
        assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()
        assert frame["date"].is_monotonic_increasing
        assert frame["date"].is_unique
        assert (frame["date"].dt.dayofweek < 5).all()
        assert np.array_equal(numbers.drop(columns="volume"), numbers.drop(columns="volume").round(4))
    assert len({tuple(frame["date"]) for frame in bars.values()}) == 1


def test_generate_gives_the_long_run_volatility_of_the_settings(walk):
    assert log_returns(walk).std() == pytest.approx(MANY.daily_sd, rel=0.05)
    wild = generate(MarketConfig(kind="random_walk", tickers=20, daily_sd=0.03))
    assert log_returns(wild).std() == pytest.approx(0.03, rel=0.1)


def test_generate_gives_volatility_in_clusters(walk):
    size = np.abs(log_returns(walk))
    neighbours = [np.corrcoef(size[1:, column], size[:-1, column])[0, 1] for column in range(size.shape[1])]
    assert np.mean(neighbours) > 0.08


def test_generate_gives_the_twin_the_same_shocks(predictable, walk):
    """What is left of the returns when the documented process is taken out of them are the twin's returns."""
    log_close = np.log(closes(predictable))
    returns = np.diff(log_close, axis=0)
    mean = pd.DataFrame(log_close).ewm(span=market.MEAN_SPAN, adjust=False).mean().to_numpy()
    deviation = (log_close - mean)[:-1]
    assert deviation[1:] == pytest.approx(DECAY * (deviation[:-1] + returns[:-1]), abs=1e-12)
    shocks = returns[1:] - MOMENTUM * returns[:-1] + REVERSION * deviation[1:]
    late = slice(2 * FIRST, None)
    assert shocks[late] == pytest.approx(log_returns(walk)[1:][late], abs=2e-4)  # prices have four decimals
    assert shocks[late].std() == pytest.approx(log_returns(walk)[1:][late].std(), rel=1e-3)


def robust_z(returns, lag):
    """Each ticker's autocovariance in units of its own standard error, which changing volatility does not distort."""
    products = returns[lag:] * returns[:-lag]
    return products.sum(axis=0) / np.sqrt(np.square(products).sum(axis=0))


@pytest.mark.parametrize("lag", [1, 2, 5, 10])
def test_random_walk_has_no_autocorrelation(walk, lag):
    z = robust_z(log_returns(walk), lag)
    assert np.abs(z).max() < 4
    assert abs(z.mean()) < 0.6  # shocks on one day are related, so the mean of 60 is no better than that of a few


def test_predictable_market_has_momentum_and_reversion(predictable):
    returns = log_returns(predictable)
    assert robust_z(returns, 1).mean() > 2
    moves = np.log(closes(predictable))[::HORIZON]
    assert robust_z(np.diff(moves, axis=0), 1).mean() < -2


def test_random_walk_is_best_forecast_by_persistence(walk):
    config = MANY.model_copy(update={"kind": "random_walk"})
    frame = walk["SIM01"]
    best = best_possible(frame, config, 3)
    assert np.array_equal(best, np.repeat(frame["close"].to_numpy()[:, None], 3, axis=1))


@pytest.mark.parametrize("seed", [7, 8])
def test_best_possible_has_the_attainable_skill(predictable, seed):
    config = MANY.model_copy(update={"seed": seed})
    own, flat = errors(predictable if seed == 7 else generate(config), config)
    assert 0.15 < 1 - own / flat < 0.27


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, getattr(market, name) + step) for name in ("MOMENTUM", "REVERSION") for step in (-0.15, 0.15)],
)
def test_best_possible_beats_its_neighbours(predictable, monkeypatch, name, value):
    best, _ = errors(predictable, MANY)
    monkeypatch.setattr(market, name, value)
    neighbour, _ = errors(predictable, MANY)
    assert best < neighbour


def test_best_possible_beats_its_own_path_moved_up_or_down(predictable):
    """The median of what may come: neither higher nor lower is better, and so no drift is left."""
    above = below = count = 0
    for frame in predictable.values():
        close = frame["close"].to_numpy()
        rows = np.arange(FIRST, len(close) - HORIZON)
        gap = close[rows + HORIZON] - best_possible(frame, MANY, HORIZON)[rows, -1]
        above, below, count = above + (gap > 0).sum(), below + (gap < 0).sum(), count + len(rows)
    assert above / count == pytest.approx(0.5, abs=0.03)
    assert below / count == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rows", [1, 2, 50, 333])
def test_best_possible_knows_no_future(predictable, rows):
    frame = predictable["SIM05"]
    whole = best_possible(frame, MANY, HORIZON)
    assert whole.shape == (MANY.days, HORIZON)
    assert np.array_equal(best_possible(frame.iloc[:rows], MANY, HORIZON), whole[:rows])
    garbage = frame.assign(close=frame["close"].where(frame.index < rows, 1e6))
    assert np.array_equal(best_possible(garbage, MANY, HORIZON)[:rows], whole[:rows])


def test_best_possible_of_a_shorter_horizon_is_the_beginning_of_a_longer(predictable):
    frame = predictable["SIM05"]
    assert np.array_equal(best_possible(frame, MANY, 3), best_possible(frame, MANY, HORIZON)[:, :3])
