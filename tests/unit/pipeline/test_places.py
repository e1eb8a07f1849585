"""Runs and models are made in places of their own, and take nothing of somebody for theirs."""

import json
import os

import pytest

from stonk_pipeline.commands import merge
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import open_run, write_run
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.pipeline import places
from stonk_pipeline.pipeline.places import ORIGIN
from stonk_pipeline.pipeline.publishing import publish
from stonk_pipeline.pipeline.run import CONFIG, LOG, alone_in, require_run_dir
from stonk_pipeline.runs.manifest import MARK
from tests.unit.files.test_folders import ended, left_by
from tests.unit.files.test_foreign_files import content, mine
from tests.unit.pipeline.test_publishing import trained


@pytest.mark.parametrize(
    "text", ['{"model": "my-resnet", "data": "imagenet"}', '{"model": {"name": "x"}, "data": {"path": "y"}}']
)
def test_run_takes_no_directory_for_its_own_by_two_names_that_many_use(tmp_path, text):
    mine(tmp_path / "run" / CONFIG, text)
    mine(tmp_path / "run" / "train.py")
    with pytest.raises(StageError, match=r"holds config\.json, which this project has not put there"):
        write_run(tmp_path / "run", load_config("default"))
    assert (tmp_path / "run" / CONFIG).read_text() == text


@pytest.mark.parametrize("recipe", ["default", "direction"])
def test_run_knows_its_settings_of_an_earlier_version(tmp_path, recipe):
    write_run(tmp_path, load_config(recipe))
    settings = json.loads((tmp_path / CONFIG).read_text())
    del settings["wait_minutes"], settings["data"]["stride"]
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"abolished": 1}))
    require_run_dir(tmp_path)


@pytest.mark.parametrize("inside", ["stage", "unmarked stage", "adapter", "merge", "entry", "run"])
def test_nothing_is_made_inside_of_what_is_replaced_as_a_whole(tmp_path, inside):
    run = trained(tmp_path, "run", "2026-01-02T00:00:00Z")
    if "stage" in inside:
        place, kind = run.stage_dir("sft"), "a stage"
        if inside == "unmarked stage":
            (place / MARK).unlink()
    elif inside == "adapter":
        place, kind = publish(run, "sft"), "a published adapter"
    elif inside == "merge":
        note = mine(tmp_path / "merged" / ORIGIN, '{"base": "a", "adapter": "b", "digest": "c"}')
        place, kind = note.parent, "a merged model"
    elif inside == "entry":
        note = mine(tmp_path / "x" / places.ENTRY, '{"id": "a", "key": "b", "registered": "c"}')
        place, kind = note.parent, "a registered model"
    else:
        place, kind = write_run(tmp_path / "whole", load_config("default")).directory, "a run"
    before = content(tmp_path)
    with pytest.raises(StageError, match=f"lies in .*, which is {kind}; give the run a directory of its own"):
        alone_in(place / "deep" / "mine", "x").__enter__()
    with pytest.raises(ConfigError, match=f"lies in .*, which is {kind}; give --out a folder of its own"):
        merge.merge(run.config.model, run.stage_dir("sft") / "adapter", place / "mine")
    other = write_run(tmp_path / "other", PipelineConfig(models_dir=str(place / "models")))
    with pytest.raises(StageError, match=f"lies in .*, which is {kind}; give another --models-dir"):
        other.require_inputs("preprocess")
    assert content(tmp_path).items() - content(other.directory).items() == before.items()


def test_folds_and_their_models_lie_in_their_run(tmp_path):
    run = write_run(tmp_path / "walk", load_config("default", {"data": {"folds": 2}}))
    for fold in run.folds:
        require_run_dir(fold.directory)
        fold.require_inputs("preprocess")
    own = load_config("default", {"models_dir": str(tmp_path / "own" / "models")})
    write_run(tmp_path / "own", own).require_inputs("preprocess")


