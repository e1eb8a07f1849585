"""Reads news of stocks, cleans them, and selects what was published before a decision.

A decision is made at the session's close of its date, on the market's clock. Headlines published strictly before that
moment are known, later ones are not, and no step here lets a later line change what an earlier decision sees.
"""

import datetime
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.errors import DataError
from stonk_pipeline.files.untrusted import parse_json, read_lines, reason, shown
from stonk_pipeline.schema import Headline
from stonk_pipeline.text.quoting import clean

FIELDS = ("timestamp", "ticker", "headline")
SHOWN = 5
"""Wrong lines that a message names; of more, the number is given."""
Time = datetime.datetime


@dataclass(frozen=True, slots=True)
class News:
    """Headlines of each ticker, oldest first, and counts of those that were left out."""

    headlines: dict[str, tuple[Headline, ...]]
    read: int = 0
    """Lines."""
    duplicates: int = 0
    empty: int = 0
    """Headlines of which cleaning left nothing."""
    other_tickers: int = 0
    other: str = ""
    """The first ticker that is none of those to keep."""
    times: dict[str, list[Time]] = field(default_factory=dict, repr=False)
    """When each was published, UTC."""


def read_news(path: Path | Sequence[Path], tickers: Collection[str], config: NewsConfig) -> News:
    """Reads and cleans files of news.

    Args:
        path: a JSONL file of `timestamp` (ISO with a zone), `ticker` and `headline`, a folder of them, or such files.
        tickers: those to keep.
        config: how to clean.

    Returns:
        The headlines by ticker. The same text of the same ticker within `duplicate_days` is kept once, the oldest.

    Raises:
        DataError: no such file, or lines that cannot be read: names file and line, of several the first ones.
    """
    wanted = {ticker.upper() for ticker in tickers}
    lines: list[tuple[Time, str, str]] = []
    problems: list[str] = []
    read = other = empty = 0
    first_other = ""
    for file in news_files(path) if isinstance(path, Path) else path:
        for place, raw in _lines(file):
            read += 1
            try:
                time, ticker, text = _parse(raw)
            except ValueError as error:
                problems.append(f"{place}: {error}")
                continue
            except DataError as error:
                problems.append(f"{place}{error}")
                continue
            if ticker not in wanted:
                other, first_other = other + 1, first_other or ticker
            elif cleaned := clean(text, config.max_length):
                lines.append((time, ticker, cleaned))
            else:
                empty += 1
    if problems:
        more = f"\nand {len(problems) - SHOWN} more such lines" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more)
    kept, duplicates = _once(sorted(lines), datetime.timedelta(days=config.duplicate_days))
    found = _by_ticker(kept)
    return replace(
        found, read=read, duplicates=duplicates, empty=empty, other_tickers=other, other=shown(first_other, 40)
    )


def news_files(path: Path) -> list[Path]:
    """Lists the JSONL files of a folder, or the one file.

    Raises:
        DataError: there is none.
    """
    path = path.expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder of news; give a JSONL file or a folder of them")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".jsonl" and file.is_file())
    if not files:
        raise DataError(f"{path}: no .jsonl file in this folder; give one line of JSON a headline")
    return files


def close_of(date: str, config: NewsConfig) -> Time:
    """Returns the moment of decision (UTC): the session's close of a date on the market's clock."""
    clock = datetime.time.fromisoformat(config.early_closes.get(date, config.session_close))
    local = Time.combine(datetime.date.fromisoformat(date), clock, ZoneInfo(config.zone))
    return local.astimezone(datetime.UTC)


def known(news: News, ticker: str, date: str, config: NewsConfig) -> tuple[Headline, ...]:
    """Selects a ticker's headlines that were published before the close of a date, oldest first.

    At most `per_decision` of them, the newest, none older than `lookback_days`; each with its age in hours.
    """
    moment = close_of(date, config)
    times = news.times.get(ticker, [])
    first = bisect_left(times, moment - datetime.timedelta(days=config.lookback_days))
    stop = bisect_left(times, moment)  # the first at or after the close
    first = max(first, stop - config.per_decision)
    return tuple(
        replace(news.headlines[ticker][place], hours=(moment - times[place]).total_seconds() / 3600)
        for place in range(first, stop)
    )


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of each line that is not blank."""
    try:
        yield from read_lines(file, DataError)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text file in UTF-8; save it as JSONL (UTF-8)") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({reason(error)}); give a JSONL file of news") from error


def _parse(line: str) -> tuple[Time, str, str]:
    record = parse_json(line, "", DataError, "write one object a line")
    if not isinstance(record, Mapping):
        raise ValueError("not an object; write {" + ", ".join(f'"{name}": …' for name in FIELDS) + "}")
    values = []
    for name in FIELDS:
        value = record.get(name)
        if not isinstance(value, str) or (name != "headline" and not value.strip()):
            raise ValueError(f"{name} is missing or no text; every line needs {', '.join(FIELDS)}")
        values.append(value)
    return _time(values[0]), values[1].strip().upper(), values[2]


def _time(text: str) -> Time:
    try:
        time = Time.fromisoformat(text.strip())
        moment = time.astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"timestamp {text[:40]!r} is none; write it as 2015-03-04T14:30:00+00:00") from error
    if time.tzinfo is None:
        raise ValueError(f"timestamp {text[:40]!r} has no zone, so the moment is not known; append Z or +00:00")
    return moment


def _once(lines: list[tuple[Time, str, str]], span: datetime.timedelta) -> tuple[list[tuple[Time, str, str]], int]:
    """Lines, oldest first, without repetitions within the span: (kept, dropped)."""
    last: dict[tuple[str, str], Time] = {}
    kept = []
    for time, ticker, text in lines:
        key = ticker, text.casefold()
        if key not in last or time - last[key] > span:
            last[key] = time
            kept.append((time, ticker, text))
    return kept, len(lines) - len(kept)


def _by_ticker(lines: list[tuple[Time, str, str]]) -> News:
    headlines: dict[str, list[Headline]] = {}
    times: dict[str, list[Time]] = {}
    for time, ticker, text in lines:
        headlines.setdefault(ticker, []).append(Headline(time.isoformat(), text))
        times.setdefault(ticker, []).append(time)
    return News({ticker: tuple(found) for ticker, found in headlines.items()}, times=times)
