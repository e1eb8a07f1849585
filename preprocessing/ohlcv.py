"""Finds, reads, checks and cleans files of daily bars (open, high, low, close, volume)."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from preprocessing.checks import clean
from preprocessing.files import bars_stem
from preprocessing.parsing import file_tickers, looks_like_bars, read_table
from preprocessing.repairs import Repair
from preprocessing.tickers import SYMBOL
from stonk_pipeline.config.data import EMBEDDED, DataConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import shown

MOST_TOLD = 20
"""Tickers of one file, left out, that are named one by one."""


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
    """Checks a symbol and returns it in upper case.

    Raises:
        DataError: it is none, so it may not become part of a file's name.
    """
    upper = symbol.strip().upper()
    if not SYMBOL.fullmatch(upper):
        raise DataError(
            f"{shown(symbol, 60)!r} is not a stock symbol: up to 15 letters, digits and . - = ^ & _, such as AAPL,"
            " BRK-A, M&M.NS or ^GSPC"
        )
    return upper


def unknown_symbol(symbol: str, known: Iterable[str], place: str) -> DataError:
    """Builds the error for a symbol that is not there, with those that look like it."""
    names = sorted(known)
    close = difflib.get_close_matches(symbol, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"it has {', '.join(names[:8])}{' …' * (len(names) > 8)}"
    return DataError(f"{symbol}: no bars of this stock in {place}; {hint}")


def find_files(data: DataConfig) -> dict[str, Path]:
    """Finds the files of the wanted stocks.

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
    """Lists the files that are left out when `all` stocks are wanted, because no symbol names them.

    Returns:
        Name of the file, or a ticker in a file of several -> why.
    """
    place = Path(data.data_dir).expanduser()
    if data.stocks != ["all"]:
        return {}
    left_out = {}
    why = "not named after a stock symbol; rename it to have it used"
    files = _inside(place, None) if place.is_dir() else [_one_file(place, None)]
    for path, symbols, odd in files:
        name, where = shown(path.name), shown(path, 400)
        if not symbols and not odd:
            left_out[name] = f"{where}: {why}"
        for ticker in odd[:MOST_TOLD]:
            left_out[shown(ticker, 40)] = f"{where}: ticker {shown(ticker, 40)!r} is no stock symbol; rename it there"
        if len(odd) > MOST_TOLD:
            left_out[name] = f"{where}: {len(odd) - MOST_TOLD} more tickers that are no stock symbols"
    return left_out


def _one_file(path: Path, wanted: list[str] | None) -> tuple[Path, list[str], list[str]]:
    """(the file, the symbols in it, its tickers that are none): those that it names, and what it is named after."""
    stem = bars_stem(path)
    named = [] if stem is None else [stem.upper()] * bool(SYMBOL.fullmatch(stem.upper()))
    tickers, odd = _told_apart(file_tickers(path))
    if wanted is not None:
        return path, [*named, *tickers], odd
    several = len(tickers) + len(odd) > 1
    return (path, tickers, odd) if several else (path, named or tickers, [])


def _in_file(path: Path, wanted: list[str] | None) -> dict[str, Path]:
    _, symbols, odd = _one_file(path, wanted)
    if odd and not symbols:
        raise _no_symbols(path, odd)
    if not symbols:
        clean_symbol(path.stem)
    return dict.fromkeys(symbols, path)


def _no_symbols(path: Path, odd: list[str]) -> DataError:
    named = shown(", ".join(odd[:MOST_TOLD]))
    return DataError(f"{path}: none of its tickers is a stock symbol ({named}); rename them there")


def _told_apart(tickers: list[str]) -> tuple[list[str], list[str]]:
    """(those that are symbols, those that are none)."""
    symbols = [ticker for ticker in tickers if SYMBOL.fullmatch(ticker)]
    return symbols, [ticker for ticker in tickers if not SYMBOL.fullmatch(ticker)]


def _in_folder(folder: Path, wanted: list[str] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    files = _inside(folder, wanted)
    for path, symbols, _ in files:
        for symbol in symbols:
            if symbol in found and (wanted is None or symbol in wanted):
                raise DataError(f"{found[symbol]} and {path.name} are both bars of {symbol}; keep one of them")
            found[symbol] = path
    if files and not found and files[0][2]:
        raise _no_symbols(files[0][0], files[0][2])
    if files and not found:
        raise DataError(f"{files[0][0]}: {files[0][0].name!r} is not named after a stock symbol; rename it")
    if not found:
        inside = sorted({path.parent.name for path in folder.glob("*/*") if bars_stem(path)})
        hint = f"; its folder {inside[0]!r} has some" if inside else ""
        raise DataError(f"{folder}: no CSV or Parquet files such as AAPL.csv in this folder{hint}")
    return found


def every_name(folder: Path) -> list[str]:
    """Lists the names of all stocks in a folder, valid symbols or not."""
    inside = _inside(folder, None)
    return sorted({name for path, symbols, odd in inside for name in symbols + odd or [str(bars_stem(path)).upper()]})


def _inside(folder: Path, wanted: list[str] | None) -> list[tuple[Path, list[str], list[str]]]:
    """The files of bars in a folder, in alphabetical order, each with its symbols and with its tickers that are none.

    A file that names several tickers holds those, unless it is named after one of them. Files are only looked into
    where their names do not settle what is wanted.
    """
    files = {path: bars_stem(path) for path in sorted(folder.iterdir()) if bars_stem(path) and path.is_file()}
    by_name = {path: str(stem).upper() for path, stem in files.items()}
    settled = wanted is not None and set(wanted) <= set(by_name.values())
    found: list[tuple[Path, list[str], list[str]]] = []
    for path, symbol in by_name.items():
        own = [symbol] if SYMBOL.fullmatch(symbol) else []
        if settled and symbol not in (wanted or ()):
            continue
        # A .txt may be anything; what is called otherwise is read, and refused if it holds no bars.
        if path.name.lower().endswith(".txt") and not looks_like_bars(path):
            continue
        if settled:
            found.append((path, own, []))
            continue
        tickers, odd = _tickers(path)
        several = len(tickers) + len(odd) > 1 and symbol not in tickers
        found.append((path, tickers, odd) if several else (path, own or tickers, []))
    return found


def _tickers(path: Path) -> tuple[list[str], list[str]]:
    try:
        return _told_apart(file_tickers(path))
    except DataError:  # read_bars says what is wrong with the file
        return [], []


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
