"""Recognises the columns of bars by the many names that data vendors give them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from preprocessing.table import ADJUSTED
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.schema import BAR_COLUMNS, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

TICKER, TIME, SPLIT = "ticker", "time", "split"
ADJUSTED_SET = {OPEN: "adjopen", HIGH: "adjhigh", LOW: "adjlow", CLOSE: ADJUSTED}
"""Adjusted prices of all four kinds, as Tiingo and Quandl give them."""
ADJUSTED_VOLUME = "adjvolume"
NAMES = {
    DATE: (DATE, "datetime", "timestamp", "tradedate", "tradingdate", "tradingday", "day", "opentime", "time", "unix"),
    OPEN: (OPEN, "openprice"),
    HIGH: (HIGH, "highprice"),
    LOW: (LOW, "lowprice"),
    CLOSE: (CLOSE, "closelast", "closeprice", "closingprice", "price", "last", "lastprice"),
    VOLUME: (VOLUME, "vol", "tickvol", "tickvolume"),
    ADJUSTED: (ADJUSTED, "adjustedclose", "adjcloseprice", "adjustedcloseprice", "closeadj", "closeadjusted"),
    "adjopen": ("adjopen", "adjustedopen"),
    "adjhigh": ("adjhigh", "adjustedhigh"),
    "adjlow": ("adjlow", "adjustedlow"),
    ADJUSTED_VOLUME: (ADJUSTED_VOLUME, "adjustedvolume"),
    SPLIT: ("splitcoefficient", "splitfactor", "stocksplits", "stocksplit", "splitratio", "splits", SPLIT),
    TICKER: (TICKER, "symbol", "tic", "code", "name"),
}
"""Column -> its names without case, spaces, marks and numbers before them. The first one that a file has is taken."""
ORDINARY = {DATE: NAMES[DATE][:3], ADJUSTED: (ADJUSTED,), TICKER: NAMES[TICKER]}
"""Names that are not worth a word in the report; of other columns the first."""


@dataclass(frozen=True, slots=True)
class Named:
    """The meaning of each column of a file, and the names they were found under."""

    names: tuple[str, ...]
    """What each column is; its plain name where it is nothing that is known."""
    found: dict[str, str]
    """Column -> its plain name in the file."""
    said: tuple[str, ...]
    """For the report: columns that have an unusual name."""
    suspects: tuple[str, ...]
    """Columns that look like an adjusted price and are not known, as the file calls them."""


def plain(name: object) -> str:
    """Strips a name of case, spaces, marks, and the number that Alpha Vantage puts before it (`5. volume`)."""
    text = re.sub(r"^\s*\d+[a-z]?\.\s+", "", str(name).strip().lower())
    return re.sub(r"[\s_.*<>/$()\"'\ufeff-]+", "", text)


def is_bars(header: Sequence[object]) -> bool:
    """Tells whether these may be the names of the columns of bars."""
    names = {plain(name) for name in header}
    return bool(names & set(NAMES[DATE])) and bool(names & set(NAMES[CLOSE]))


def name_columns(header: Sequence[object]) -> Named:
    """Finds out which column is what.

    A name that comes later in `NAMES` counts only where no earlier one is there: `Price` is the close of a file without
    a `Close`, and `timestamp` the date of a file without a `Date`.
    """
    plains = [plain(name) for name in header]
    found = {column: next((name for name in known if name in plains), None) for column, known in NAMES.items()}
    if found[TICKER] == "name" and plains.count("name") > 1:
        found[TICKER] = None
    roles = {name: column for column, name in found.items() if name}
    if "time" in plains and found[DATE] != "time":
        roles["time"] = TIME
    names = tuple(roles.get(name, name) for name in plains)
    said, suspects = [], []
    for text, name, what in zip(header, plains, names, strict=True):
        usual = ORDINARY.get(what, NAMES[what][:1]) if what in (*BAR_COLUMNS, ADJUSTED) else (name,)
        if name not in usual:
            said.append(f"{shown(text, 60)!r} is {'Adj Close' if what == ADJUSTED else what}")
        if what not in NAMES and re.search(r"(?<!un)adj", name) and not re.search(r"fact|coef|ratio", name):
            suspects.append(str(text).strip())
    return Named(names, {c: n for c, n in found.items() if n}, tuple(said), tuple(suspects))
