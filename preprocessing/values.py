"""Parses numbers: decimal points or commas, thousands separators, currency signs, volumes such as 1.2M."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from preprocessing.decimals import (
    GROUPED,
    GROUPED_BY_POINTS,
    LABELS,
    SIGNS,
    decimal_comma,
    mantissa,
    matches,
    may_group,
)
from preprocessing.repairs import refuse
from preprocessing.table import Table
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import VOLUME

MISSING = ("", "null", "NULL", "nan", "NaN", "NAN", "-nan", "None", "none", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT")
SPACED = r"[-+]?[0-9]{1,3}(?:[ '’\u00a0\u202f][0-9]{3})+(?:[.,][0-9]*)?"
CURRENCY = f"[{SIGNS}]"
UNITS = {"K": "e3", "M": "e6", "B": "e9", "T": "e12"}


def _text(value: object) -> str:
    try:
        return str(value)
    except NotImplementedError:  # a time that pandas holds and the calendar of Python does not
        return "a time outside the calendar"


def cell_text(column: np.ndarray) -> pd.Series:
    """Converts cells to stripped text, missing ones to NA, numbers without a needless `.0`."""
    if column.dtype.kind == "f":
        column = column.astype(np.float64)  # half precision, for one, has no room for the bound
        whole = np.isfinite(column) & (np.abs(column) < 2**53) & (column == np.floor(column))
        cells: list[str | None] = [
            str(int(v)) if w else str(v) for v, w in zip(column.tolist(), whole.tolist(), strict=True)
        ]
    else:
        cells = [None if value is None else _text(value) for value in column.tolist()]
    text = pd.Series(cells, dtype="string").str.strip()
    return text.mask(text.isin(MISSING))


def read_numbers(table: Table, names: Sequence[str], data: DataConfig) -> tuple[dict[str, np.ndarray], list[str]]:
    """Parses columns as float64; NaN where there is no value.

    Args:
        table: a file's content.
        names: the columns; together they show what the decimal sign is.
        data: `decimal` decides where they do not.

    Returns:
        (column -> (T,) numbers, for the report: what is unusual in how they are written)

    Raises:
        DataError: a value that is no number, or numbers such as `100,607` alone, which may be read in two ways.
    """
    raw = {name: table.columns[name] for name in names}
    numbers = {name: column.astype(np.float64) for name, column in raw.items() if column.dtype.kind in "iuf"}
    grouping = may_group(table, raw, data)
    if data.decimal != "comma" and not grouping:
        quick = {name: _plain_numbers(column) for name, column in raw.items() if name not in numbers}
        if all(values is not None for values in quick.values()):
            return numbers | {name: values for name, values in quick.items() if values is not None}, []
    texts = {name: cell_text(column) for name, column in raw.items() if name not in numbers}
    plain = {name: _floats(text) for name, text in texts.items()}
    if (
        data.decimal != "comma"
        and not grouping
        and not any((np.isnan(plain[n]) & _there(texts[n])).any() for n in texts)
    ):
        return numbers | plain, []
    said: dict[str, None] = {}
    _refuse_currencies(table, texts)
    bare = {name: _bare(name, text, said) for name, text in texts.items()}
    comma = decimal_comma(table, bare, data, grouping)
    if comma:
        said["decimal commas"] = None
    for name, text in bare.items():
        values = _floats(_pointed(text, comma, said))
        bad = np.isnan(values) & _there(texts[name])
        if name == VOLUME:
            bad &= _there(text)
        if bad.any():
            what = f"{LABELS.get(name, name)} is {shown(texts[name][bad].iloc[0], 60)!r}, not a number"
            remedy = "write numbers as 1234.5"
            refuse(table, bad, what, f"{remedy}, or set data.decimal to point" if comma else remedy)
        numbers[name] = values
    return numbers, list(said)


def _plain_numbers(column: np.ndarray) -> np.ndarray | None:
    """Numbers of cells that are all plain ones, which is quick to see and the usual case; else None."""
    if pd.api.types.infer_dtype(column, skipna=False) != "string":
        return None
    values = pd.to_numeric(column, errors="coerce")
    return None if values.dtype.kind not in "iuf" or np.isnan(values).any() else values.astype(np.float64)


def _there(text: pd.Series) -> np.ndarray:
    return text.notna().to_numpy(dtype=bool)


def _floats(text: pd.Series) -> np.ndarray:
    # Digits without end would become integers of any size, which numpy does not take.
    usual = text.mask(text.str.len() > 400, "not a number")
    values: np.ndarray = pd.to_numeric(usual, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _signs(text: pd.Series) -> pd.Series:
    return text.str.extract(f"({CURRENCY})")[0]


def _refuse_currencies(table: Table, texts: dict[str, pd.Series]) -> None:
    """Raises where the signs are those of two currencies, in one column or in two."""
    signs = {name: found for name, text in texts.items() if (found := _signs(text)).notna().any()}
    first = {name: found.dropna().iloc[0] for name, found in signs.items()}
    for name, found in signs.items():
        other, usual = next(iter(first.items()))
        strange = (found != usual).fillna(False).to_numpy(dtype=bool)
        if strange.any():
            beside = "as above" if name == other else f"as {other}"
            what = f"{name} in {found[strange].iloc[0]}, not in {usual} {beside}"
            refuse(table, strange, what, "bars must be in one currency")


def _bare(name: str, text: pd.Series, said: dict[str, None]) -> pd.Series:
    """Numbers without currency signs and spaces between thousands; a volume of `1.2M` as `1.2e6`."""
    signs = _signs(text).dropna()
    if len(signs):
        said[f"{signs.iloc[0]} signs"] = None
        text = text.str.replace(rf"^([-+]?)\s*{CURRENCY}\s*|\s*{CURRENCY}$", r"\1", regex=True)
    spaced = matches(text, SPACED)
    if spaced.any():
        said["thousands separators"] = None
        text = text.where(~spaced, text.str.replace(r"[ '’\u00a0\u202f]", "", regex=True))
    if name != VOLUME:
        return text
    text = text.mask(text == "-")  # so Investing.com writes that it has none
    unit = text.str.extract(r"[0-9.,]\s*([KMBTkmbt])$")[0].str.upper()
    if unit.notna().any():
        said["volumes as 1.2M"] = None
        scaled = text.str.replace(r"\s*[A-Za-z]$", "", regex=True)
        text = text.where(unit.isna().to_numpy(), scaled + "\0" + unit.map(UNITS).astype("string"))
    return text


def _pointed(text: pd.Series, comma: bool, said: dict[str, None]) -> pd.Series:
    """Numbers with a decimal point and no thousands separators; those that are none so come out as no number."""
    number = mantissa(text)
    grouped = matches(number, GROUPED_BY_POINTS if comma else GROUPED)
    if grouped.any():
        said["thousands separators"] = None
    bare = number.where(~grouped, number.str.replace("." if comma else ",", "", regex=False))
    if comma:
        bare = bare.mask(bare.str.contains(".", regex=False).fillna(False), "not a number")
        bare = bare.str.replace(",", ".", regex=False)
    return bare + text.str.extract(r"\x00(.*)$")[0].fillna("")
