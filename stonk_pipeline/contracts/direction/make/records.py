"""Reads records in the form of the deepstock dataset and makes examples of them.

One record is one ticker and day: `ticker` and a nested `company_info` with the date, the last two closes, headlines,
figures and a description. A record holds no outcome, so the label is the close of the *next session's* record of the
same ticker, looked up before anything is filtered. Where that record is missing, the example is dropped and counted:
the next one that happens to be there may lie days later.
"""

import datetime
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.splits import split_dates
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.cases import Examples, label, ordered
from stonk_pipeline.contracts.direction.make.companies import clean_ticker, company
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import finite, parse_json, read_lines, reason
from stonk_pipeline.schema import Company, Decision, Headline, Movement, Window
from stonk_pipeline.text.quoting import clean

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
ENDINGS = (".jsonl", ".parquet")
BATCH = 256
"""Rows of Parquet in memory at once, as Python's own values."""
LEAST_PRICE, MOST_PRICE = 1e-6, 1e9
LONGEST_BREAK = 5
"""Calendar days between two sessions; a longer gap is missing data, whatever the other tickers say."""
AGREEMENT = 0.005
"""Largest relative difference of a close and what the next record calls the previous close."""
CONTEXT = 10
"""Most closes of a context; fewer where the sessions before are missing."""
VOLATILITY_DAYS, FEWEST_DAYS = 20, 5
"""Daily returns that a volatility is computed from, and the fewest that are enough."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of one ticker and day."""

    place: str
    ticker: str
    date: str
    close: float
    previous: float
    headlines: tuple[Headline, ...]
    company: Company


def record_files(name: str) -> list[Path]:
    """Finds the files of records that a setting names: one file, or those of a dataset on the Hugging Face hub.

    Raises:
        DataError: there is no such file, and no such dataset can be had.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if not HUB_NAME.fullmatch(name):
        raise DataError(f"{name}: no such file of records; give a JSONL or Parquet file, or a dataset as owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(name, repo_type="dataset", allow_patterns=[f"*{end}" for end in ENDINGS]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: no such file, and the dataset cannot be had from the Hugging Face hub ({reason}); "
            "check the name and the network, or log in with `hf auth login`"
        ) from error
    files = sorted(path for path in directory.rglob("*") if path.suffix in ENDINGS)
    if not files:
        raise DataError(f"{name}: the dataset has no JSONL or Parquet file; convert it, and give the file")
    return files


def split_records(examples: Examples, data: DataConfig) -> dict[str, Examples]:
    """Splits examples by date; a move that ends in the next part belongs to no part.

    Args:
        examples: all of them.
        data: the dates or shares where the parts begin (`splits.split_dates`).
    """
    days = [np.array([decision.window.date for decision in examples.decisions], dtype="datetime64[D]")]
    dates = split_dates(days, data)
    bounds = [None, str(dates.val_start), str(dates.test_start), None]
    parts = {}
    for name, start, stop in zip(("train", "val", "test"), bounds, bounds[1:], strict=False):
        rows = enumerate(zip(examples.decisions, examples.movements, strict=True))
        parts[name] = examples.take(
            row
            for row, (decision, movement) in rows
            if (start is None or decision.window.date >= start) and (stop is None or movement.end < stop)
        )
    return parts


def read_records(
    path: Path | Sequence[Path], examples: ExamplesConfig, news: NewsConfig
) -> tuple[Examples, dict[str, int]]:
    """Reads records and labels them.

    Args:
        path: a JSONL or Parquet file, or several.
        examples: days ahead, threshold of flat days, volatility where there is too little history.
        news: most headlines of a decision and their length. Headlines of records carry no time, so whether they were
            known before the close is the source's word.

    Returns:
        The examples, and how many records were `read` and how many gave none: `no price` (or date or ticker),
        `duplicate`, `no next session` (its record is missing), `prices disagree` (see `AGREEMENT`), `last` (nothing
        after it).

    Raises:
        DataError: no such file, or a line or row that is no record; two records of one ticker and day that differ.
    """
    counts = dict.fromkeys(("read", "no price", "duplicate", "no next session", "prices disagree", "last"), 0)
    of_ticker: dict[str, dict[str, Record]] = defaultdict(dict)
    paths = [path] if isinstance(path, Path) else path
    for place, raw in itertools.chain.from_iterable(map(_rows, paths)):
        counts["read"] += 1
        record = _record(place, raw, news)
        if record is None:
            counts["no price"] += 1
            continue
        there = of_ticker[record.ticker].setdefault(record.date, record)
        if there is not record:
            if (there.close, there.previous) != (record.close, record.previous):
                raise DataError(f"{place}: another price of {record.ticker} on {record.date} than {there.place} has")
            counts["duplicate"] += 1
    calendar = sorted({date for records in of_ticker.values() for date in records})
    following = dict(itertools.pairwise(calendar))
    decisions, movements = [], []
    for found in of_ticker.values():
        records = [found[date] for date in sorted(found)]
        breaks = [_break(one, other, following) for one, other in itertools.pairwise(records)]
        for row, record in enumerate(records):
            ahead = breaks[row : row + examples.days_ahead]
            problem = next(filter(None, ahead), None if len(ahead) == examples.days_ahead else "last")
            if problem:
                counts[problem] += 1
                continue
            last = records[row + examples.days_ahead]
            change = 100.0 * (last.close / record.close - 1.0)
            window = _window(records, breaks, row, examples.fallback_volatility)
            decisions.append(Decision(window, record.company, record.headlines))
            movements.append(Movement(last.date, change, label(change, examples.flat_percent)))
    return ordered(decisions, movements), counts


def _break(one: Record, other: Record, following: Mapping[str, str]) -> str | None:
    """Why a record is not the next session of the one before; None where it is."""
    days = (datetime.date.fromisoformat(other.date) - datetime.date.fromisoformat(one.date)).days
    if following[one.date] != other.date or days > LONGEST_BREAK:
        return "no next session"
    return None if abs(other.previous / one.close - 1.0) <= AGREEMENT else "prices disagree"


def _window(records: list[Record], breaks: list[str | None], row: int, fallback: float) -> Window:
    """What is known of prices at a record: earlier sessions without a break, on a scale where its close is 100."""
    first = row
    while first > 0 and row - first < CONTEXT - 2 and breaks[first - 1] is None:
        first -= 1
    unit = records[row].close / 100.0
    closes = [records[first].previous, *(record.close for record in records[first : row + 1])]
    # Each record brings its own last return, so missing sessions between them do no harm here.
    past = records[max(0, row + 1 - VOLATILITY_DAYS) : row + 1]
    returns = [math.log(record.close / record.previous) for record in past]
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in returns) / max(len(returns) - 1, 1))
    known = len(returns) >= FEWEST_DAYS and deviation > 0
    return Window(
        stock=records[row].ticker,
        date=records[row].date,
        context=tuple(close / unit for close in closes),
        indicators={},
        statistics={},
        volatility=100.0 * deviation if known else fallback,
        price_offset=0.0,
        price_unit=unit,
    )


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, record as it stands in the file)."""
    try:
        if path.suffix.lower() == ".parquet":
            batches = pq.ParquetFile(path).iter_batches(BATCH)
            rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
            yield from ((f"{path}, row {number}", row) for number, row in enumerate(rows, start=1))
            return
        for place, line in read_lines(path, DataError):
            yield place, parse_json(line, place, DataError, "write one record a line")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file of records; give a JSONL or Parquet file") from error
    except (pa.ArrowException, ArithmeticError, ValueError, LookupError, OSError) as error:  # the first and the last
        # are Arrow's own; the others come from Python's dates, zones and text, of which Parquet holds more than Python
        raise DataError(f"{path}: not readable as JSONL or Parquet ({reason(error)}); write it again") from error


