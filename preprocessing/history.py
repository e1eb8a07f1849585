"""Computes how many bars the settings need, and explains what to do where there are too few."""

from collections.abc import Mapping, Sequence

import numpy as np

from preprocessing.indicators import defined_from
from preprocessing.ohlcv import Bars
from preprocessing.splits import SplitDates, share_bounds
from preprocessing.windows import still_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.brief import first_lines, first_names
from stonk_pipeline.schema import DATE


def require_windows(
    totals: Mapping[str, int], left_out: Mapping[str, str], market: Sequence[Bars], dates: SplitDates, data: DataConfig
) -> None:
    """Refuses a dataset that lacks one of its parts.

    Args:
        totals: part -> windows of all stocks.
        left_out: stock -> why it gives none.
        market: all bars that were read.
        dates: the split.
        data: window, horizon, warm-up, periods, shares.

    Raises:
        DataError: says which part has no window, and what helps.
    """
    missing = [name for name in ("train", "val", "test") if not totals[name]]
    if not missing:
        return
    reasons = first_lines([f"  {stock}: {reason}" for stock, reason in left_out.items()])
    stocks = first_names([bars.stock for bars in market])
    raise DataError(
        f"{stocks}: no window in the {' and '.join(missing)} part of the split; {_remedy(market, dates, data)}"
        + ("\n" + reasons if reasons else "")
    )


def _remedy(market: Sequence[Bars], dates: SplitDates, data: DataConfig) -> str:
    still = next((said for bars in market if (said := standing_still(bars, data))), None)
    if data.fold is not None:
        return f"give more history or fewer folds (this is fold {data.fold} of {data.folds})"
    if data.val_start:
        remedy = (
            f"move data.val_start ({dates.val_start}) or data.test_start ({dates.test_start}), or give more history"
        )
        return f"{remedy}; {still}" if still else remedy
    needed = days_needed(data)
    days = len(np.unique(np.concatenate([bars.frame[DATE].to_numpy() for bars in market])))
    longest = max(len(bars.frame) for bars in market)
    if still and longest >= needed:
        return f"{still}: give bars that move, or move the split by data.val_start and data.test_start"
    if days >= needed > longest:
        return f"give at least {needed} bars of one stock within these dates (the longest has {longest})"
    return f"give at least {needed} bars (the longest calendar here has {days}), or lower {_longest_setting(data)}"


def standing_still(bars: Bars, data: DataConfig) -> str | None:
    """Says on how many days closes stood still for so long that no indicator is defined; None if on none."""
    still = still_bars(bars.frame, data)
    if not still.any():
        return None
    first = bars.frame[DATE].iloc[int(still.argmax())].date()
    return (
        f"on {still.sum()} days, the first of them {first}, the closes of {bars.stock} have stood still for "
        f"{data.volatility_window} bars, and indicators are not defined"
    )


def days_needed(data: DataConfig) -> int:
    """Computes the fewest bars of a stock that give each part of the split a window."""
    train = first_row(data) + data.window + data.horizon
    # Windows start every `stride` bars, so the first one of a part may start that much later.
    later = data.window + data.horizon + data.stride - 1
    shares = data.train_share, data.val_share, 1 - data.train_share - data.val_share
    # Rounding can give a part one day more than its share.
    days = int(max(train / shares[0], (later - 1) / shares[1], (later - 1) / shares[2]))
    while True:
        val, test = share_bounds(days, data)
        if val >= train and test - val >= later and days - test >= later:
            return days
        days += 1


def first_row(data: DataConfig) -> int:
    """Counts the bars before the first window: the warm-up, or more where a period is longer."""
    return max(data.warm_up, max(_look_backs(data).values()) - data.window + 1)


def _look_backs(data: DataConfig) -> dict[str, int]:
    """Setting, as it is written in a recipe -> first row on which what it sets is defined."""
    periods = {f"data.periods.{name}": row for name, row in defined_from(data.periods).items()}
    return periods | {"data.volatility_window": data.volatility_window}


def _longest_setting(data: DataConfig) -> str:
    """The setting that asks for the most history, with its value."""
    rows = _look_backs(data)
    name = max(rows, key=lambda key: rows[key])
    if data.warm_up >= rows[name] - data.window + 1:
        return "data.warm_up"
    short = name.removeprefix("data.periods.")
    value = data.volatility_window if short == name else getattr(data.periods, short)
    return f"{name} ({value})"
