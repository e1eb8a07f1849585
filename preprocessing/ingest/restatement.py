"""Compares new bars with known ones: which days are added, unchanged, or restated by the source."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stonk_pipeline.errors import DataError
from stonk_pipeline.records.ingests import Restatement
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

PRICES = [OPEN, HIGH, LOW, CLOSE]
VOLUME_ROUNDING = 0.01
"""Largest relative difference between two volumes that counts as none: exchanges go on counting after the close."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The days that new bars add, confirm or restate."""

    added: int
    """Bars after the last known one."""
    unchanged: int
    restated: Restatement | None
    changed: frozenset[pd.Timestamp]
    """Days whose bar differs, came in between, or is gone."""


def compare(known: pd.DataFrame | None, new: pd.DataFrame, rounding: float) -> Comparison:
    """Compares new bars with known ones and tells new days from restated ones.

    Args:
        known: bars of the store, oldest first, `schema.BAR_COLUMNS`; None: the stock is new.
        new: bars of the source; may begin later than the known ones.
        rounding: largest relative difference of two prices that is none.
    """
    if known is None:
        return Comparison(len(new), 0, None, frozenset())
    if new.empty:
        return Comparison(0, 0, None, frozenset())
    last, first = known[DATE].iloc[-1], new[DATE].iloc[0]
    both = known.merge(new, on=DATE, how="outer", suffixes=("_old", "_new"), indicator="side")
    both = both[(both[DATE] >= first) & (both[DATE] <= min(last, new[DATE].iloc[-1]))]
    old, fresh = (both[[f"{name}_{which}" for name in PRICES]].to_numpy(dtype=float) for which in ("old", "new"))
    volumes = [both[f"{VOLUME}_{which}"].to_numpy(dtype=float) for which in ("old", "new")]
    one_sided = (both["side"] != "both").to_numpy()
    prices_differ = ~one_sided & (np.abs(fresh / old - 1) > rounding).any(axis=1)
    volumes_differ = ~one_sided & (np.abs(volumes[1] - volumes[0]) > VOLUME_ROUNDING * np.maximum(*volumes))
    differ = one_sided | prices_differ | volumes_differ
    days = both[DATE][differ]
    restated = None
    if differ.any():
        ratio = None if one_sided.any() else _common_ratio(fresh / old, prices_differ, rounding)
        restated = Restatement(
            kind="corrected" if ratio is None else "scaled",
            rows=len(days),
            first=str(days.iloc[0].date()),
            last=str(days.iloc[-1].date()),
            ratio=ratio,
        )
    return Comparison(int((new[DATE] > last).sum()), int((~differ).sum()), restated, frozenset(days))


def _common_ratio(ratios: np.ndarray, differ: np.ndarray, rounding: float) -> float | None:
    """The factor of a split or a dividend: one for all prices of the first rows, two or more; None: there is none."""
    count = int(differ.sum())
    if count < 2 or not differ[:count].all():
        return None
    ratio = float(np.median(ratios[differ]))
    # Each of the two files was rounded.
    return ratio if (np.abs(ratios[differ] / ratio - 1) <= 2 * rounding).all() else None


def merged(known: pd.DataFrame | None, new: pd.DataFrame, found: Comparison, symbol: str) -> pd.DataFrame:
    """Merges known and new bars, oldest first. Bars that differ by rounding alone stay as they are known.

    Raises:
        DataError: the restated bars begin where the source's do, so that those before them may be of another scale.
    """
    if known is None or new.empty:
        return new if known is None else known
    first = new[DATE].iloc[0]
    earlier = (known[DATE] < first).to_numpy()
    if first in found.changed and earlier.any():
        raise DataError(
            f"{symbol}: history was restated from the source's first day on ({found.restated}), and the "
            f"{earlier.sum()} bars before {first.date()} may be on another scale; have the source give all its history"
        )
    keep = known[~known[DATE].isin(found.changed)]
    fresh = new[new[DATE].isin(found.changed) | (new[DATE] > known[DATE].iloc[-1])]
    frame = pd.concat([keep, fresh]) if len(fresh) else keep
    return frame.sort_values(DATE).reset_index(drop=True)[list(BAR_COLUMNS)]
