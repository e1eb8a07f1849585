"""A stage is done when its manifest verifies, and not before."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata

import pytest

from stonk_pipeline.config.base import Settings
from stonk_pipeline.errors import DataError, StageError
from stonk_pipeline.runs.manifest import (
    CHECKPOINTS,
    LOCK,
    MANIFEST,
    MARK,
    Stage,
    StageResult,
    execute,
    file_digest,
    finished,
    input_digest,
    json_digest,
    read_manifest,
    verify,
    write_atomic,
)

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


class Config(Settings):
    factor: int = 3
    seed: int = 11


class Copies:
    """A stage's body that multiplies a number in a file, and counts how often it was called."""

    def __init__(self):
        self.calls = 0
        self.fails = ""

    def __call__(self, config, inputs, out, progress):
        self.calls += 1
        self.seen = sorted(path.name for path in out.iterdir())
        number = config.factor * int((inputs["number"]).read_text())
        (out / "parts").mkdir()
        (out / "parts" / "half.txt").write_text(str(number / 2))
        for name in (CHECKPOINTS, "scratch"):
            (out / name).mkdir(exist_ok=True)
            (out / name / f"after {self.calls}").write_text("")
        progress(1, 2, "half")
        if self.fails:
            raise DataError(self.fails)
        (out / "whole.txt").write_text(str(number))
        return {"number": number, "share": 0.25, "names": ["a", "b"], "nothing": None}


@pytest.fixture
def body():
    return Copies()


@pytest.fixture
def stage(body):
    return Stage("copies", Config, body)


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "number.txt").write_text("14")
    return {"number": tmp_path / "number.txt"}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run" / "copies"


def outputs(out):
    return {name: (out / name).read_text() for name in ("parts/half.txt", "whole.txt")}


WHOLE = {"parts/half.txt": "21.0", "whole.txt": "42"}


def test_execute_runs_a_stage_once(stage, body, inputs, out):
    seen = []
    first = execute(stage, Config(), inputs, out, lambda *step: seen.append(step))
    again = execute(stage, Config(), inputs, out)
    assert body.calls == 1
    assert seen == [(1, 2, "half")]
    assert again == first == finished(stage, Config(), inputs, out)
    assert first.numbers == {"number": 42, "share": 0.25, "names": ["a", "b"], "nothing": None}
    assert (first.stage, first.path) == ("copies", out)
    assert outputs(out) == WHOLE
    assert StageResult.model_validate_json(first.model_dump_json()) == first


def test_execute_records_what_the_outputs_follow_from(stage, inputs, out):
    before = datetime.now(UTC).replace(microsecond=0)
    execute(stage, Config(factor=5), inputs, out)
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["stage"] == "copies"
    assert manifest["config"] == {"factor": 5, "seed": 11}
    assert manifest["seed"] == 11
    assert manifest["inputs"] == {"number": hashlib.sha256(b"14").hexdigest()}
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in WHOLE}
    assert manifest["outputs"] == digests  # neither checkpoints nor scratch files
    assert manifest["digest"] == json_digest(digests)
    for library in ("prefect", "pandas", "numpy", "ta"):
        assert manifest["versions"][library] == metadata.version(library)
    assert before <= datetime.fromisoformat(manifest["finished"]) <= datetime.now(UTC)
    assert 0 <= manifest["seconds"] < 60
    assert manifest["numbers"]["number"] == 70


