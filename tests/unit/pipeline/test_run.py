"""The wiring of the stages, a run's directory, and the published adapters."""

import json
import shutil
from pathlib import Path

import pytest

from stonk_pipeline.config.base import Settings
from stonk_pipeline.contracts.forecast import tiny
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.forecast.steps import STEPS as FORECAST
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import open_run, write_run
from stonk_pipeline.errors import ConfigError, DataError, StageError
from stonk_pipeline.pipeline.graph import Step
from stonk_pipeline.pipeline.publishing import publish
from stonk_pipeline.pipeline.run import new_directory
from stonk_pipeline.runs.manifest import Stage, execute

BARS = "Date,Open,High,Low,Close,Volume\n2020-01-02,1,2,1,2,9\n"


def create_run(config, stamp):
    return write_run(new_directory(config, stamp), config)


# The wiring


def test_steps_are_in_an_order_in_which_they_can_run():
    names = list(FORECAST)
    for place, step in enumerate(FORECAST.values()):
        assert set(step.needs.values()) <= set(names[:place]), step.name
        assert step.name == names[place]
    assert FORECAST["preprocess"].needs == {}


def test_steps_lead_to_the_comparison():
    needed, todo = set(), ["compare"]
    while todo:
        step = todo.pop()
        needed.add(step)
        todo += FORECAST[step].needs.values()
    assert needed == set(FORECAST)


def test_steps_lie_where_the_specification_says():
    assert {step.name: step.directory for step in FORECAST.values()} == {
        "preprocess": "preprocessing",
        "warm-up": "warm_up",
        "grpo-first": "stage1_grpo_training",
        "sample": "sft_data_generation",
        "sft": "stage2_sft_training",
        "grpo-second": "stage3_grpo_from_sft",
        "compare": "model_comparison",
    }
    assert {step.name: step.publishes for step in FORECAST.values() if step.publishes} == {
        "grpo-first": "grpo_lora_1st",
        "sft": "sft_lora",
        "grpo-second": "grpo_lora_2nd",
    }


def test_steps_train_from_what_the_method_says():
    assert FORECAST["sample"].needs["policy"] == "grpo-first"
    assert (
        "grpo-first" not in FORECAST["sft"].needs.values()
    )  # the base model is fine-tuned, on the chosen answers alone
    assert FORECAST["grpo-second"].needs["start"] == "sft"
    assert set(FORECAST["compare"].needs.values()) == {"preprocess", "grpo-first", "sft", "grpo-second"}


@pytest.mark.parametrize("step", FORECAST.values(), ids=list(FORECAST))
def test_steps_load_a_stage_that_takes_their_settings(step):
    stage = step.load()
    assert isinstance(stage, Stage)
    assert stage.name == step.directory
    assert isinstance(step.settings(PipelineConfig()), stage.config_type)


def test_step_says_where_it_can_be_loaded():
    step = Step("x", "X", "no_such_module:STAGE", "x", PipelineConfig.sft_stage, {})
    with pytest.raises(StageError, match=r"no_such_module:STAGE cannot be imported .*; install the package anew"):
        step.load()


# A run


def config_for(tmp_path, **settings):
    folders = {"results_dir": str(tmp_path / "results"), "models_dir": str(tmp_path / "models")}
    return make_config(folders | settings, source="test")


def test_create_run_names_the_directory_after_stocks_and_time(tmp_path):
    config = config_for(tmp_path, data={"stocks": ["aapl", "GE"]}, model={"name": "Qwen/Qwen2.5-7B-Instruct"})
    run = create_run(config, "20261121-004500")
    assert run.directory == tmp_path / "results" / "AAPL+GE_20261121-004500"
    assert run.models_dir == tmp_path / "models" / "Qwen--Qwen2.5-7B-Instruct" / "AAPL+GE"
    assert run.stage_dir("sft") == run.directory / "stage2_sft_training"
    assert open_run(run.directory) == run


def test_create_run_stays_among_the_results(tmp_path):
    config = config_for(tmp_path, data={"stocks": ["../../etc/passwd"]})
    run = create_run(config, "20261121-004500")
    assert run.directory.parent == tmp_path / "results"
    assert run.models_dir.resolve().is_relative_to(tmp_path / "models" / "stonk-tiny")


