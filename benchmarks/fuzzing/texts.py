"""Malformed news, direction records, companies and outside forecasts."""

import datetime
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.news import read_news
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.make.companies import read_companies
from stonk_pipeline.contracts.direction.make.records import read_records
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.contracts.forecast.external import medians, read_rows
from stonk_pipeline.contracts.forecast.protocol import HORIZON

from .cases import DEEP, WHOLE, Case, Reader, damaged, of_json, of_lines, printable

NEWS = [
    json.dumps(
        {"timestamp": f"2015-03-{day:02d}T14:30:00+00:00", "ticker": "AAPL", "headline": f"Phones sell {day} times"}
    )
    for day in range(1, 9)
]
COMPANIES = json.dumps({
    "AAPL": {"name": "Apple", "description": "Makes phones.", "facts": {"Revenues": 394328000000, "EPS": 6.11}},
    "KO": {"name": "Coca-Cola", "facts": {"Founded": "1892"}},
})  # fmt: skip


def _record(day: int) -> dict[str, Any]:
    return {
        "ticker": "AAPL",
        "company_info": {
            "current_date": f"2023-01-{day:02d}",
            "company_info": {"name": "Apple Inc", "description": "Makes phones."},
            "price": {"close": 100.0 + day, "close_previous": 99.0 + day},
            "news": {"news_headlines": ["Phones sell", "Nothing new"]},
            "financials": {"financials": json.dumps({"Revenues": 394328000000, "EPS": 6.11})},
        },
    }


RECORDS = [json.dumps(_record(day)) for day in (9, 10, 11, 12, 13)]
FORECASTS = "stock,date,values\n" + "".join(
    f'AAPL,2018-01-{day:02d},"[{", ".join(str(100.5 + step) for step in range(HORIZON))}]"\n' for day in (2, 3, 4, 5)
)


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


ODD = [
    pa.array([b"\xff\xfe", b"", None]), pa.array([{"a": 1}, {"a": None}, None]), pa.array([[1], [], None]),
    pa.array([["x"], [None], None]), pa.array([2**62, -1, 0]), pa.array([float("nan"), float("inf"), -0.0]),
    pa.array([datetime.datetime(9999, 12, 31), datetime.datetime(1, 1, 1), None]), pa.array([True, False, None]),
    pa.array([2**62, 0, -(2**62)], pa.timestamp("us")), pa.array([0, 1, 2], pa.timestamp("ns", "Not/AZone")),
    pa.array([0, 1, 2], pa.timestamp("s", "+99:99")), pa.array([2**40, 0, 1], pa.timestamp("s", "UTC")), pa.nulls(3),
    pa.array(["a", "b", "a"]).dictionary_encode(), pa.array([1, 2, 3], pa.duration("s")), pa.array([[[1]],
    [[2]], None]),
    pa.array([10**30, 1, None], pa.decimal128(38, 0)), pa.array([2**31 - 1, -(2**31), 0], pa.date32()),
    pa.array([[("k", 1)], [("k", 1), ("k", 2)], None], pa.map_(pa.string(),
    pa.int64())),
    pa.array(["2018-01-02", "x" * 70_000, "\x00"]), pa.array([b"1.5", b"2", b"3"],
    pa.binary()),
    pa.array([1.0, 2.0, 3.0], pa.float16()), pa.array([0, 1, 2], pa.time64("ns")), pa.array([[1.0, None], [2.0], None]),
]  # fmt: skip
"""Columns of three rows, of every type that a file can have where another is meant."""


def _odd_table(rng: random.Random, good: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    table = good.slice(0, 3)
    for name in rng.sample(columns, rng.choice((1, 1, 2))):
        way = rng.randrange(8)
        if way == 0:
            table = table.drop_columns([name]) if name in table.column_names else table
        elif way == 1 and name in table.column_names:
            table = table.append_column(name, table[name])
        elif name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, rng.choice(ODD))
    return table


def of_parquet(rng: random.Random, name: str, good: pa.Table, columns: tuple[str, ...]) -> Iterator[Case]:
    """Cases of a reader of Parquet: columns of other types, gone or twice; bytes after accidents."""
    whole = parquet(good)
    for number, content in enumerate(WHOLE):
        yield Case(f"whole {number}", {name: content})
    yield Case("one row a billion times", {name: _bomb(good)}, refused=True)
    while True:
        if rng.random() < 0.7:
            try:
                yield Case("table", {name: parquet(_odd_table(rng, good, columns))})
            except pa.ArrowException:
                continue
        else:
            yield Case("accident", {name: damaged(rng, whole)})


