"""The digest of a base model: of its content alone, and read once."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from stonk_pipeline.errors import StageError
from stonk_pipeline.files import model_digest
from stonk_pipeline.files.model_digest import model_digests
from stonk_pipeline.files.provenance import file_digest
from stonk_pipeline.models.locations import EMBEDDED_MODELS


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(model_digest, "LEAST", 1_000_000)
    monkeypatch.setattr(model_digest, "SETTLED_SECONDS", -1.0)
    return shutil.copytree(EMBEDDED_MODELS["stonk-tiny"], tmp_path / "mine")


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read."""
    names = []
    monkeypatch.setattr(model_digest, "file_digest", lambda path: names.append(path.name) or file_digest(path))
    return names


def notes(tmp_path):
    return tmp_path / "home" / ".cache" / "stonk-pipeline" / "digests.json"


def test_model_digests_are_of_settings_tokenizer_and_weights(model):
    (model / "README.md").write_text("x")
    (model / "pytorch_model.bin").write_text("x")
    (model / "origin.json").write_text("{}")
    (model / "folder").mkdir()
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    found = model_digests(model)
    assert set(found) == {*names, "chat_template.jinja"}
    assert all(found[name] == file_digest(model / name) for name in found)


def test_model_digests_leave_out_what_a_model_is_not_loaded_from(model):
    first = model_digests(model)
    for name in ("training_args.json", "trainer_state.json", "notes.txt", "model.safetensors.index.json", "x.jinja"):
        (model / name).write_text("{}")
    assert model_digests(model) == first
    (model / "additional_chat_templates").mkdir()
    for name in ("vocab.json", "merges.txt", "added_tokens.json", "additional_chat_templates/tool_use.jinja"):
        (model / name).write_text("{}")
        assert name in model_digests(model)


def test_model_digests_read_a_large_file_once(model, read, tmp_path):
    first = model_digests(model)
    assert "model.safetensors" in read
    read.clear()
    link = tmp_path / "link"  # as the hub's cache has them
    link.mkdir()
    for path in model.iterdir():
        (link / path.name).symlink_to(path)
    assert model_digests(model) == model_digests(link) == first
    assert "model.safetensors" not in read


def test_model_digests_notice_a_file_that_was_changed_behind_its_times(model):
    path = model / "model.safetensors"
    first, before = model_digests(model), path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert model_digests(model)["model.safetensors"] == file_digest(path) != first["model.safetensors"]


def test_model_digests_note_no_file_that_has_just_been_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model_digest, "SETTLED_SECONDS", 60.0)
    model_digests(model)
    assert not notes(tmp_path).exists()


@pytest.mark.parametrize("damage", ["", "[]", '{"x": 1}', "{" * 10_000, '{"x": "not a digest"}'])
def test_model_digests_do_without_damaged_notes(model, tmp_path, damage):
    first = model_digests(model)
    (key,) = json.loads(notes(tmp_path).read_text())
    notes(tmp_path).write_text(damage.replace("x", key))
    assert model_digests(model) == first
    assert json.loads(notes(tmp_path).read_text()) == {key: first["model.safetensors"]}


def test_model_digests_do_without_a_place_for_notes(model, tmp_path):
    (tmp_path / "home").write_text("a file")
    assert model_digests(model)["model.safetensors"] == file_digest(model / "model.safetensors")


def test_model_digests_of_many_at_once_leave_whole_notes(model, tmp_path):
    copies = [shutil.copytree(model, tmp_path / str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model_digests, copies))
    assert all(each == found[0] for each in found)
    assert set(json.loads(notes(tmp_path).read_text()).values()) == {found[0]["model.safetensors"]}
    assert [path.name for path in notes(tmp_path).parent.iterdir()] == ["digests.json"]


def test_model_digests_say_what_is_missing(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(StageError, match=r"mine: no whole model there .*put it back"):
        model_digests(model)
