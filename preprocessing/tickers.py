"""Finds which rows of a file of many stocks belong to which ticker."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from preprocessing.names import TICKER, name_columns

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&_]{0,14}")


def rows_of(header: Sequence[str], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Finds the rows of each ticker that one column of a file names.

    Args:
        header: names of the columns.
        frame: columns 0, 1, …, as many as the header has.

    Returns:
        Ticker in upper case -> its rows; empty if there is no such column. A column `Name` is one only if all that
        stands there has the form of a symbol, for companies have names, and change them.
    """
    tickers = _tickers(header, frame)
    if tickers is None:
        return {}
    groups = pd.Series(np.arange(len(frame))).groupby(tickers.to_numpy(dtype=object)).indices
    return {str(ticker): np.asarray(rows) for ticker, rows in groups.items() if ticker}


def unnamed_rows(rows: Mapping[str, np.ndarray], frame: pd.DataFrame) -> list[int]:
    """Finds rows, from 0, without a ticker but with content, in a file of several tickers."""
    if len(rows) < 2:
        return []
    named = np.zeros(len(frame), dtype=bool)
    for mine in rows.values():
        named[mine] = True
    if named.all():
        return []
    left = np.flatnonzero(~named)
    there = frame.iloc[left].astype("string").apply(lambda column: column.str.strip().fillna("") != "")
    return [int(row) for row in left[there.any(axis=1).to_numpy(dtype=bool)]]


def _tickers(header: Sequence[str], frame: pd.DataFrame) -> pd.Series | None:
    named = name_columns(header)
    if TICKER not in named.names or frame.empty:
        return None
    texts = frame[named.names.index(TICKER)].astype("string").str.strip()
    if named.found[TICKER] == "name" and not _are_symbols(texts):
        return None
    return texts.str.upper()


def _are_symbols(texts: pd.Series) -> bool:
    different = {text for text in texts.dropna().unique() if text}
    # In one case throughout: "Facebook" is a company, "FB" and "fb" are tickers.
    return all(SYMBOL.fullmatch(text.upper() if text.islower() else text) for text in different)