def alter(path):
    path.write_bytes(b"43")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def delete(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


DAMAGES = [
    *((name, damage) for name in WHOLE for damage in (alter, truncate, delete, empty, replace_by_directory)),
    *((MANIFEST, damage) for damage in (alter, truncate, delete, empty)),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_execute_rebuilds_what_is_damaged(stage, body, inputs, out, name, damage):
    first = execute(stage, Config(), inputs, out)
    damage(out / name)
    assert finished(stage, Config(), inputs, out) is None
    again = execute(stage, Config(), inputs, out)
    assert body.calls == 2
    assert outputs(out) == WHOLE
    assert (again.digest, again.numbers) == (first.digest, first.numbers)
    assert verify(out).digest == first.digest


def test_execute_rebuilds_when_a_directory_of_outputs_is_gone(stage, body, inputs, out):
    execute(stage, Config(), inputs, out)
    shutil.rmtree(out / "parts")
    execute(stage, Config(), inputs, out)
    assert body.calls == 2
    assert outputs(out) == WHOLE


def test_execute_rebuilds_for_other_settings(stage, body, inputs, out):
    first = execute(stage, Config(), inputs, out)
    other = execute(stage, Config(factor=4), inputs, out)
    assert body.calls == 2
    assert (other.numbers["number"], (out / "whole.txt").read_text()) == (56, "56")
    assert other.digest != first.digest
    # A setting that does not change the outputs is a setting still.
    assert execute(stage, Config(factor=4, seed=12), inputs, out).digest == other.digest
    assert body.calls == 3


def test_execute_rebuilds_for_other_inputs(stage, body, inputs, out, tmp_path):
    execute(stage, Config(), inputs, out)
    inputs["number"].write_text("15")
    assert execute(stage, Config(), inputs, out).numbers["number"] == 45
    # What an input holds counts, not where it lies.
    (tmp_path / "elsewhere.txt").write_text("15")
    execute(stage, Config(), {"number": tmp_path / "elsewhere.txt"}, out)
    assert body.calls == 2
    execute(stage, Config(), inputs | {"another": tmp_path / "elsewhere.txt"}, out)
    assert body.calls == 3


def test_execute_rebuilds_for_another_stage_in_the_directory(stage, body, inputs, out):
    execute(stage, Config(), inputs, out)
    execute(Stage("other", Config, body), Config(), inputs, out)
    assert body.calls == 2


def test_execute_leaves_no_manifest_when_a_stage_fails(stage, body, inputs, out):
    body.fails = "no good"
    with pytest.raises(DataError, match="no good"):
        execute(stage, Config(), inputs, out)
    assert (out / "parts" / "half.txt").is_file()
    assert not (out / MANIFEST).exists()
    assert finished(stage, Config(), inputs, out) is None
    with pytest.raises(StageError, match=r"not finished.*run this stage again"):
        verify(out)


def test_execute_fails_without_the_result_of_other_settings(stage, body, inputs, out):
    execute(stage, Config(), inputs, out)
    body.fails = "no good"
    with pytest.raises(DataError):
        execute(stage, Config(factor=4), inputs, out)
    assert not (out / MANIFEST).exists()
    body.fails = ""
    assert execute(stage, Config(), inputs, out).numbers["number"] == 42
    assert body.calls == 3


def test_execute_starts_clean_after_a_failure_but_for_its_own_checkpoints(stage, body, inputs, out):
    body.fails = "killed"
    with pytest.raises(DataError):
        execute(stage, Config(), inputs, out)
    (out / "stage.log").write_text("what happened")
    (out / "half an output.txt").write_text("garbage")
    (out / f".{MANIFEST}.1.tmp").write_text("garbage")
    (out / "directory" / "deep").mkdir(parents=True)
    body.fails = ""
    execute(stage, Config(), inputs, out)
    assert set(body.seen) == {CHECKPOINTS, "stage.log", ".fingerprint", LOCK}
    assert sorted(path.name for path in (out / CHECKPOINTS).iterdir()) == ["after 1", "after 2"]
    assert outputs(out) == WHOLE
    assert set(verify(out).outputs) == set(WHOLE)


@pytest.mark.parametrize("change", ["settings", "inputs", "mark"])
def test_execute_drops_checkpoints_that_follow_from_something_else(stage, body, inputs, out, change):
    body.fails = "killed"
    with pytest.raises(DataError):
        execute(stage, Config(), inputs, out)
    body.fails = ""
    if change == "inputs":
        inputs["number"].write_text("15")
    if change == "mark":
        (out / MARK).write_text("another")
    execute(stage, Config(factor=4 if change == "settings" else 3), inputs, out)
    assert CHECKPOINTS not in body.seen
    assert [path.name for path in (out / CHECKPOINTS).iterdir()] == ["after 2"]


def test_execute_refuses_inputs_that_are_missing_or_damaged(stage, body, inputs, out, tmp_path):
    before = tmp_path / "run" / "before"
    made = Stage("before", Config, lambda config, given, out, progress: (out / "14.txt").write_text("14") and {})
    execute(made, Config(), {}, before)
    digest = execute(Stage("reads", Config, lambda *_: {}), Config(), {"number": before}, out).digest
    assert digest == json_digest({})
    (before / "14.txt").write_text("15")
    for wrong in (before, tmp_path / "nowhere"):
        with pytest.raises(StageError, match=wrong.name):
            execute(stage, Config(), {"number": wrong}, out)
        assert finished(stage, Config(), {"number": wrong}, out) is None
    assert body.calls == 0


def test_execute_refuses_the_leavings_of_an_unfinished_stage(stage, body, inputs, out, tmp_path):
    body.fails = "killed"
    with pytest.raises(DataError):
        execute(stage, Config(), inputs, out)
    with pytest.raises(StageError, match=r"copies: not finished"):
        execute(Stage("reads", Config, lambda *_: {}), Config(), {"copies": out}, tmp_path / "run" / "reads")
    assert not (tmp_path / "run" / "reads" / MANIFEST).exists()


def test_input_digest_is_that_of_the_content(stage, inputs, out, tmp_path):
    assert input_digest(inputs["number"]) == file_digest(inputs["number"]) == hashlib.sha256(b"14").hexdigest()
    assert execute(stage, Config(), inputs, out).digest == input_digest(out)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a.csv").write_text("1")
    assert input_digest(folders[0]) == input_digest(folders[1])
    (folders[1] / "deep" / "a.csv").rename(folders[1] / "deep" / "b.csv")  # names count as well
    assert input_digest(folders[0]) != input_digest(folders[1])


def test_input_digest_names_what_is_missing_or_damaged(stage, inputs, out, tmp_path):
    with pytest.raises(StageError, match=r"nowhere: no such file or directory"):
        input_digest(tmp_path / "nowhere")
    execute(stage, Config(), inputs, out)
    delete(out / "whole.txt")
    with pytest.raises(StageError, match=r"whole\.txt: missing.*run stage 'copies' again"):
        input_digest(out)
    (out / "whole.txt").write_text("43")
    with pytest.raises(StageError, match=r"whole\.txt: changed.*run stage 'copies' again"):
        input_digest(out)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"stage": "copies"}', "\x00" * 100])
def test_read_manifest_names_a_damaged_one(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StageError, match=r"manifest\.json: .*; run this stage again"):
        read_manifest(tmp_path)


def test_json_digest_follows_the_value_not_its_order():
    assert json_digest({"a": 1, "b": [1, 2]}) == json_digest({"b": [1, 2], "a": 1})
    assert json_digest({"a": 1, "b": [1, 2]}) != json_digest({"a": 1, "b": [2, 1]})


def test_write_atomic_replaces_a_file_whole(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    write_atomic(path, "né\n")
    assert path.read_bytes() == "né\n".encode()
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_write_atomic_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "x" * 100_000 + "\ud800")  # not UTF-8, noticed when most is written
    assert path.read_text() == "old"


def test_execute_refuses_a_directory_that_another_process_works_in(stage, inputs, out):
    out.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StageError, match="another process is running this stage"):
        execute(stage, Config(), inputs, out)
    holder.communicate("")
    assert execute(stage, Config(), inputs, out).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {}},  # with the files deleted, nothing would be missing
        {"numbers": {"seen": 15}},
        {"seed": 7},
        {"git_commit": "0" * 12},
        {"config": {"factor": 4}},
        {"digest": "0" * 64},
        {"seal": ""},
    ],
)
def test_verify_refuses_a_manifest_that_was_changed(stage, inputs, out, changes):
    execute(stage, Config(), inputs, out)
    path = out / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    if changes == {"outputs": {}}:
        for name in WHOLE:
            (out / name).unlink()
    with pytest.raises(StageError, match=r"manifest\.json: changed since the stage ended; run stage .* again"):
        verify(out)
    assert finished(stage, Config(), inputs, out) is None
    execute(stage, Config(), inputs, out)
    assert outputs(out) == WHOLE