def _bomb(good: pa.Table) -> bytes:
    """Few bytes that unpack to very many rows of the same value."""
    table = pa.table({name: pa.array(["x"] * 2_000_000).dictionary_encode() for name in good.column_names})
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)
    return stream.getvalue()


def _take_turns(rng: random.Random, *supplies: Iterator[Case]) -> Iterator[Case]:
    while True:
        for supply in supplies:
            yield next(supply)


def records_cases(rng: random.Random) -> Iterator[Case]:
    """JSONL and Parquet in turn."""
    table = pa.Table.from_pylist([json.loads(line) for line in RECORDS])
    yield Case("nested", {"r.jsonl": ('{"a":' * DEEP + "1" + "}" * DEEP).encode()}, refused=True)
    yield Case("twice", {"r.jsonl": b'{"ticker": "A", "ticker": "B", "company_info": {}}'}, refused=True)
    lines = of_lines(rng, "r.jsonl", RECORDS)
    yield from _take_turns(rng, lines, lines, of_parquet(rng, "r.parquet", table, ("ticker", "company_info")))


def forecast_cases(rng: random.Random) -> Iterator[Case]:
    """CSV and Parquet in turn."""
    values = [[100.5 + step for step in range(HORIZON)]] * 3
    days = ["2018-01-02", "2018-01-03", "2018-01-04"]
    table = pa.table({"stock": ["AAPL"] * 3, "date": days, "values": values})
    for bad in ("", "nan", "inf", "1e400", "-1", "x", "[]", "{}", "[1", "9" * 400, "\x00"):
        row = [bad, *("1.5" for _ in range(HORIZON - 1))]
        yield Case("price", {"f.csv": f'stock,date,values\nA,2018-01-02,"[{", ".join(row)}]"\n'.encode()}, refused=True)
    yield from _take_turns(rng, _forecast_texts(rng), of_parquet(rng, "f.parquet", table, ("stock", "date", "values")))


def _forecast_texts(rng: random.Random) -> Iterator[Case]:
    for number, content in enumerate(WHOLE):
        yield Case(f"whole {number}", {"f.csv": content})
    while True:
        yield Case("accident", {"f.csv": damaged(rng, FORECASTS.encode())})


def _sound_news(news: Any) -> bool:
    ordered = all(times == sorted(times) for times in news.times.values())
    texts = [headline.text for found in news.headlines.values() for headline in found]
    return ordered and all(text.isprintable() and text for text in texts)


def _sound_records(found: Any) -> bool:
    examples, counts = found
    for decision, movement in zip(examples.decisions, examples.movements, strict=True):
        numbers = [*decision.window.context, decision.window.volatility, decision.window.price_unit, movement.change]
        texts = [decision.window.stock, *(headline.text for headline in decision.headlines)]
        if not (np.isfinite(numbers).all() and min(decision.window.context) > 0 and all(map(str.isprintable, texts))):
            return False
        if movement.end <= decision.window.date:
            return False
    return sum(counts.values()) - counts["read"] + len(examples.decisions) == counts["read"]  # each is accounted for


def _sound_companies(found: Any) -> bool:
    return all(
        printable([ticker, about.name, about.description, about.facts]) and ticker for ticker, about in found.items()
    )


def _sound_forecasts(found: Any) -> bool:
    return bool(found) and all(
        prices.shape == (HORIZON,) and np.isfinite(prices).all() and prices.min() >= 0 and printable(list(key))
        for key, prices in found.items()
    )


def _records(directory: Path, case: Case) -> Any:
    return read_records(directory / next(iter(case.files)), ExamplesConfig(max_train_samples=None), NewsConfig())


READERS = [
    Reader(
        "news",
        lambda rng: of_lines(rng, "n.jsonl", NEWS),
        lambda at, case: read_news(at / "n.jsonl", ["AAPL", "KO"], NewsConfig()),
        _sound_news,
    ),
    Reader("direction records", records_cases, _records, _sound_records),
    Reader(
        "companies",
        lambda rng: of_json(rng, "c.json", COMPANIES),
        lambda at, case: read_companies(at / "c.json"),
        _sound_companies,
    ),
    Reader(
        "outside forecasts",
        forecast_cases,
        lambda at, case: medians(read_rows(at / next(iter(case.files)))),
        _sound_forecasts,
    ),
]
