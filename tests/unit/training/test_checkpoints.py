"""Only a whole checkpoint is continued from."""

import json

import pytest

from stonk_pipeline.config.base import Settings
from stonk_pipeline.errors import StageError
from stonk_pipeline.runs.manifest import Stage, execute
from stonk_pipeline.training.checkpoints import (
    SEAL,
    is_whole,
    keep_state,
    last_whole_checkpoint,
    open_state,
    publish_state,
    require_finished,
    seal,
)

FILES = {"adapter_model.safetensors": b"weights", "optimizer.pt": b"moments", "trainer_state.json": b"{}"}


def checkpoint(directory, step, *, sealed=True):
    """A checkpoint as transformers lays it out; PEFT puts a second adapter in a folder of its own."""
    path = directory / f"checkpoint-{step}"
    for name, content in (FILES | {"ref/adapter_model.safetensors": b"reference"}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content + str(step).encode())
    if sealed:
        seal(path)
    return path


def test_last_whole_checkpoint_is_the_one_with_the_highest_step(tmp_path):
    assert last_whole_checkpoint(tmp_path / "nowhere") is None
    assert last_whole_checkpoint(tmp_path) is None
    paths = [checkpoint(tmp_path, step) for step in (5, 20, 100)]  # by number, not by name
    assert last_whole_checkpoint(tmp_path) == paths[-1]


def test_last_whole_checkpoint_passes_over_what_is_none(tmp_path):
    whole = checkpoint(tmp_path, 5)
    (tmp_path / "checkpoint-9").mkdir()  # begun and nothing more
    (tmp_path / "checkpoint-10").write_text("a file")
    (tmp_path / "checkpoint-tmp").mkdir()
    checkpoint(tmp_path, 11).rename(tmp_path / "tmp-checkpoint-11")
    assert last_whole_checkpoint(tmp_path) == whole


def test_last_whole_checkpoint_passes_over_an_unsealed_one(tmp_path):
    whole = checkpoint(tmp_path, 5)
    assert is_whole(whole)
    assert not is_whole(checkpoint(tmp_path, 10, sealed=False))
    assert last_whole_checkpoint(tmp_path) == whole


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    path.write_bytes(b"x" + path.read_bytes()[1:])


@pytest.mark.parametrize("damage", [cut, alter, lambda path: path.unlink()], ids=["cut", "altered", "gone"])
@pytest.mark.parametrize("name", [*FILES, "ref/adapter_model.safetensors"])
def test_last_whole_checkpoint_passes_over_a_damaged_one(tmp_path, name, damage):
    whole = checkpoint(tmp_path, 5)
    damage(checkpoint(tmp_path, 10) / name)
    assert last_whole_checkpoint(tmp_path) == whole


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '"sealed"', '{"optimizer.pt": null}', "\x00"])
def test_last_whole_checkpoint_passes_over_a_damaged_seal(tmp_path, content):
    whole = checkpoint(tmp_path, 5)
    (checkpoint(tmp_path, 10) / SEAL).write_text(content)
    assert last_whole_checkpoint(tmp_path) == whole


def test_seal_holds_for_a_checkpoint_that_is_written_again(tmp_path):
    """A run that continues from step 5 because step 10 was damaged comes to step 10 once more."""
    path = checkpoint(tmp_path, 10)
    cut(path / "optimizer.pt")
    assert not is_whole(path)
    checkpoint(tmp_path, 10, sealed=False)
    seal(path)
    assert is_whole(path)


def test_seal_lists_every_file_of_the_checkpoint(tmp_path):
    path = checkpoint(tmp_path, 10)
    assert set(json.loads((path / SEAL).read_text())) == {*FILES, "ref/adapter_model.safetensors"}


def test_state_goes_back_to_the_last_whole_checkpoint_and_is_published_at_the_end(tmp_path):
    def train(config, inputs, out, progress):
        log = open_state(out) / "log.csv"
        weights = log.parent / "adapter" / "weights"
        steps = log.read_text().count("step") if log.exists() else 0
        for step in (steps + 1, steps + 2):
            with log.open("a") as stream:
                stream.write("a step\n")
            weights.parent.mkdir(exist_ok=True)
            weights.write_text(f"best at {step}")
            if step == steps + 1:
                made = checkpoint(out / "checkpoints", step, sealed=False)
                keep_state(made)
                seal(made)
        if step < 4:
            raise StageError("interrupted one step after a checkpoint")
        publish_state(out)
        return {}

    stage = Stage("training", Settings, train)
    for _ in range(2):
        with pytest.raises(StageError):
            execute(stage, Settings(), {}, tmp_path)
        assert not (tmp_path / "log.csv").exists()  # what is not finished shows no outputs
    execute(stage, Settings(), {}, tmp_path)
    assert (tmp_path / "log.csv").read_text() == "a step\n" * 4
    (tmp_path / "adapter" / "weights").write_text("damaged")
    (tmp_path / "checkpoints" / "checkpoint-3" / SEAL).unlink()
    execute(stage, Settings(), {}, tmp_path)
    assert (tmp_path / "adapter" / "weights").read_text() == "best at 4"


def test_open_state_drops_what_no_checkpoint_vouches_for(tmp_path):
    (open_state(tmp_path) / "log.csv").write_text("a step of a training that was killed before its first checkpoint")
    assert list(open_state(tmp_path).iterdir()) == []


def test_require_finished_refuses_a_training_that_was_stopped():
    with pytest.raises(StageError, match="stopped at step 7 of 10; run the stage again"):
        require_finished(7, 10)
    require_finished(10, 10)
