"""Back-tests every model, the strongest baseline and the best possible forecast beside holding the stocks."""

from collections.abc import Sequence

import numpy as np

from stonk_pipeline.contracts.forecast.scores.results import TradingRow
from stonk_pipeline.contracts.forecast.scores.scores import PERSISTENCE, Forecaster, Setting
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.backtest import Trading, deflated_sharpe, positions_of, sharpe, trade
from stonk_pipeline.periods import A_YEAR

HOLD = "hold"
"""Every window bought, whatever is forecast."""


def trade_all(
    forecasters: Sequence[Forecaster], setting: Setting, ahead: Sequence[Sequence[str]]
) -> tuple[tuple[TradingRow, ...], tuple[dict[str, str | float], ...]]:
    """Back-tests the median forecasts.

    Args:
        forecasters: models, baselines and perhaps the best possible forecast; of the baselines only the one with the
            smallest error is traded (persistence never trades).
        setting: windows, truth, costs.
        ahead: dates of each window's target (ISO).

    Returns:
        (a row each, one record a day: date and the growth of 1 of each).
    """
    horizon = setting.truth.shape[1]
    if horizon < 2:
        return (), ()
    spread = setting.volatility * np.sqrt(horizon)
    a_year = A_YEAR[setting.windows[0].period]
    cost = (setting.config.cost_bps + setting.config.slippage_bps) / 1e4
    results = {
        forecaster.name: trade(positions_of(forecaster.median, spread), setting.truth, ahead, cost, a_year)
        for forecaster in _traded(forecasters, setting)
    }
    models = [results[f.name] for f in forecasters if f.kind == "model"]
    results[HOLD] = trade(np.ones(len(spread)), setting.truth, ahead, cost, a_year)
    trials = setting.config.trials or len(models)
    spread_of_trials = (
        float(np.std([sharpe(np.array(result.daily)) for result in models], ddof=1)) if models[1:] else 0.0
    )
    rows = tuple(_row(name, result, trials, spread_of_trials) for name, result in results.items())
    days = results[HOLD].dates
    equity = tuple(
        {"date": day} | {name: result.equity[place] for name, result in results.items()}
        for place, day in enumerate(days)
    )
    return rows, equity


def _traded(forecasters: Sequence[Forecaster], setting: Setting) -> list[Forecaster]:
    baselines = [f for f in forecasters if f.kind == "baseline" and f.name != PERSISTENCE]
    strongest = min(baselines, key=lambda f: float(metrics.mae(f.median, setting.truth).mean()), default=None)
    return [f for f in forecasters if f.kind != "baseline" or f is strongest]


def _row(name: str, result: Trading, trials: int, spread_of_trials: float) -> TradingRow:
    return TradingRow(
        name=name,
        total_return=result.total_return,
        sharpe=result.sharpe,
        drawdown=result.drawdown,
        turnover=result.turnover,
        deflated_sharpe=deflated_sharpe(np.array(result.daily), trials, spread_of_trials),
    )
