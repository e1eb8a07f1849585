"""The forward log: what is stamped, what is late, and that no past entry can be changed unseen."""

import json
import multiprocessing
from datetime import UTC, datetime

import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.errors import LogError
from stonk_pipeline.evaluation.quantiles import LEVELS
from stonk_pipeline.files import journal
from stonk_pipeline.records.forward_log import GENESIS, LOG, Forecasted, append, read, verify_chain
from stonk_pipeline.runs.manifest import json_digest

EARLY, LATE = datetime(2026, 3, 2, 22, tzinfo=UTC), datetime(2026, 3, 3, 21, tzinfo=UTC)


def forecast(stock="AAPL", last="2026-03-02", model="abc"):
    return Forecasted(
        stock=stock,
        model=model,
        adapter_digest="d",
        base_model="stonk-tiny",
        data_digest="e",
        last_bar=last,
        last_close=100.0,
        calendar="XNYS",
        targets=("2026-03-03", "2026-03-04"),
        first_close="2026-03-03T21:00:00+00:00",
        answers=8,
        readable=1.0,
        levels=LEVELS,
        quantiles=tuple((90.0 + step, 91.0 + step) for step in range(len(LEVELS))),
    )


@pytest.fixture
def log(tmp_path):
    """Five entries."""
    for number in range(5):
        append(tmp_path, forecast(stock=f"S{number}"), EARLY)
    return tmp_path


def lines(directory):
    return (directory / LOG).read_text().splitlines(keepends=True)


def write(directory, content):
    (directory / LOG).write_text("".join(content))


def test_append_chains_entries(log):
    entries = read(log)
    assert [entry.n for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == GENESIS
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]
    assert entries[0].stamp == "2026-03-02T22:00:00.000000+00:00"
    assert not any(entry.late for entry in entries)


def test_append_marks_what_comes_after_the_first_close(tmp_path):
    assert append(tmp_path, forecast("A"), LATE)[0].late
    assert not append(tmp_path, forecast("B"), LATE.replace(hour=20, minute=59))[0].late


def test_append_takes_one_forecast_of_a_stock_from_a_bar(tmp_path):
    first, added = append(tmp_path, forecast(), EARLY)
    other = forecast().model_copy(update={"quantiles": tuple((1.0, 2.0) for _ in LEVELS)})
    again, added_again = append(tmp_path, other, EARLY)
    assert (added, added_again) == (True, False)
    assert again == first
    assert append(tmp_path, forecast(model="other"), EARLY)[1]
    assert append(tmp_path, forecast(last="2026-03-03"), EARLY)[1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"coverage": {"0.5": 0.5, "0.9": 0.9}, "tested": 100}, "not what each of them held"),
        ({"coverage": {"0.5": 0.5, "0.8": 0.8, "0.9": 0.9}}, "in how many test windows"),
        ({"last_close": 1e200}, "which is no price"),
    ],
)
def test_append_refuses_what_no_sentence_or_picture_can_show(tmp_path, changes, why):
    with pytest.raises(LogError, match=why):
        append(tmp_path, forecast().model_copy(update=changes))


@pytest.mark.parametrize("place", [0, 2, 4])
def test_verify_names_an_altered_entry(log, place):
    content = lines(log)
    content[place] = content[place].replace('"last_close": 100.0', '"last_close": 100.1')
    write(log, content)
    broken, before = verify_chain(log)
    assert (broken.line, len(before)) == (place + 1, place)
    assert f"entry {place + 1}, S{place} from 2026-03-02" in broken.entry
    assert "altered" in broken.why
    with pytest.raises(LogError, match=f"line {place + 1}"):
        append(log, forecast("NEW"), EARLY)


def test_verify_finds_an_alteration_with_a_digest_made_anew(log):
    content = lines(log)
    record = json.loads(content[1])
    record["quantiles"][0][0] = 1.0
    record["digest"] = json_digest({name: value for name, value in record.items() if name != "digest"})
    write(log, [content[0], json.dumps(record) + "\n", *content[2:]])
    broken, _ = verify_chain(log)
    assert broken.line == 3
    assert "does not follow the entry before it" in broken.why


@pytest.mark.parametrize(
    ("order", "line"), [([0, 1, 3, 4], 3), ([1, 2, 3, 4], 1), ([0, 2, 1, 3, 4], 2), ([0, 1, 1, 2, 3, 4], 3)]
)
def test_verify_finds_entries_that_were_removed_moved_or_repeated(log, order, line):
    content = lines(log)
    write(log, [content[place] for place in order])
    broken, _ = verify_chain(log)
    assert broken.line == line


def test_verify_finds_a_late_entry_that_says_it_was_in_time(tmp_path):
    append(tmp_path, forecast(), LATE)
    record = json.loads(lines(tmp_path)[0])
    record["late"] = False
    record["digest"] = json_digest({name: value for name, value in record.items() if name != "digest"})
    write(tmp_path, [json.dumps(record) + "\n"])
    broken, _ = verify_chain(tmp_path)
    assert "was not" in broken.why


def test_a_cut_end_is_found_only_with_a_published_head(log, capsys):
    head = read(log)[-1].digest
    where = ["--forecasts-dir", str(log)]
    assert main(["verify", *where, "--head", head]) == 0
    write(log, lines(log)[:3])
    capsys.readouterr()
    assert main(["verify", *where]) == 0
    said = capsys.readouterr().out
    assert "3 entries, unbroken" in said
    assert "A chain alone cannot show" in said
    assert main(["verify", *where, "--head", head]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_a_torn_last_line_is_passed_over_and_removed(log):
    with (log / LOG).open("a") as stream:
        stream.write('{"n": 6, "stock": "TO')
    assert len(read(log)) == 5
    append(log, forecast("NEW"), EARLY)
    assert [entry.stock for entry in read(log)] == ["S0", "S1", "S2", "S3", "S4", "NEW"]


def test_a_last_line_that_lacks_only_its_line_feed_is_kept(log):
    (log / LOG).write_text((log / LOG).read_text().rstrip("\n"))
    append(log, forecast("NEW"), EARLY)
    assert len(read(log)) == 6


def test_a_line_that_is_no_record_stops_reader_and_writer(log):
    content = lines(log)
    write(log, [content[0], "garbage\n", *content[1:]])
    with pytest.raises(LogError, match="line 2: not JSON"):
        read(log)
    with pytest.raises(LogError, match="line 2"):
        append(log, forecast("NEW"), EARLY)


def _append_ten(directory, name):
    for number in range(10):
        append(directory, forecast(f"{name}{number}"), EARLY)


def test_two_writers_at_once_give_one_chain(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_ten, args=(tmp_path, name)) for name in "AB"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = read(tmp_path)
    assert len(entries) == 20
    assert len({entry.stock for entry in entries}) == 20


def test_journal_reads_nothing_where_there_is_nothing(tmp_path):
    assert journal.read(tmp_path / "none.jsonl") == []
