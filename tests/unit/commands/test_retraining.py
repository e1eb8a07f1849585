"""Whether to train again, and what of the last training is taken."""

import json
import multiprocessing
from pathlib import Path

import pytest

from stonk_pipeline.commands import retraining
from stonk_pipeline.commands.retraining import RetrainConfig
from stonk_pipeline.config.validation import merge
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.contracts.recipes import make_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.runs.manifest import read_manifest


@pytest.fixture
def config(tmp_path, ohlcv) -> PipelineConfig:
    """Settings of a training on two stocks of a folder."""
    bars = tmp_path / "bars"
    bars.mkdir()
    for symbol in ("AAPL", "MSFT"):
        ohlcv.to_csv(bars / f"{symbol}.csv", index=False)
    settings = {"data": {"data_dir": str(bars)}, "results_dir": str(tmp_path / "results")}
    return make_config(settings, source="test")


def changed(config: PipelineConfig, **over: object) -> PipelineConfig:
    return make_config(merge(config.model_dump(mode="json"), over), source="test")


def append_bar(config: PipelineConfig) -> None:
    path = Path(config.data.data_dir) / "AAPL.csv"
    path.write_text(path.read_text() + "2026-11-20,100,101,99,100,1000\n")


def test_settings_digest_follows_settings_and_start_but_no_places(config, tmp_path):
    digest = retraining.settings_digest(config, "base")
    moved = changed(config, data={"data_dir": "elsewhere"}, results_dir="r", models_dir="m", cuda_devices="1")
    assert retraining.settings_digest(moved, "base") == digest
    assert retraining.settings_digest(changed(config, comparison={"windows": 7}), "base") != digest
    assert retraining.settings_digest(config, "adapter") != digest


def test_last_is_what_was_noted_and_none_where_damaged(config, tmp_path):
    assert retraining.read_last(config) is None
    (tmp_path / "results").mkdir()
    last = retraining.Last(data="d", settings="s", run="r")
    retraining.write_last(config, last)
    assert retraining.read_last(config) == last
    (tmp_path / "results" / "retrain_ALL.json").write_text('{"data": "d"')
    assert retraining.read_last(config) is None


def test_alone_lets_one_process_in(config):
    with retraining.alone(config) as first, retraining.alone(config) as second:
        assert (first, second) == (True, False)
    with retraining.alone(config) as again:
        assert again


def _hold(settings: str, ready, release) -> None:
    with retraining.alone(PipelineConfig.model_validate_json(settings)) as free:
        ready.put(free)
        release.get()


def test_alone_ends_with_a_process_that_is_killed(config):
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Queue(), spawn.Queue()
    holder = spawn.Process(target=_hold, args=(config.model_dump_json(), ready, release))
    holder.start()
    assert ready.get(timeout=60)
    with retraining.alone(config) as free:
        assert not free
    holder.kill()
    holder.join()
    with retraining.alone(config) as free:
        assert free


def test_freeze_bars_keeps_them_as_they_are_now(config, tmp_path):
    digest = retraining.data_digest(config)
    frozen = retraining.freeze_bars(config)
    append_bar(config)
    assert retraining.data_digest(frozen) == digest != retraining.data_digest(config)
    assert frozen.stock_name == config.stock_name
    assert Path(frozen.data.data_dir).name == digest[:16]


def test_freeze_bars_repairs_a_damaged_copy(config):
    frozen = retraining.freeze_bars(config)
    (Path(frozen.data.data_dir) / "MSFT.csv").unlink()
    assert retraining.data_digest(retraining.freeze_bars(config)) == retraining.data_digest(config)


def test_freeze_bars_leaves_the_generated_market_alone():
    assert retraining.freeze_bars(PipelineConfig()) == PipelineConfig()


def test_reuse_takes_stages_that_would_come_out_the_same(config, tmp_path):
    config = retraining.freeze_bars(config)
    earlier = write_run(tmp_path / "earlier", config)
    earlier.execute("preprocess", lambda *_: None)
    (earlier.stage_dir("preprocess") / "stage.log").touch()
    other = changed(config, comparison={"windows": 7})
    run = write_run(tmp_path / "run", other)
    assert retraining.reuse(run, earlier.directory) == ["preprocess"]
    assert run.finished("preprocess") is not None
    assert not (run.stage_dir("preprocess") / "stage.log").exists()
    assert read_manifest(run.stage_dir("preprocess")) == read_manifest(earlier.stage_dir("preprocess"))
    assert retraining.reuse(run, earlier.directory) == []  # a retry leaves alone what is there


@pytest.mark.parametrize("over", [{"data": {"stride": 2}}, {"seed": 1}])
def test_reuse_takes_nothing_that_other_settings_made(config, tmp_path, over):
    earlier = write_run(tmp_path / "earlier", config)
    earlier.execute("preprocess", lambda *_: None)
    run = write_run(tmp_path / "run", changed(config, **over))
    assert retraining.reuse(run, earlier.directory) == []
    assert not run.stage_dir("preprocess").exists()


def test_reuse_takes_no_damaged_stage_and_none_of_other_bars(config, tmp_path):
    earlier = write_run(tmp_path / "earlier", config)
    earlier.execute("preprocess", lambda *_: None)
    append_bar(config)
    assert retraining.reuse(write_run(tmp_path / "newer", config), earlier.directory) == []
    earlier.execute("preprocess", lambda *_: None)
    (earlier.stage_dir("preprocess") / "dataset.json").write_text("{}")
    assert retraining.reuse(write_run(tmp_path / "damaged", config), earlier.directory) == []


def test_reuse_of_a_run_that_is_gone_is_none(config, tmp_path):
    assert retraining.reuse(write_run(tmp_path / "run", config), tmp_path / "gone") == []


def test_start_from_adapter_names_the_merged_model_by_the_adapters_content(config, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"1")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "stonk-tiny"}))
    merged, base, model = retraining.start_from_adapter(config, adapter)
    assert (merged.model.name, merged.model_name, base) == (str(model.resolve()), config.model_name, "stonk-tiny")
    (adapter / "adapter_model.safetensors").write_bytes(b"2")
    assert retraining.start_from_adapter(config, adapter)[2] != model


def test_start_from_adapter_refuses_none_and_another_models(config, tmp_path):
    with pytest.raises(ConfigError, match="no adapter there"):
        retraining.start_from_adapter(config, tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen2.5-7B"}))
    with pytest.raises(ConfigError, match=r"Qwen2\.5-7B, not of stonk-tiny"):
        retraining.start_from_adapter(config, tmp_path)


def test_pipeline_config_lays_overrides_on_the_recipe():
    config = RetrainConfig(recipe="small", data_dir="d", stocks=["A"], overrides={"seed": 5}).pipeline_config()
    assert (config.seed, config.data.data_dir, config.data.stocks) == (5, "d", ["A"])
    with pytest.raises(ConfigError, match="stepz"):
        RetrainConfig(recipe="small", overrides={"sft": {"stepz": 5}}).pipeline_config()