def _record(place: str, raw: Any, news: NewsConfig) -> Record | None:
    """A record; None where ticker, date or prices are missing."""
    info = raw.get("company_info") if isinstance(raw, Mapping) else None
    if not isinstance(info, Mapping):
        raise DataError(f"{place}: no company_info; a record has ticker and company_info with current_date and price")
    about, price = _table(info.get("company_info")), _table(info.get("price"))
    ticker = raw.get("ticker") or info.get("ticker")
    date = _date(info.get("current_date"))
    close, previous = _positive(price.get("close")), _positive(price.get("close_previous"))
    if not isinstance(ticker, str) or not ticker.strip() or date is None or close is None or previous is None:
        return None
    written = _table(info.get("news")).get("news_headlines")
    texts = [clean(text, news.max_length) for text in _texts(written)]
    unique = [text for text in dict.fromkeys(texts) if text][: news.per_decision]
    figures = _table(info.get("financials"))
    return Record(
        place=place,
        ticker=clean_ticker(ticker, place),
        date=date,
        close=close,
        previous=previous,
        headlines=tuple(Headline("", text) for text in unique),
        company=company(about.get("name"), about.get("description"), _table(figures.get("financials")) or figures),
    )


def _table(value: Any) -> Mapping[str, Any]:
    """A nested table, which may be written as JSON within the record; empty for anything else."""
    if isinstance(value, str):
        try:
            value = parse_json(value, "", DataError, "")
        except DataError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    entries = value.splitlines() if isinstance(value, str) else value if isinstance(value, list) else []
    found = [entry.get("headline") or entry.get("title") if isinstance(entry, Mapping) else entry for entry in entries]
    return [text for text in found if isinstance(text, str)]


def _date(value: Any) -> str | None:
    try:
        return datetime.date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        return None


def _positive(value: Any) -> float | None:
    number = finite(value)
    return number if number is not None and LEAST_PRICE <= number <= MOST_PRICE else None