def test_verify_refuses_files_that_the_stage_did_not_make(stage, inputs, out):
    execute(stage, Config(), inputs, out)
    (out / "adapter").mkdir()
    (out / "adapter" / "more.safetensors").write_text("x")
    with pytest.raises(StageError, match=r"more\.safetensors: not made by stage"):
        verify(out)


@pytest.mark.parametrize("name", ["code.py", ".git/config", MANIFEST, "checkpoints/model.pt"])
def test_execute_empties_no_directory_that_is_not_a_stages(stage, inputs, out, name):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("{}")
    found = re.escape(name.partition("/")[0])
    with pytest.raises(StageError, match=f"holds {found}, which this project has not put there; give the run a dir"):
        execute(stage, Config(), inputs, out)
    assert (out / name).read_text() == "{}"


def test_execute_knows_a_stage_of_its_own_by_the_manifest(stage, inputs, out):
    execute(stage, Config(), inputs, out)
    (out / MARK).unlink()  # as in a stage that an earlier version's retraining took over
    (out / "extra").write_text("x")
    execute(stage, Config(factor=4), inputs, out)
    assert not (out / "extra").exists()


def test_execute_follows_no_link(stage, inputs, out, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    execute(stage, Config(), inputs, elsewhere)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.symlink_to(elsewhere)
    with pytest.raises(StageError, match=r"a link to .*elsewhere, and nothing is deleted behind links"):
        execute(stage, Config(factor=4), inputs, out)
    assert verify(elsewhere)
    out.unlink()
    execute(stage, Config(), inputs, out)
    (out / "more").symlink_to(elsewhere)  # a link in a stage's own directory goes, what it leads to stays
    execute(stage, Config(factor=4), inputs, out)
    assert not (out / "more").is_symlink()
    assert verify(elsewhere)
