"""A hundred malformed inputs for each reader; `benchmarks/fuzz.py` puts a thousand and more."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from fuzzing.cases import Case, Reader
from fuzzing.readers import READERS
from fuzzing.worker import attempt, run

from stonk_pipeline.errors import DataError


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_malformed_inputs_are_refused_or_read(reader):
    found = run(reader, seed=1, count=100)
    assert not found.findings
    assert found.counts["refused"] >= 10 or reader.name == "run: checkpoint seals"  # these are passed over
    assert sum(found.counts.values()) == 100


def _reads(value):
    def read(directory, case):
        raise value(directory) if callable(value) else value

    return Reader("one", lambda rng: iter(()), read, lambda found: False)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (lambda at: DataError(f"{at}/x.csv, line 3: no date; write one"), "refused"),
        (DataError("something is wrong"), "vague"),
        (lambda at: DataError(f"{at}/x.csv: \x1b[2J"), "vague"),
        (lambda at: DataError(f"{at}/x.csv: {'x' * 9_000}"), "vague"),
        (KeyError("x"), "traceback"),
        (RecursionError(), "traceback"),
    ],
)
def test_attempt_tells_a_refusal_from_a_traceback(value, kind):
    assert attempt(_reads(value), Case("x"))[0] == kind


def test_attempt_finds_what_is_taken_in_silence():
    assert attempt(Reader("x", lambda rng: iter(()), lambda at, case: 1, lambda found: False), Case("x"))[0] == "silent"
