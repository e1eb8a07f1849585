"""JSON, YAML and tables of others: what once ended in another library's exception, or was taken in silence."""

import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.news import read_news
from preprocessing.ohlcv import read_bars
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.make.companies import read_companies
from stonk_pipeline.contracts.direction.make.records import read_records
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.contracts.forecast.external import medians, read_rows
from stonk_pipeline.contracts.forecast.protocol import HORIZON
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import ConfigError, DataError, StageError
from stonk_pipeline.files.untrusted import finite, parse_json, shown
from stonk_pipeline.files.yaml import parse_yaml
from stonk_pipeline.runs.manifest import Manifest, json_digest, read_manifest, verify

DEEP = "[" * 5_000 + "]" * 5_000
BILLION = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2019-02-30", "day is out of range"),
        ("!!int x", "invalid literal"),
        ("!!timestamp x", "NoneType"),
        ("!!bool x", "no known value"),
        ("1" * 5_000, "a number of 5,000 characters"),
        ("9" * 20, "more than 64 bits"),
        (DEEP, "nested deeper than 64 levels"),
        ("&a [*a]", "an alias of itself"),
        ("{a: 1, a: 2}", "'a' is given twice"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + BILLION, "more than 20,000 values"),
        ('"\\0"', "a character that text does not have"),
        ("\x07", "a character that text does not have"),
        ("x" * 200_000, "longer than 100,000"),
    ],
)
def test_parse_yaml_refuses_with_the_option_and_the_reason(text, why):
    with pytest.raises(ConfigError, match=re.escape(why)) as caught:
        parse_yaml(text, "--set seed=…")
    assert str(caught.value).startswith("--set seed=…: ")
    assert len(str(caught.value)) < 400


def test_parse_yaml_reads_what_settings_are_made_of():
    assert parse_yaml("{a: [1, 0.5, x], b: &b {c: null}, d: *b, e: yes}", "x") == {
        "a": [1, 0.5, "x"], "b": {"c": None}, "d": {"c": None}, "e": True,
    }  # fmt: skip
    assert parse_yaml("", "x") is None


@pytest.mark.parametrize("contract", ["[]", "{}", "[[forecast]]"])
def test_a_contract_that_is_no_text_is_refused(tmp_path, contract):
    (tmp_path / "mine.yaml").write_text(f"contract: {contract}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: contract: .* is none of forecast, direction"):
        load_config(str(tmp_path / "mine.yaml"))


def test_a_recipe_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match=r"mine\.yaml: not a plain file"):
        load_config(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DEEP, "nested deeper"),
        ("9" * 5_000, "5,000 digits"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("{", "not JSON"),
    ],
)
def test_parse_json_refuses_with_the_place(text, why):
    with pytest.raises(DataError, match=why) as caught:
        parse_json(text, "a.jsonl, line 3", DataError, "write it again")
    assert str(caught.value).startswith("a.jsonl, line 3: ") and str(caught.value).endswith("; write it again")


def test_finite_takes_numbers_that_a_float_can_hold():
    assert [finite(value) for value in (3, 2.5, 10**20)] == [3.0, 2.5, 1e20]
    assert [finite(value) for value in (10**400, float("nan"), float("inf"), True, "3", None, [])] == [None] * 7


def test_shown_takes_away_what_a_terminal_would_obey():
    assert shown("a\x1b[2J\nb") == "a\ufffd[2J b"
    assert shown("x" * 500, 10) == "xxxxxxxxx…"


def test_shown_names_the_type_of_what_cannot_be_written():
    class Beyond:
        def __str__(self) -> str:  # as pandas does for times in a zone that Python has no date for
            raise NotImplementedError("toordinal not yet supported")

    assert shown(Beyond()) == "Beyond"


