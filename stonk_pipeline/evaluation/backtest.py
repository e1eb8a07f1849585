"""Back-tests trading on the forecasts, after costs, beside holding the same stocks.

A plain rule, no optimisation: a forecast decided at a close is traded at the *next* close, in proportion to the
expected move in volatilities (at most fully long or short), and closed at the horizon. Capital is split evenly over the
positions that are open on a day. Costs are paid on entry and on exit, `cost_bps` plus `slippage_bps` each.

Overlapping windows of correlated stocks are few independent bets, and a test part is one stretch of history; the
deflated Sharpe ratio says how likely a true Sharpe ratio above zero is, given how many models were tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.periods import A_YEAR, TRADING_DAY

EULER = 0.5772156649015329


@dataclass(frozen=True)
class Trading:
    """Result of a back-test over T days."""

    dates: tuple[str, ...]
    """ISO, (T,)."""
    equity: tuple[float, ...]
    """Growth of 1, after each day, (T,)."""
    daily: tuple[float, ...]
    """Returns, (T,)."""
    total_return: float
    sharpe: float
    """Annualised, of daily returns, without a risk-free rate; 0 where nothing moves."""
    drawdown: float
    """Largest loss from a peak, as a share of the peak."""
    turnover: float
    """Mean traded share of capital a day, entries and exits together."""


def trade(
    positions: Floats, truth: Floats, days: Sequence[Sequence[str]], cost: float, a_year: int = A_YEAR[TRADING_DAY]
) -> Trading:
    """Back-tests holding each window's position from the first to the last day ahead.

    Args:
        positions: (N,) between -1 (short) and 1 (long), decided on the day before the first day ahead.
        truth: (N, H) closes, in percent of the close at the decision.
        days: N sequences of the H dates ahead (ISO).
        cost: of each entry and each exit, as a share of what is traded.
        a_year: bars a year, to annualise.

    Returns:
        Daily returns over all dates on which a position can be held.
    """
    horizon = truth.shape[1]
    calendar = sorted({day for of_window in days for day in of_window})
    place = {day: index for index, day in enumerate(calendar)}
    pnl, held, traded = np.zeros(len(calendar)), np.zeros(len(calendar)), np.zeros(len(calendar))
    for position, closes, of_window in zip(positions, truth, days, strict=True):
        rows = [place[day] for day in of_window]
        moves = closes[1:] / closes[:-1] - 1.0
        for day in range(1, horizon):
            pnl[rows[day]] += position * moves[day - 1]
        np.add.at(held, rows[1:], 1.0)
        pnl[rows[1]] -= cost * abs(position)  # entered at the first close ahead, charged on the first day it is held
        pnl[rows[-1]] -= cost * abs(position)
        traded[rows[1]] += abs(position)
        traded[rows[-1]] += abs(position)
    daily = pnl / np.maximum(held, 1.0)
    equity = np.cumprod(1.0 + daily)
    peaks = np.maximum.accumulate(np.append(1.0, equity))[1:]
    return Trading(
        dates=tuple(calendar),
        equity=tuple(float(value) for value in equity),
        daily=tuple(float(value) for value in daily),
        total_return=float(equity[-1] - 1.0),
        sharpe=sharpe(daily) * float(np.sqrt(a_year)),
        drawdown=float(np.max(1.0 - equity / peaks)),
        turnover=float(np.mean(traded / np.maximum(held, 1.0))),
    )


def sharpe(returns: Floats) -> float:
    """Computes mean over standard deviation of daily returns; 0 where nothing moves."""
    spread = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    return float(np.mean(returns)) / spread if spread > 0 else 0.0


def deflated_sharpe(returns: Floats, trials: int, spread_of_trials: float) -> float:
    """Computes the probability that the true Sharpe ratio beats the best of so many unskilled trials.

    Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", 2014, equations 1 and 2; non-normal returns are allowed for.

    Args:
        returns: (T,) daily returns.
        trials: independent strategies that were tried; 1 gives the probabilistic Sharpe ratio against 0.
        spread_of_trials: standard deviation of the trials' daily Sharpe ratios.
    """
    from scipy.stats import kurtosis, norm, skew

    count = len(returns)
    if count < 3 or np.ptp(returns) == 0:
        return 0.5
    own = sharpe(returns)
    expected = 0.0
    if trials > 1:
        best = (1 - EULER) * norm.ppf(1 - 1 / trials) + EULER * norm.ppf(1 - 1 / (trials * np.e))
        expected = spread_of_trials * float(best)
    variance = 1 - float(skew(returns)) * own + (float(kurtosis(returns, fisher=False)) - 1) / 4 * own**2
    return float(norm.cdf((own - expected) * np.sqrt(count - 1) / np.sqrt(max(variance, 1e-12))))


def positions_of(forecast: Floats, spread: Floats) -> Floats:
    """Computes (N,) positions: the expected move to the last day in spreads of a random walk, cut at -1 and 1.

    Args:
        forecast: (N, H), percent of the last close.
        spread: (N,) deviation of a random walk's move over the horizon, in percent.
    """
    return np.clip((forecast[:, -1] - 100.0) / spread, -1.0, 1.0)
