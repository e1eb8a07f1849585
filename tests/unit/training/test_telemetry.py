"""The log of a training, and what it notes about the answers of a step."""

import csv

import pytest

from stonk_pipeline.contracts.forecast.question import answer
from stonk_pipeline.contracts.forecast.rewards import COMPONENTS, Outcome
from stonk_pipeline.training.telemetry import OF_TRAINER, CsvLog, policy_log
from tests.marking import forecast_lesson, marks_of, spelled

COLUMNS = ("step", "loss", "note")


def rows(path):
    with path.open(newline="") as stream:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(stream)]


@pytest.fixture
def path(tmp_path):
    """A log of five steps."""
    log = CsvLog(tmp_path / "log.csv", COLUMNS)
    log.start(0)
    for step in range(1, 6):
        log.add({"step": step, "loss": step / 3, "note": "a, b"})
    return tmp_path / "log.csv"


def test_csv_log_writes_each_row_at_once_with_short_numbers(path):
    assert path.read_text().splitlines()[:2] == ["step,loss,note", '1,0.333333,"a, b"']
    assert rows(path)[-1] == (5, "1.66667")


def test_csv_log_start_at_the_beginning_forgets_an_older_file(path):
    log = CsvLog(path, COLUMNS)
    log.start(0)
    assert rows(path) == log.rows == []


def test_csv_log_start_drops_the_rows_after_a_step(path):
    log = CsvLog(path, COLUMNS)
    log.start(3)
    assert [step for step, _ in rows(path)] == [1, 2, 3]
    assert [int(row["step"]) for row in log.rows] == [1, 2, 3]
    log.add({"step": 4, "loss": 9.0, "note": ""})
    assert rows(path)[-1] == (4, "9")


@pytest.mark.parametrize("lost", range(1, 12))
def test_csv_log_start_drops_a_torn_last_line(path, lost):
    """A run is killed while it writes step 5; its last checkpoint is that of step 4."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    log = CsvLog(path, COLUMNS)
    log.start(4)
    log.add({"step": 5, "loss": 5 / 3, "note": "a, b"})
    assert path.read_bytes() == whole


def test_csv_log_start_keeps_all_rows_at_a_later_step_but_a_torn_one(path):
    path.write_bytes(path.read_bytes() + b"6,2")
    CsvLog(path, COLUMNS).start(100)
    assert [step for step, _ in rows(path)] == [1, 2, 3, 4, 5]


def test_csv_log_start_without_a_file_begins_one(tmp_path):
    log = CsvLog(tmp_path / "new.csv", COLUMNS)
    log.start(7)
    assert (tmp_path / "new.csv").read_text().splitlines() == ["step,loss,note"]


def test_policy_log_does_without_what_a_trainer_leaves_out(tmp_path):
    """Unsloth's on CUDA says nothing about the entropy."""
    from transformers import TrainerControl, TrainerState

    told, path = [], tmp_path / "log.csv"
    said = {"reward": 0.5, "reward_std": 0.1, "frac_reward_zero_std": 0.0, "completions/mean_length": 37.0}
    log = CsvLog(path, ("step", "reward", "reward_std", *OF_TRAINER))
    writer = policy_log(log, dict, lambda *step: told.append(step), 4)
    writer.on_train_begin(None, TrainerState(), TrainerControl())
    logs = said | {"learning_rate": 1e-4, "loss": 0.0, "step_time": 2.0}
    writer.on_log(None, TrainerState(global_step=1), TrainerControl(), logs)
    with path.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["entropy"], row["completion_length"], row["seconds"]) == ("", "37", "2")
    assert told == [(1, 4, "reward 0.500")]


@pytest.fixture
def noted(tmp_path):
    """What is noted about answers to a window that rose from 100 by 1, 2 and 3."""
    rose = forecast_lesson([Outcome(100.0, (101.0, 102.0, 103.0), 2.0, 0.0, 0.0, 1000.0)])

    def of(texts, group_size=2):
        marks = marks_of(rose, tmp_path, group_size)
        marks.of(spelled(texts), [0] * len(texts))
        return marks.last

    return of


def test_marks_measure_spread_within_groups(noted):
    up, down = answer("", (101.0, 102.0, 103.0), 1), answer("", (99.0, 98.0, 97.0), 1)
    apart = noted([up, down, up, down])
    assert (apart["reward_direction"], apart["spread_direction"]) == (0.0, 1.0)
    # The same answers, but each group of one mind: nothing to learn from.
    alike = noted([up, up, down, down])
    assert (alike["reward_direction"], alike["spread_direction"]) == (0.0, 0.0)
    mixed = noted([up, up, up, "no idea"])
    assert (mixed["reward_form"], mixed["spread_form"]) == (0.5, 0.5)
    assert noted([up, up, up, "no idea"], group_size=4)["spread_form"] == pytest.approx(0.75**0.5)


def test_marks_note_what_the_answers_look_like(noted):
    straight, bent = answer("", (101.0, 102.0, 103.0), 1), answer("", (101.0, 105.0, 99.0), 1)
    last = noted([straight, bent, bent, "no idea"])
    assert last["readable_share"] == 0.75
    assert last["straight_share"] == pytest.approx(1 / 3)  # of those that can be read
    assert last["up_share"] == pytest.approx(1 / 3)
    mute = noted(["no idea"] * 4)
    assert (mute["readable_share"], mute["straight_share"], mute["up_share"]) == (0.0, 0.0, 0.0)
    assert mute["reward_skill"] == -1.0


def test_marks_note_columns_of_the_log(noted):
    last = noted(["no idea"] * 2)
    columns = forecast_lesson([], random_reward=0.5).columns  # a reward for controls, which the log says nothing of
    assert set(columns) == {"step", "reward", "reward_std", *last, *OF_TRAINER}
    assert {f"{kind}_{name}" for kind in ("reward", "spread") for name in COMPONENTS} <= set(last)


def test_marks_read_the_answers_of_a_step_once(tmp_path):
    marks = marks_of(forecast_lesson([Outcome(100.0, (101.0,), 2.0, 0.0)]), tmp_path)
    ids = spelled(["no idea", answer("", (101.0,), 1)])
    assert marks.of(ids, [0, 0]) is marks.of(ids, [0, 0])
    assert marks.unread.answers == 2
    assert marks.of(list(ids), [0, 0]) == marks.of(ids, [0, 0])  # another step
    assert marks.unread.answers == 6