def test_companies_with_huge_figures_are_read_without_them(tmp_path):
    (tmp_path / "c.json").write_text('{"KO": {"facts": {"a": %s, "b": 12345678901234567890}}}' % ("9" * 390))
    assert read_companies(tmp_path / "c.json")["KO"].facts == (("b", "12345678.9T"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"\\u202e": {"facts": {}}}', "is none; write letters"),
        ('{"": {}}', "ticker '' is none"),
        ('{"KO\\n```": {}}', "is none; write letters"),
        ('{"KO": {}, "ko": {}}', "KO: there twice"),
    ],
)
def test_companies_of_tickers_that_are_none_are_refused(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_companies(tmp_path / "c.json")


def test_news_nested_too_deep_names_the_line(tmp_path):
    (tmp_path / "n.jsonl").write_text(f"\n{DEEP}\n")
    with pytest.raises(DataError, match=r"n\.jsonl, line 2: .*nested deeper"):
        read_news(tmp_path / "n.jsonl", ["KO"], NewsConfig())


def test_records_with_prices_beyond_any_float_count_as_without_a_price(tmp_path):
    price = {"close": 10**390, "close_previous": 1.0}
    line = json.dumps({"ticker": "KO", "company_info": {"current_date": "2023-01-03", "price": price}})
    (tmp_path / "r.jsonl").write_text(line + "\n")
    made, counts = read_records(tmp_path / "r.jsonl", ExamplesConfig(), NewsConfig())
    assert (made.decisions, counts["no price"]) == ([], 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([{"a": 1.0}]), "row 1: values must be 10 prices"),
        (pa.array([[10**30] * HORIZON], pa.list_(pa.decimal128(38, 0))), "row 1: values must be 10 prices"),
        (pa.array([["x"] * HORIZON]), "row 1: values must be 10 prices"),
    ],
)
def test_forecasts_of_another_type_name_the_row(tmp_path, values, message):
    pq.write_table(pa.table({"stock": ["KO"], "date": ["2018-01-02"], "values": values}), tmp_path / "f.parquet")
    with pytest.raises(DataError, match=message):
        medians(read_rows(tmp_path / "f.parquet"))


def test_forecasts_of_a_stock_that_is_bytes_are_refused(tmp_path):
    values = pa.array([[1.0] * HORIZON])
    pq.write_table(pa.table({"stock": [b"\xff"], "date": ["2018-01-02"], "values": values}), tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"row 1: stock is no text \(bytes\)"):
        medians(read_rows(tmp_path / "f.parquet"))


def test_parquet_that_unpacks_to_more_than_memory_holds_is_refused_unread(tmp_path):
    column = pa.array(["x"] * 2_000_000).dictionary_encode()
    table = pa.table({name: column for name in ("stock", "date", "values")})
    with pq.ParquetWriter(tmp_path / "f.parquet", table.schema) as writer:
        for _ in range(5):
            writer.write_table(table)
    assert (tmp_path / "f.parquet").stat().st_size < 1_000_000
    with pytest.raises(DataError, match="10,000,000 rows of 3 columns, more than are read at once"):
        medians(read_rows(tmp_path / "f.parquet"))


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/passwd", "a/../../b", "x" * 300, ""])
def test_verify_refuses_a_manifest_that_names_files_elsewhere(tmp_path, name):
    fields = {"config": {}, "inputs": {}, "numbers": {}, "versions": {}, "git_commit": None, "seed": 1, "seconds": 1.0}
    texts = dict.fromkeys(("stage", "fingerprint", "finished"), "x") | {"digest": json_digest({})}
    forged = Manifest(**fields, **texts, outputs={name: "a" * 64}).sealed()
    (tmp_path / "manifest.json").write_text(forged.model_dump_json())
    assert read_manifest(tmp_path).seconds == 1.0
    with pytest.raises(StageError, match=r"manifest\.json: output .* is no name; run the stage again"):
        verify(tmp_path)


@pytest.mark.parametrize("value", ["1e-300", "5e-324", "1e300"])
@pytest.mark.parametrize("column", ["Close", "Adj Close"])
def test_read_bars_refuses_prices_that_arithmetic_makes_zero_or_infinite(tmp_path, column, value):
    names = ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]
    rows = [[f"2020-01-0{day}", "10", "11", "9", "10", "9.5", "100"] for day in (2, 3, 6, 7)]
    rows[2][names.index(column)] = value
    (tmp_path / "KO.csv").write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")
    with pytest.raises(DataError, match=r"KO\.csv, line 4: .* is .*, not a price above zero that can be: 1e-09 to"):
        read_bars(tmp_path / "KO.csv", DataConfig())
