"""Reads and cleans facts about companies, from a file or a record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import finite, is_ticker, read_json, shown
from stonk_pipeline.schema import Company
from stonk_pipeline.text.quoting import clean

NAME_LENGTH, DESCRIPTION_LENGTH, FACT_LENGTH = 60, 300, 40
MOST_FACTS = 40
FORM = "{ticker: {name, description, facts}}"


def clean_ticker(text: str, place: str) -> str:
    """Checks a ticker and returns it in upper case, because it stands in prompts unquoted.

    Raises:
        DataError: it is none; names the place.
    """
    ticker = text.strip()
    if not is_ticker(ticker):
        raise DataError(f"{place}: ticker {shown(ticker, 40)!r} is none; write letters, digits and . - = ^ & _")
    return ticker.upper()


def company(name: object, description: object, facts: object) -> Company:
    """Makes a company of a table, every text cleaned; what is not text, a number or a table of such is left out."""
    table = facts if isinstance(facts, Mapping) else {}
    cleaned = {clean(str(key), FACT_LENGTH): _value(value) for key, value in list(table.items())[:MOST_FACTS]}
    return Company(
        name=clean(name, NAME_LENGTH) if isinstance(name, str) else "",
        description=clean(description, DESCRIPTION_LENGTH) if isinstance(description, str) else "",
        facts=tuple((key, value) for key, value in cleaned.items() if key and value),
    )


def read_companies(path: Path) -> dict[str, Company]:
    """Reads a JSON file: ticker -> {"name": …, "description": …, "facts": {name: value}}; all three may be missing.

    These facts are shown at every date: they must have been true, and known, before the first of them.

    Raises:
        DataError: no such file, or not of that form, or a ticker twice; names file and ticker.
    """
    try:
        found = read_json(path, DataError, f"write {FORM}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file of company facts; give a JSON file: {FORM}") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{path}: not a table of tickers; write {FORM}")
    companies: dict[str, Company] = {}
    for key, about in found.items():
        ticker = clean_ticker(str(key), str(path))
        if ticker in companies:
            raise DataError(f"{path}, {ticker}: there twice; keep the right one")
        if not isinstance(about, Mapping):
            raise DataError(f"{path}, {ticker}: not a table; write {{name, description, facts}}")
        unknown = set(about) - {"name", "description", "facts"}
        if unknown:
            name = shown(sorted(unknown)[0])
            raise DataError(f"{path}, {ticker}: unknown field {name!r}; it has name, description, facts")
        companies[ticker] = company(about.get("name"), about.get("description"), about.get("facts"))
    return companies


def _value(value: Any) -> str:
    """A figure in few characters: 394328000000 -> 394.3B. Empty for what is none."""
    if isinstance(value, str):
        return clean(value, FACT_LENGTH)
    value = finite(value)
    if value is None:
        return ""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
