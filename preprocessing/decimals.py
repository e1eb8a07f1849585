"""Finds out whether a file's decimal sign is the point or the comma, from numbers that leave no choice."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from preprocessing.repairs import refuse
from preprocessing.table import ADJUSTED, Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import DATE, VOLUME

LABELS = {ADJUSTED: "Adj Close"}
POINT = (
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]*|[0-9]{1,3}(?:,[0-9]{3}){2,})(?:[eE][-+]?[0-9]+)?"
)
"""A number that can only be one with a decimal point, but for those of `ONE_POINT`."""
ONE_POINT = r"[-+]?[1-9][0-9]{0,2}\.[0-9]{3}"
GROUPED = r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?"
"""Thousands separators where the decimal sign is a point."""
SEMICOLONS = "semicolons between the columns"
SIGNS = "$€£¥₹"
DAY_FIRST = r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}.*"
LOOKED_AT = 1000
"""Rows in which a file shows how it writes its dates."""


def _mirrored(pattern: str) -> str:
    """The same pattern with point and comma in each other's place."""
    return pattern.replace(r"\.", "\0").replace(",[", r"\.[").replace("\0", ",")


COMMA, ONE_COMMA, GROUPED_BY_POINTS = _mirrored(POINT), _mirrored(ONE_POINT), _mirrored(GROUPED)


def matches(text: pd.Series, pattern: str) -> np.ndarray:
    """Tells which texts, as a whole, have this form: (T,) bool."""
    return text.str.fullmatch(pattern).fillna(False).to_numpy(dtype=bool)


def mantissa(text: pd.Series) -> pd.Series:
    """Strips the mark of a unit that `values` puts behind a volume such as 1.2M."""
    return text.str.replace(r"\x00.*", "", regex=True)


def may_group(table: Table, columns: Mapping[str, np.ndarray], data: DataConfig) -> bool:
    """Tells whether a point before three digits may separate thousands, as `28.097` for 28,097 does in German.

    A file must show it in another way than by those numbers: by semicolons between its columns, by dates such as
    `04.01.2021`, or by prices below 1,000 without a point among prices that all have three digits behind one. English
    files have commas, and write 28.5 and 28.097, or 28.500.

    Args:
        table: a file's content.
        columns: name -> numbers as they stand in the file.
        data: nothing is asked where `decimal` is set.
    """
    if data.decimal != "auto":
        return False
    texts = (
        cell[:60].strip(f" \u00a0{SIGNS}")
        for name, column in columns.items()
        if name != VOLUME and column.dtype.kind == "O"
        for cell in column
        if isinstance(cell, str)
    )
    pointed = whole = False
    for text in texts:
        if "." in text:
            if not re.fullmatch(ONE_POINT, text):
                return False  # of most files the first price
            pointed = True
        whole = whole or re.fullmatch("[1-9][0-9]{0,2}", text) is not None
    dates = table.columns[DATE][:LOOKED_AT]
    by_points = dates.dtype.kind == "O" and any(
        isinstance(date, str) and re.match(DAY_FIRST, date[:40]) for date in dates
    )
    return pointed and (SEMICOLONS in table.dialect or by_points or whole)


def decimal_comma(table: Table, texts: Mapping[str, pd.Series], data: DataConfig, grouping: bool) -> bool:
    """Tells whether the file's decimal sign is a comma.

    The numbers that can be read in one way only decide, by majority; the others are refused later, row by row.

    Args:
        table: a file's content.
        texts: name of each column -> its numbers as text.
        data: `decimal`.
        grouping: whether a point may stand between thousands, see `may_group`.

    Raises:
        DataError: there are numbers such as `100,607` (or, with `grouping`, `28.097`), and none that tells what the
            sign is.
    """
    if data.decimal != "auto":
        return data.decimal == "comma"
    points = commas = 0
    for whole in texts.values():
        text = mantissa(whole)
        one = matches(text, ONE_COMMA)
        points += int((matches(text, POINT) & ~matches(text, ONE_POINT)).sum())
        commas += int((matches(text, COMMA) & ~one).sum())
    for name, column in table.columns.items():
        if name not in texts and column.dtype.kind == "f" and not np.isnan(column).all():
            points += 1
    if points == commas == 0:
        for pattern, sign in ((ONE_COMMA, ","), (ONE_POINT, ".")):
            if sign == "," or grouping:
                _refuse_unclear(table, texts, pattern, sign)
    return commas > points


def _refuse_unclear(table: Table, texts: Mapping[str, pd.Series], pattern: str, sign: str) -> None:
    """Raises for the first number in which the sign may be the decimal one, or stand between thousands."""
    for name, whole in texts.items():
        unclear = matches(mantissa(whole), pattern)
        if unclear.any():
            text = shown(whole[unclear].iloc[0], 40)
            what = f"{LABELS.get(name, name)} is {text!r}, which may be {text.replace(sign, '.')} or "
            first, second = ("comma", "point") if sign == "," else ("point", "comma")
            remedy = f"set data.decimal to {first} (the first) or to {second} (the second)"
            refuse(table, unclear, what + text.replace(sign, ""), remedy)
