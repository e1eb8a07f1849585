"""Files of daily bars: which there are, and each read, checked and cleaned."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from preprocessing.checks import Repair, clean
from preprocessing.parsing import read_table
from stonk_pipeline.config import EMBEDDED, DataConfig
from stonk_pipeline.errors import DataError

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}")
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Bars:
    """Clean bars of one stock."""

    stock: str
    frame: pd.DataFrame
    """`schema.BAR_COLUMNS`, oldest first, one row a day."""
    adjusted: bool
    """Open, high, low and close were scaled by Adj Close / Close."""
    repairs: tuple[Repair, ...]
    """What was changed or is remarkable in the file."""


def clean_symbol(symbol: str) -> str:
    """The symbol in upper case.

    Raises:
        DataError: it is none, so it may not become part of a file's name.
    """
    upper = symbol.strip().upper()
    if not SYMBOL.fullmatch(upper):
        raise DataError(
            f"{symbol!r} is not a stock symbol: up to 15 letters, digits and . - = ^, such as AAPL, BRK-A or ^GSPC"
        )
    return upper


def unknown_symbol(symbol: str, known: Iterable[str], place: str) -> DataError:
    """The error for a symbol that is not there, with those that look like it."""
    names = sorted(known)
    close = difflib.get_close_matches(symbol, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(names[:8])}{' …' * (len(names) > 8)}"
    return DataError(f"{symbol}: no bars of this stock in {place}; {hint}")


def find_files(data: DataConfig) -> dict[str, Path]:
    """Files of the wanted stocks.

    Returns:
        Symbol -> file, in alphabetical order; empty for the embedded market.

    Raises:
        DataError: no such folder, no files in it, a symbol that is none, or a stock without a file.
    """
    if data.data_dir == EMBEDDED:
        return {}
    wanted = [clean_symbol(stock) for stock in data.stocks] if data.stocks != ["all"] else None
    place = Path(data.data_dir).expanduser()
    if place.is_file():
        found = {clean_symbol(place.stem): place}
    elif place.is_dir():
        found = _in_folder(place, wanted)
    else:
        raise DataError(f"{place}: no such folder or file; give data.data_dir a folder of CSV or Parquet files")
    if wanted is None:
        return dict(sorted(found.items()))
    for stock in wanted:
        if stock not in found:
            raise unknown_symbol(stock, found, str(place))
    return {stock: found[stock] for stock in sorted(set(wanted))}


def _in_folder(folder: Path, wanted: list[str] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        symbol = path.stem.upper()
        if symbol in found and (wanted is None or symbol in wanted):
            raise DataError(f"{found[symbol]} and {path.name} are both bars of {symbol}; keep one of them")
        if SYMBOL.fullmatch(symbol):
            found[symbol] = path
        elif wanted is None:
            raise DataError(f"{path}: {path.stem!r} is not a stock symbol; rename the file, or name the stocks to use")
    if not found:
        inside = sorted({path.parent.name for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES})
        hint = f"; its folder {inside[0]!r} has some" if inside else ""
        raise DataError(f"{folder}: no CSV or Parquet files such as AAPL.csv in this folder{hint}")
    return found


def read_bars(path: Path, data: DataConfig) -> Bars:
    """Reads one stock's bars, checks and cleans them.

    What is repaired and what is refused stands in `preprocessing.checks`.

    Args:
        path: a CSV or Parquet file with Yahoo's columns in any case, or as yfinance writes it.
        data: `adjust`, `max_gap_days`, `split_ratio`.

    Returns:
        The bars; prices in the file's currency (scaled by Adj Close / Close if `data.adjust` and the file has it).

    Raises:
        DataError: names the file, the row or column, and the remedy.
    """
    stock = clean_symbol(path.stem)
    table = read_table(path, stock)
    frame, repairs, adjusted = clean(table, data)
    return Bars(stock, frame, adjusted, repairs)
