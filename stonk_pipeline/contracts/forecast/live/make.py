"""Makes live forecasts: cuts each stock's last window, samples answers, and takes calibrated quantiles of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from preprocessing.latest import latest_windows
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.live.calendar import WEEKDAYS, sessions_from, usual_calendar, weeks_from
from stonk_pipeline.contracts.forecast.live.forecaster import Forecaster, generated
from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from stonk_pipeline.contracts.forecast.scores.calibrate import Calibration
from stonk_pipeline.errors import DataError
from stonk_pipeline.evaluation import conformal
from stonk_pipeline.evaluation.baselines import persistence
from stonk_pipeline.evaluation.metrics import Floats, fill_unreadable
from stonk_pipeline.evaluation.quantiles import LEVELS, quantiles_of
from stonk_pipeline.files.brief import first_lines
from stonk_pipeline.periods import WEEK, noun
from stonk_pipeline.records.forward_log import Forecasted
from stonk_pipeline.runs.manifest import Progress, json_digest
from stonk_pipeline.schema import CLOSE, DATE, Window


class Made(NamedTuple):
    """A forecast with what it was made from."""

    forecast: Forecasted
    closes: pd.Series
    """Closes up to the last bar, by ISO date."""
    samples: Floats
    """(S, H) prices; an unreadable answer is the last close repeated."""
    texts: list[str]
    """The answers as the model wrote them."""


def make(
    forecaster: Forecaster, request: ForecastRequest, progress: Progress, now: datetime | None = None
) -> tuple[list[Made], dict[str, str]]:
    """Forecasts every stock of a forecaster's settings.

    Args:
        forecaster: the model, and which bars to read.
        request: samples, seed and calendar.
        progress: receives the windows answered so far.
        now: the time; the clock's, if not given.

    Returns:
        (forecasts, symbol -> why it has none)

    Raises:
        DataError: no stock can be forecast: bars cannot be used, or the last one is of a session that has not ended.
    """
    config = forecaster.config
    horizon, asked = config.data.horizon, WEEKDAYS if generated(config) else request.calendar
    found, left_out = latest_windows(config.data, forecaster.scales)
    latest, days = [], []
    for each in found:
        try:
            days.append(_sessions(each.window, asked or usual_calendar(each.window.period), horizon, now))
            latest.append(each)
        except DataError as reason:
            left_out[each.window.stock] = str(reason)
    if not latest:
        raise DataError(first_lines(list(left_out.values())))
    windows = [each.window for each in latest]
    texts = _ask(forecaster, request, windows, progress)
    read = question.read_all(texts, windows, horizon)
    values, readable = fill_unreadable(read, persistence(windows, horizon))
    made = []
    for place, each in enumerate(latest):
        window = each.window
        prices = window.price_offset + window.price_unit * values[place]
        size = float(window.price_unit * window.volatility)
        dates = each.bars[DATE].dt.strftime("%Y-%m-%d")
        closes = pd.Series(each.bars[CLOSE].to_numpy(), index=dates.to_numpy())
        dated, first_close = days[place]
        content = Forecasted(
            stock=window.stock,
            model=forecaster.id,
            adapter_digest=forecaster.adapter_digest,
            base_model=config.model.name,
            data_digest=bars_digest(each.bars),
            last_bar=window.date,
            last_close=float(closes.iloc[-1]),
            calendar=asked or usual_calendar(window.period),
            targets=dated,
            first_close=first_close,
            answers=values.shape[1],
            readable=float(readable[place].mean()),
            levels=LEVELS,
            quantiles=tuple(tuple(row) for row in _quantiles(prices, size, forecaster.calibration).round(6).tolist()),
            volatility=round(100 * size / float(closes.iloc[-1]), 6),
            coverage=None if forecaster.calibration is None else forecaster.calibration.coverage,
            tested=None if forecaster.calibration is None else forecaster.calibration.tested,
        )
        made.append(Made(content, closes, prices, texts[place]))
    return made, left_out


def _quantiles(prices: Floats, size: float, calibration: Calibration | None) -> Floats:
    """The quantiles of (S, H) answers, (L, H): calibrated around their median, or their own.

    Args:
        prices: the answers.
        size: daily volatility in the unit of prices.
        calibration: of the model, or None.
    """
    if calibration is None:
        return quantiles_of(prices)
    ends = calibration.intervals(np.median(prices, axis=0)[None], np.array([size]))
    return np.maximum(conformal.quantiles(ends)[:, 0], 0.0)  # no price is below nothing


def bars_digest(bars: pd.DataFrame) -> str:
    """Computes the SHA-256 of clean bars, whatever file they were read from."""
    rows = bars.assign(**{DATE: bars[DATE].dt.strftime("%Y-%m-%d")})
    return json_digest({name: rows[name].tolist() for name in rows.columns})


def _sessions(window: Window, calendar: str, horizon: int, now: datetime | None) -> tuple[tuple[str, ...], str]:
    """(the dates ahead, when the first of them closes).

    Raises:
        DataError: the session of the last bar has not ended: its close is none yet.
    """
    find = weeks_from if window.period == WEEK else sessions_from
    own, ahead = find(calendar, window.date, horizon)
    if (now or datetime.now(UTC)) < own.close:
        raise DataError(
            f"{window.stock}: the bar of {window.date} is of a {noun(window.period)} that closes at "
            f"{own.close:%Y-%m-%d %H:%M} UTC; forecast after that, or leave the bar out"
        )
    return tuple(session.date for session in ahead), ahead[0].close.isoformat()


def _ask(
    forecaster: Forecaster, request: ForecastRequest, windows: Sequence[Any], progress: Progress
) -> list[list[str]]:
    from stonk_pipeline.contracts.forecast.scores.stage import ask_alone

    config = forecaster.config
    stage = config.comparison_stage()
    drawn = stage.comparison.model_copy(update={"samples": request.samples})
    stage = stage.model_copy(update={"comparison": drawn, "seed": request.seed})
    return ask_alone(
        stage,
        list(windows),
        config.data.horizon,
        forecaster.adapter,
        progress,
        purpose="forecast",
        wait_minutes=config.wait_minutes,
    )