def test_write_run_reopens_a_directory_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = write_run(Path("mine"), config_for(tmp_path))
    (first.directory / "kept.txt").write_text("")
    again = write_run(Path("mine"), config_for(tmp_path, seed=5))
    assert again.directory == first.directory == tmp_path / "mine"  # also for a process that stands elsewhere
    assert open_run(tmp_path / "mine").config.seed == 5
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["config.json", "kept.txt"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, StageError, r"no run lies here \(config\.json is missing\); give the directory of one"),
        ("", StageError, r"config\.json: not JSON"),
        ('{"seed": 1', StageError, r"config\.json: not JSON"),
        ('{"seeds": 1}', ConfigError, r"(?s)config\.json: wrong settings.*seeds"),
        ("[]", StageError, r"config\.json: no table of names and values"),
    ],
)
def test_open_run_names_a_directory_that_is_none(tmp_path, content, error, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(error, match=message):
        open_run(tmp_path)


def test_run_inputs_are_the_directories_of_earlier_steps(tmp_path):
    run = create_run(config_for(tmp_path), "now")
    assert run.inputs("preprocess") == {}  # the generated market needs no files
    model = tiny.DIRECTORY
    assert run.inputs("sft") == {
        "examples": run.directory / "sft_data_generation",
        "start": run.directory / "warm_up",
        "model": model,
    }
    assert run.inputs("grpo-second") == {
        "dataset": run.directory / "preprocessing",
        "start": run.directory / "stage2_sft_training",
        "model": model,
    }


def test_run_inputs_of_the_first_step_are_files_of_bars(tmp_path):
    for name in ("AAPL", "GE"):
        (tmp_path / f"{name}.csv").write_text(BARS)
    data = {"data_dir": str(tmp_path), "stocks": ["ge"]}
    assert create_run(config_for(tmp_path, data=data), "now").inputs("preprocess") == {"GE": tmp_path / "GE.csv"}
    with pytest.raises(DataError, match="MSFT: no bars"):
        create_run(config_for(tmp_path, data=data | {"stocks": ["MSFT"]}), "now").inputs("preprocess")


def test_run_executes_a_step_that_is_not_done(tmp_path):
    config = config_for(tmp_path, data={"market": {"tickers": 1, "days": 400}})
    run = create_run(config, "now")
    assert run.finished("preprocess") is None
    seen = []
    result = run.execute("preprocess", lambda *step: seen.append(step))
    assert seen == [(1, 1, "SIM01")]
    assert run.finished("preprocess") == run.execute("preprocess", lambda *step: seen.append(step)) == result
    assert len(seen) == 1
    assert Path(result.directory) == run.stage_dir("preprocess")
    other = write_run(run.directory, config_for(tmp_path, data={"market": {"tickers": 1, "days": 401}}))
    assert other.finished("preprocess") is None


def test_run_refuses_a_step_before_those_it_needs(tmp_path):
    run = create_run(config_for(tmp_path), "now")
    assert run.finished("sft") is None
    with pytest.raises(StageError, match=r"sft needs preprocess: .*preprocessing: not finished"):
        run.execute("sft", lambda *_: None)


# Published adapters


def train(run, step, **files):
    """A stage in the step's directory that leaves an adapter with these files."""

    def body(config, inputs, out, progress):
        for name, content in files.items():
            path = out / "adapter" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return {}

    execute(Stage(FORECAST[step].directory, Settings, body), Settings(), {}, run.stage_dir(step))


def files(directory):
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path):
    return create_run(config_for(tmp_path), "now")


def test_publish_copies_the_adapter_and_says_where_it_came_from(run):
    train(run, "sft", weights="w1", folder__more="m")
    target = publish(run, "sft")
    assert target == run.models_dir / "sft_lora"
    assert files(target) == {"weights", "folder/more", "origin.json"}
    assert (target / "weights").read_text() == "w1"
    origin = json.loads((target / "origin.json").read_text())
    assert origin["run"] == str(run.directory)
    assert origin["step"] == "sft"
    assert origin["digest"] == json.loads((run.stage_dir("sft") / "manifest.json").read_text())["digest"]
    assert [path.name for path in run.models_dir.iterdir()] == ["sft_lora"]


def test_publish_leaves_what_is_there_already(run):
    train(run, "sft", weights="w1")
    before = publish(run, "sft").stat()
    after = publish(run, "sft").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_publish_replaces_an_older_adapter_whole(run, tmp_path):
    train(run, "sft", weights="w1", old="o")
    publish(run, "sft")
    other = create_run(run.config, "later")
    train(other, "sft", weights="w2", new="n")
    target = publish(other, "sft")
    assert files(target) == {"weights", "new", "origin.json"}
    assert (target / "weights").read_text() == "w2"
    assert [path.name for path in target.parent.iterdir()] == ["sft_lora"]
    # And back again: the last one published counts, not the newest one trained.
    assert (publish(run, "sft") / "weights").read_text() == "w1"


@pytest.mark.parametrize("name", ["weights", "origin.json"])
def test_publish_mends_a_published_adapter_that_was_damaged(run, name):
    train(run, "sft", weights="w1")
    target = publish(run, "sft")
    (target / name).write_text("{")
    publish(run, "sft")
    assert (target / "weights").read_text() == "w1"
    assert json.loads((target / "origin.json").read_text())["step"] == "sft"


def test_publish_shows_nothing_when_copying_fails_half_way(run):
    train(run, "sft", weights="w1")
    link = run.stage_dir("sft") / "adapter" / "link"
    link.symlink_to("nowhere")
    with pytest.raises(shutil.Error):
        publish(run, "sft")
    assert not (run.models_dir / "sft_lora").exists()
    link.unlink()
    assert files(publish(run, "sft")) == {"weights", "origin.json"}
    assert [path.name for path in run.models_dir.iterdir()] == ["sft_lora"]


def test_publish_refuses_a_stage_that_is_not_whole(run):
    with pytest.raises(StageError, match="not finished"):
        publish(run, "sft")
    train(run, "sft", weights="w1")
    (run.stage_dir("sft") / "adapter" / "weights").write_text("w2")
    with pytest.raises(StageError, match="changed since the stage finished"):
        publish(run, "sft")
    assert not run.models_dir.exists()
