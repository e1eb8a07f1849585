"""Reads forecasts that other programs made, from a CSV or Parquet file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from preprocessing.decision_days import decision_days
from stonk_pipeline.contracts.forecast.protocol import HORIZON
from stonk_pipeline.contracts.forecast.scores.matching import Key
from stonk_pipeline.errors import DataError
from stonk_pipeline.evaluation.metrics import Floats
from stonk_pipeline.files.tables import read_frame
from stonk_pipeline.files.untrusted import shown

MOST_PRICE = 1e12
COLUMNS = ("stock", "date", "values")
DAY = len("2018-01-02")
ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MIDNIGHT = re.compile(r"[T ]0?0:00(?::00(?:\.0+)?)?$")
MISSING = ("", "nan", "none", "null", "na", "<na>")
"""What stands for no forecast, in lower case."""
NUMPY = re.compile(r"np\.float(?:16|32|64)\(([^()]*)\)")
"""A number as Python writes a list of numpy's: `[np.float64(98.1), …]`."""


def medians(rows: Mapping[Key, Sequence[Floats]]) -> dict[Key, Floats]:
    """Reduces the rows of each window to one forecast: their median, day by day."""
    return {key: np.asarray(np.median(values, axis=0)) for key, values in rows.items()}


def read_rows(path: Path) -> dict[Key, list[Floats]]:
    """Reads every row of a file of forecasts.

    Args:
        path: columns `stock`, `date` (ISO, of the last known close) and `values` (a list of prices, in CSV written as
            `[101.2, 101.5, …]`); CSV may be packed (`.gz`, `.zip`).

    Returns:
        (stock, date) -> prices of each of its rows, (HORIZON,), in the order of the file. Dates with a time or a zone
        become those of the exchange, as `preprocessing.decision_days` finds them.

    Raises:
        DataError: names the file, and the column or the row.
    """
    frame = read_frame(path, "give a CSV or Parquet file with columns " + ", ".join(COLUMNS))
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; forecasts have {', '.join(COLUMNS)}")
    found: list[tuple[int, Key, Floats]] = []
    for row, (stock, date, values) in enumerate(frame[list(COLUMNS)].itertuples(index=False, name=None), start=1):
        prices = _prices(values)
        if prices is None:
            continue
        if prices.shape != (HORIZON,) or not ((prices >= 0) & (prices < MOST_PRICE)).all():
            what = f"values must be {HORIZON} prices, as in [101.2, 101.5, …], and are {shown(values, 60)!r}"
            raise DataError(f"{path}, row {row}: {what}")
        found.append((row, _key(stock, date, f"{path}, row {row}"), prices))
    if not found:
        raise DataError(f"{path}: there are no forecasts in it")
    first: dict[Key, int] = {}
    for row, key, _ in found:
        first.setdefault(key, row)
    days = _session_days(path, first)
    groups: dict[Key, list[Floats]] = {}
    for _, key, prices in found:
        groups.setdefault((key[0], days.get(key, key[1])), []).append(prices)
    return groups


def _session_days(path: Path, rows: Mapping[Key, int]) -> dict[Key, str]:
    """The session's date of each key whose date has a time or a zone behind it.

    Args:
        path: the file, for messages.
        rows: key -> its first row.
    """
    timed: dict[str, list[Key]] = {}
    for key in rows:
        if len(key[1]) > DAY and ISO.match(key[1]):
            timed.setdefault(key[0], []).append(key)
    if not timed:
        return {}
    return {
        key: day
        for keys in timed.values()
        for key, day in zip(
            keys, decision_days(path, [rows[key] for key in keys], [key[1] for key in keys]), strict=True
        )
    }


def _key(stock: object, date: object, place: str) -> Key:
    if not isinstance(stock, str) or not stock.strip() or not stock.isprintable():
        raise DataError(f"{place}: stock is no text ({type(stock).__name__}) or empty; write a symbol, as a text")
    try:
        day = date if isinstance(date, str) else date.isoformat()  # type: ignore[attr-defined]
    except (AttributeError, ValueError, NotImplementedError):  # the last: a time that pandas holds and Python does not
        day = ""
    if len(day) < DAY or not day.isprintable():
        raise DataError(f"{place}: date is {shown(day or type(date).__name__, 40)!r}; write it as 2018-01-02")
    return stock.strip().upper(), MIDNIGHT.sub("", day.strip())


def _prices(values: object) -> Floats | None:
    """Prices of one row; None where there is no forecast."""
    if values is None or (isinstance(values, float) and np.isnan(values)):
        return None
    if isinstance(values, str):
        if values.strip().lower() in MISSING:
            return None
        text = NUMPY.sub(r"\1", values).strip().removeprefix("[").removesuffix("]")
        try:  # numpy itself prints an array with spaces between its numbers
            return np.array([float(part) for part in (text.split(",") if "," in text else text.split())])
        except ValueError:
            return np.array([])
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # a struct, a list of texts, whole numbers beyond any float
        return np.array([])
