"""Runs the examples stage: windows, headlines and company facts in, labelled examples of each part out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing import reading
from preprocessing.news import News, read_news
from stonk_pipeline.contracts.direction.cases import Examples, balanced, natural, write_examples
from stonk_pipeline.contracts.direction.make.companies import read_companies
from stonk_pipeline.contracts.direction.make.decisions import decide
from stonk_pipeline.contracts.direction.make.records import read_records, split_records
from stonk_pipeline.contracts.direction.settings import ExamplesStage
from stonk_pipeline.errors import DataError
from stonk_pipeline.market import bars
from stonk_pipeline.market.headlines import generate_news, write_news
from stonk_pipeline.runs.manifest import Progress, Stage, write_atomic
from stonk_pipeline.schema import Company

NEWS, COMPANIES, RECORDS = "news/", "companies", "records/"
"""Input names: each file of headlines (`news/AAPL.jsonl`), the file of company facts, each file of records."""
PARTS = ("train", "val", "test")
GENERATED = "news.jsonl"
SUMMARY = "examples.json"


def run(config: ExamplesStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Makes the examples of every part of the split, and the sets of both training stages.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; `news/…`: files of headlines; `companies`: facts. The last two may be
            missing; the generated market has headlines of its own. Or `records/…` alone, where `config.split` is given.
        out: receives `{balanced,natural,val,test}_{decisions,movements}.jsonl`, `examples.json` with their counts, and
            the generated headlines as `news.jsonl`.
        progress: told when the labels are fixed.

    Returns:
        Counts of rises, falls and flat days in each set, and what was read of the news.

    Raises:
        DataError: news or facts cannot be read, or a stage would have no examples.
    """
    parts, read = _from_records(config, inputs) if config.split else _from_bars(config, inputs, out)
    progress(1, 2, "examples labelled")
    sets = {
        "balanced": balanced(parts["train"], config.examples, config.seed),
        "natural": natural(parts["train"], config.examples, config.seed),
        "val": parts["val"],
        "test": parts["test"],
    }
    for name, examples in sets.items():
        if not examples.decisions:
            raise DataError(
                f"no example in the set {name!r}: {_why(name)}; give more history, or lower examples.flat_percent"
            )
        write_examples(examples, out, name)
    numbers = {
        "examples": {name: examples.counts for name, examples in sets.items()},
        "with_news": {name: _with_news(examples) for name, examples in sets.items()},
    } | read
    write_atomic(out / SUMMARY, json.dumps(numbers, indent=2) + "\n")
    return numbers


STAGE = Stage("examples", ExamplesStage, run)


def _from_bars(
    config: ExamplesStage, inputs: Mapping[str, Path], out: Path
) -> tuple[dict[str, Examples], dict[str, Any]]:
    """The examples of each part, and what was read of the news."""
    directory = inputs["dataset"]
    histories = reading.read_histories(directory)
    news, informative = _news(config, inputs, list(histories), out)
    companies = _companies(inputs[COMPANIES], list(histories)) if COMPANIES in inputs else {}
    parts = {}
    for part in PARTS:
        windows, targets = reading.read_split(directory, part)
        parts[part] = decide(windows, targets, histories, news, companies, examples=config.examples, clock=config.clock)
    headlines = {"read": news.read, "duplicates": news.duplicates, "other_tickers": news.other_tickers}
    return parts, {"headlines": headlines, "informative_share": informative}


def _from_records(config: ExamplesStage, inputs: Mapping[str, Path]) -> tuple[dict[str, Examples], dict[str, Any]]:
    """The examples of each part, and how many records gave none."""
    assert config.split is not None
    files = [path for name, path in inputs.items() if name.startswith(RECORDS)]
    examples, counts = read_records(files, config.examples, config.clock)
    if not examples.decisions:
        why = ", ".join(f"{name}: {count}" for name, count in counts.items() if count) or "they are empty"
        raise DataError(f"{files[0]}: no example can be made of these records ({why}); give sessions in a row")
    return split_records(examples, config.split), {"records": counts, "informative_share": None}


def _news(
    config: ExamplesStage, inputs: Mapping[str, Path], tickers: list[str], out: Path
) -> tuple[News, float | None]:
    """The headlines, and the share of informative ones where it is known."""
    files = [path for name, path in inputs.items() if name.startswith(NEWS)]
    if files or config.market is None:
        news = read_news(files, tickers, config.clock) if files else News({})
        if news.read and news.other_tickers == news.read:
            raise DataError(
                f"{files[0]}: none of {news.read:,} headlines is of a stock of this run: there is {news.other} here, "
                f"and {tickers[0]} in the run; write the run's tickers, or give no news"
            )
        return news, None
    generated = generate_news(bars.generate(config.market), config.market, config.market_news, config.clock)
    write_news(generated, out / GENERATED)
    share = sum(headline.informative for headline in generated) / max(len(generated), 1)
    return read_news([out / GENERATED], tickers, config.clock), round(share, 4)


def _companies(path: Path, tickers: list[str]) -> dict[str, Company]:
    """The facts, of which some at least are of this run's stocks."""
    companies = read_companies(path)
    if companies and not companies.keys() & set(tickers):
        raise DataError(
            f"{path}: none of {len(companies):,} companies is a stock of this run: there is {next(iter(companies))} "
            f"here, and {tickers[0]} in the run; write the run's tickers, or give no file of companies"
        )
    return companies


def _with_news(examples: Examples) -> int:
    return sum(bool(decision.headlines) for decision in examples.decisions)


def _why(name: str) -> str:
    return "no stock has both rises and falls in one period" if name == "balanced" else "the part has no windows"