@pytest.fixture
def merged(monkeypatch):
    """Merges without a model: two files, in place of seconds of arithmetic."""

    def save(model, adapter, out):
        for name in ("config.json", "model.safetensors"):
            (out / name).write_text("{}")

    monkeypatch.setattr(merge, "save_merged", save)
    monkeypatch.setattr(merge, "of_adapter", lambda model, adapter: model)
    return merge.merge


def test_merge_replaces_its_own_and_sweeps_what_a_killed_one_left(tmp_path, merged):
    adapter = mine(tmp_path / "adapter" / "adapter_config.json", "{}").parent
    left, running = (mine(left_by(number, tmp_path / "out.new") / "half") for number in (ended(), os.getpid()))
    kept = mine(tmp_path / ".out.2023.new" / "a.txt")
    other = mine(left_by(ended(), tmp_path / "else.new") / "half")
    for _ in range(2):
        merged(load_config("default").model, adapter, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors", ORIGIN]
    assert [path.is_file() for path in (left, running, kept, other)] == [False, True, True, True]


def test_merge_that_fails_leaves_nothing(tmp_path, merged, monkeypatch):
    adapter = mine(tmp_path / "adapter" / "adapter_config.json", "{}").parent

    def fail(model, adapter, out):
        (out / "half").write_text("x")
        raise OSError("no space left")

    monkeypatch.setattr(merge, "save_merged", fail)
    with pytest.raises(OSError, match="no space left"):
        merge.merge(load_config("default").model, adapter, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize("where", ["adapter", "adapter/deep", ".", "base", "base/deep"])
def test_merge_writes_not_where_that_is_which_it_merges(tmp_path, merged, where):
    adapter = mine(tmp_path / "adapter" / "adapter_config.json", "{}").parent
    mine(tmp_path / "base" / CONFIG, "{}")
    (tmp_path / where).mkdir(exist_ok=True)
    mine(tmp_path / where / ORIGIN, '{"base": "a", "adapter": "b", "digest": "c"}')
    model = load_config("default").model.model_copy(update={"name": str(tmp_path / "base")})
    before = content(tmp_path)
    with pytest.raises(ConfigError, match="give --out a folder of its own"):
        merged(model, adapter, tmp_path / where)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "note", ["{}", '{"country": "x"}', '{"base": "a", "adapter": "b", "digest": "c"}', None], ids=range(4)
)
def test_merge_takes_no_origin_for_a_mark_beside_files_of_somebody(tmp_path, merged, note):
    adapter = mine(tmp_path / "adapter" / "adapter_config.json", "{}").parent
    out = tmp_path / "geo"
    if note is None:
        merged(load_config("default").model, adapter, out)
    else:
        mine(out / ORIGIN, note)
    thesis = mine(out / "thesis.tex")
    with pytest.raises(ConfigError, match="give --out a folder of its own"):
        merged(load_config("default").model, adapter, out)
    assert thesis.read_text() == "mine"
    mine(tmp_path / "p3b" / ".backup.20240101.old" / "x")
    with pytest.raises(ConfigError, match=r"holds \.backup\.20240101\.old"):
        merged(load_config("default").model, adapter, tmp_path / "p3b")


def test_run_without_settings_goes_on_with_the_first_step(tmp_path):
    walk = write_run(tmp_path / "walk", load_config("default", {"data": {"folds": 2}}))
    done = trained(tmp_path, "run", "2026-01-02T00:00:00Z").directory
    for path in ("promotion/decision.json", "report.html", LOG):
        mine(done / path)
    (done / "stage2_sft" / MARK).unlink(missing_ok=True)
    for directory in (walk.directory, done):
        (directory / CONFIG).unlink(missing_ok=True)
        require_run_dir(directory)
        with pytest.raises(StageError, match="no run lies here"):
            open_run(directory)
        mine(directory / "novel.txt")
        with pytest.raises(StageError, match=r"holds novel\.txt, which this project has not put there"):
            require_run_dir(directory)
