"""Files of daily bars: which there are, and each read, checked and cleaned."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from preprocessing.checks import clean
from preprocessing.files import bars_stem
from preprocessing.parsing import file_tickers, looks_like_bars, read_table
from preprocessing.repairs import Repair
from stonk_pipeline.config import EMBEDDED, DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.untrusted import shown

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&_]{0,14}")


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
            f"{symbol!r} is not a stock symbol: up to 15 letters, digits and . - = ^ & _, such as AAPL, BRK-A,"
            " M&M.NS or ^GSPC"
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
        found = _in_file(place, wanted)
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


def unnamed_files(data: DataConfig) -> dict[str, str]:
    """Files of a folder of which `all` stocks are wanted that are left out, as they are named after no symbol.

    Returns:
        Name of the file -> why.
    """
    place = Path(data.data_dir).expanduser()
    if data.stocks != ["all"] or not place.is_dir():
        return {}
    why = "not named after a stock symbol; rename it to have it used"
    unnamed = [path for path, symbols in symbols_in(place, None) if not symbols]
    return {shown(path.name): f"{shown(path, 400)}: {why}" for path in unnamed}


def _in_file(path: Path, wanted: list[str] | None) -> dict[str, Path]:
    """The stocks of one file: those that it names, and the one that it is named after."""
    stem = bars_stem(path)
    named = [] if stem is None else [stem.upper()] * bool(SYMBOL.fullmatch(stem.upper()))
    tickers = [ticker for ticker in file_tickers(path) if SYMBOL.fullmatch(ticker)]
    if wanted is None and len(tickers) > 1:
        return dict.fromkeys(tickers, path)
    found = dict.fromkeys([*named, *tickers], path) if wanted is not None else dict.fromkeys(named or tickers, path)
    if not found:
        clean_symbol(path.stem)
    return found


def _in_folder(folder: Path, wanted: list[str] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    files = symbols_in(folder, wanted)
    for path, symbols in files:
        for symbol in symbols:
            if symbol in found and (wanted is None or symbol in wanted):
                raise DataError(f"{found[symbol]} and {path.name} are both bars of {symbol}; keep one of them")
            found[symbol] = path
    if files and not found:
        raise DataError(f"{files[0][0]}: {files[0][0].name!r} is not named after a stock symbol; rename it")
    if not found:
        inside = sorted({path.parent.name for path in folder.glob("*/*") if bars_stem(path)})
        hint = f"; its folder {inside[0]!r} has some" if inside else ""
        raise DataError(f"{folder}: no CSV or Parquet files such as AAPL.csv in this folder{hint}")
    return found


def symbols_in(folder: Path, wanted: list[str] | None) -> list[tuple[Path, list[str]]]:
    """The files of bars in a folder, in alphabetical order, each with the symbols of the stocks in it.

    A file that names several tickers holds those, unless it is named after one of them. Files are only looked into
    where their names do not settle what is wanted.
    """
    files = {path: bars_stem(path) for path in sorted(folder.iterdir()) if bars_stem(path) and path.is_file()}
    by_name = {path: str(stem).upper() for path, stem in files.items()}
    settled = wanted is not None and set(wanted) <= set(by_name.values())
    found = []
    for path, symbol in by_name.items():
        own = [symbol] if SYMBOL.fullmatch(symbol) else []
        if settled and symbol not in (wanted or ()):
            continue
        # A .txt may be anything; what is called otherwise is read, and refused if it holds no bars.
        if path.name.lower().endswith(".txt") and not looks_like_bars(path):
            continue
        if settled:
            found.append((path, own))
            continue
        tickers = _tickers(path)
        several = len(tickers) > 1 and symbol not in tickers
        found.append((path, tickers if several else own or tickers))
    return found


def _tickers(path: Path) -> list[str]:
    try:
        return [ticker for ticker in file_tickers(path) if SYMBOL.fullmatch(ticker)]
    except DataError:  # read_bars says what is wrong with the file
        return []


def read_bars(path: Path, data: DataConfig, stock: str | None = None) -> Bars:
    """Reads one stock's bars, checks and cleans them.

    What is repaired and what is refused stands in `preprocessing.checks`.

    Args:
        path: a text or Parquet file in one of the dialects of `docs/data.md`.
        data: `adjust`, `decimal`, `dates`, `max_gap_days`, `split_ratio`.
        stock: its symbol; not given: what the file is named after.

    Returns:
        The bars; prices in the file's currency (scaled by Adj Close / Close if `data.adjust` and the file has it).

    Raises:
        DataError: names the file, the row or column, and the remedy.
    """
    stock = clean_symbol(stock or bars_stem(path) or path.stem)
    table = read_table(path, stock, data)
    frame, repairs, adjusted = clean(table, data)
    return Bars(stock, frame, adjusted, repairs)
