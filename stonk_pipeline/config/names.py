"""Names stocks, models and records in files and directories, readably and never two things alike.

Where the readable form does not tell two things apart, the head of a digest follows it: models of one folder name from
two places would otherwise publish over each other and be champions of each other.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

DIGEST_LENGTH = 6
MOST_NAMED = 3
"""Stocks that are named one by one."""
RESERVED = ("ALL", "EMBEDDED", "NONE")
"""Names of sets of stocks, the first of which is a stock's symbol as well."""
MERGED = re.compile(r"merged/[0-9a-f]{12}/([^/]+)$")
"""Where a retraining keeps a model with an adapter merged in: under the name of the model that it began with."""


def stocks_name(stocks: Sequence[str]) -> str:
    """Names stocks: `AAPL`, `AAPL+MSFT`, `AAPL-and-7-more-1a2b3c`, `ALL-3c4d5e` for the stock ALL."""
    wanted = [stock.upper() for stock in stocks]
    names = [_safe(r"[^A-Z0-9.^=_-]+", "-", stock) or "NONE" for stock in wanted]
    if len(names) > MOST_NAMED:
        return _distinct(f"{names[0]}-and-{len(names) - 1}-more", wanted)
    joined = "+".join(names)  # no symbol holds a plus, as BRK-B holds a hyphen
    return joined if names == wanted and joined not in RESERVED else _distinct(joined, wanted)


def model_name(name: str) -> str:
    """Names a model: `Qwen--Qwen2.5-7B-Instruct` for one of the hub, `mine-1a2b3c` for the folder of a model."""
    return _of_path(name, r"[^A-Za-z0-9._-]+", "model")


def records_name(name: str) -> str:
    """Names records: `ORG--DECISIONS` for those of the hub, `decisions-1a2b3c` in upper case for a file or folder."""
    return _of_path(name, r"[^A-Za-z0-9.^=_-]+", "records").upper()


def _of_path(name: str, unsafe: str, otherwise: str) -> str:
    path = Path(name).expanduser()
    if not (path.exists() or name.startswith((".", "/", "~"))):
        return _safe(unsafe, "--", name) or otherwise
    merged = MERGED.search(path.as_posix())
    if merged:
        return merged.group(1)
    whole = path.resolve()
    readable = whole.name.removesuffix(".jsonl").removesuffix(".parquet")
    return _distinct(_safe(unsafe, "--", readable) or otherwise, str(whole))


def _safe(unsafe: str, instead: str, text: str) -> str:
    return re.sub(unsafe, instead, text).strip("-.")


def _distinct(readable: str, whole: object) -> str:
    return f"{readable}-{hashlib.sha256(repr(whole).encode()).hexdigest()[:DIGEST_LENGTH]}"
