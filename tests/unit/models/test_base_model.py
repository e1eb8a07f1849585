"""What a base model consists of: looked at before anything is trained, and an input of every stage that loads it."""

import json
import shutil

import pytest

from stonk_pipeline import cli
from stonk_pipeline.commands import plan
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.recipes import load_config, make_config
from stonk_pipeline.contracts.runs import run_at, write_run
from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.files.weights import read_header
from stonk_pipeline.models.locations import EMBEDDED_MODELS, base_directory, base_location
from stonk_pipeline.models.readiness import context_length, require_model
from stonk_pipeline.pipeline.run import CONFIG

TINY = EMBEDDED_MODELS["stonk-tiny"]


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(TINY, tmp_path / "mine")


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def required(model, **settings):
    return require_model(ModelConfig(name=str(model), **settings))


def test_require_model_takes_those_of_the_package_as_they_are():
    for name in EMBEDDED_MODELS:
        assert require_model(ModelConfig(name=name)) == ModelConfig(name=name)


def test_require_model_refuses_more_tokens_than_the_model_knows(model):
    assert required(model, max_seq_length=1024)
    with pytest.raises(
        ConfigError,
        match=r"max_seq_length is 1,025, and the model has max_position_embeddings 1,024 .*mine/config\.json.*; lower "
        r"model\.max_seq_length to 1024$",
    ):
        required(model, max_seq_length=1025)
    config = json.loads((model / "config.json").read_text())
    del config["max_position_embeddings"]
    (model / "config.json").write_text(json.dumps(config | {"text_config": {"max_position_embeddings": 100}}))
    with pytest.raises(ConfigError, match=r"lower model\.max_seq_length to 100$"):
        required(model, max_seq_length=320)


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({}, 1000),
        ({"seq_length": 500}, 500),
        ({"model_max_length": 4000}, 4000),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 4000),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, 2000),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}, 1000),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 1e4}}, 1000),
        (
            {
                "layer_types": ["full_attention", "sliding_attention"] * 2,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                },
            },
            8000,
        ),
    ],
)
def test_context_length_is_vllms(settings, length):
    config = {"model_type": "qwen2", "max_position_embeddings": 1000} | settings
    assert context_length(config)[1] == length


def test_context_length_is_unknown_where_no_number_is_named():
    assert context_length({"model_type": "x", "text_config": None, "rope_scaling": None})[1] == float("inf")
    gemma = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "max_position_embeddings": 100}}
    assert context_length(gemma | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}})[1] == 100


def pickles(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def cut(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def shards(model):
    content, tensors = (model / "model.safetensors").read_bytes(), read_header(model / "model.safetensors")
    names = list(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for file, held in parts.items():
        header, data = {}, b""
        for name in held:
            tensor = tensors[name]
            data += content[tensor.start : tensor.stop]
            places = [len(data) - (tensor.stop - tensor.start), len(data)]
            header[name] = {"dtype": tensor.kind, "shape": tensor.shape, "data_offsets": places}
        written = json.dumps(header).encode()
        (model / file).write_bytes(len(written).to_bytes(8, "little") + written + data)
    index = {"metadata": {}, "weight_map": {name: file for file, held in parts.items() for name in held}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "model.safetensors").unlink()


def lost_shard(model):
    shards(model)
    (model / "model-00002-of-00002.safetensors").unlink()


def no_tokenizer(model):
    (model / "tokenizer.json").unlink()


def no_template(model):
    (model / "chat_template.jinja").unlink()


DAMAGES = [
    (pickles, r"pytorch_model\.bin is a pickle.*save the model anew as safetensors$"),
    (cut, r"model\.safetensors: has 1,947,332 bytes, and its header says 1,947,432; copy the file again"),
    (lost_shard, r"model-00002-of-00002\.safetensors: no weights there that can be read; save"),
    (no_tokenizer, r"mine: no tokenizer \(such as tokenizer\.json\); copy"),
    (no_template, r"mine: no chat template, .*; choose an instruction-tuned model, or put"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_require_model_refuses_what_could_not_be_trained(model, damage, message):
    damage(model)
    with pytest.raises(ConfigError, match=message):
        required(model)


def test_require_model_takes_shards_and_templates_in_the_tokenizers_settings(model):
    shards(model)
    edited(model / "tokenizer_config.json", chat_template=(model / "chat_template.jinja").read_text())
    no_template(model)
    required(model)


@pytest.mark.parametrize("name", ["models/nope", "models/org/nope", "org/name/more", "./nope", "~/no-such-model"])
def test_require_model_looks_up_no_path_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(ConfigError, match=r"^model\.name: .*(no such directory|neither a directory here)") as caught:
        require_model(ModelConfig(name=name))
    assert "HF_HUB_OFFLINE" not in str(caught.value)
    if name == "models/nope":
        assert "no name of huggingface.co, as models is a folder here" in str(caught.value)


@pytest.mark.parametrize("name", ["stonk-tyny", "stonktiny", "stonk-tiny-call"])
def test_require_model_knows_what_a_mistyped_name_meant(name):
    with pytest.raises(ConfigError, match="no such model; did you mean stonk-tiny"):
        require_model(ModelConfig(name=name))


@pytest.mark.parametrize("name", ["gpt2", "org/stonk-tiny"])
def test_require_model_asks_for_other_names(name):
    with pytest.raises(ConfigError, match="not on this machine, and HF_HUB_OFFLINE is set"):
        require_model(ModelConfig(name=name))


def test_revision_is_for_models_of_the_hub(model):
    for name in ("stonk-tiny", str(model)):
        with pytest.raises(ConfigError, match=r"^model\.revision: .*; leave it out"):
            base_location(ModelConfig(name=name, revision="main"))
    for wrong in ("../main", "", "a b", "/main", "a/../b"):
        with pytest.raises(ConfigError, match=r"model\.revision"):
            make_config({"model": {"name": "org/name", "revision": wrong}}, source="here")


def config_of(model, tmp_path, **settings):
    places = {"results_dir": str(tmp_path / "results"), "models_dir": str(tmp_path / "models")}
    return load_config("small", places | {"model": {"name": str(model)}} | settings)


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_dry_run_refuses_what_could_not_be_trained(model, tmp_path, damage, message):
    damage(model)
    with pytest.raises(ConfigError, match=message):
        plan.look(config_of(model, tmp_path))


def test_single_stages_refuse_what_could_not_be_trained(model, tmp_path, capsys):
    no_template(model)
    for step in ("preprocess", "grpo-first"):
        arguments = [step, "--run-dir", str(tmp_path / "run"), "--recipe", "small", "--model", str(model)]
        assert cli.main(arguments) == 1
        assert "mine: no chat template" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# The input


def test_base_model_is_an_input_of_each_stage_that_loads_it(model, tmp_path):
    run = write_run(tmp_path / "run", config_of(model, tmp_path))
    given = {step: run.inputs(step).get("model") for step in run.graph}
    assert given.pop("preprocess") is None
    assert set(given.values()) == {model}
    calls = run_at(tmp_path, load_config("direction"))
    assert [step for step in calls.graph if not calls.loads_model(step)] == ["preprocess", "examples"]
    whole = run_at(tmp_path, config_of(model, tmp_path, data={"folds": 2}))
    assert "model" not in whole.inputs("compare")


def test_base_directory_asks_nobody(tmp_path):
    where = base_directory(ModelConfig(name="org/name", revision="0" * 40))
    assert where.parts[-3:] == ("models--org--name", "snapshots", "0" * 40)
    assert base_directory(ModelConfig(name="org/name")).name == "unknown"
    assert base_directory(ModelConfig(name=str(tmp_path / "nope"))) == tmp_path / "nope"


def test_stage_is_not_done_any_more_when_its_base_model_changed(model, tmp_path):
    from stonk_pipeline.config.training import SFTStage
    from stonk_pipeline.runs.manifest import Stage, execute, finished

    run = write_run(tmp_path / "run", config_of(model, tmp_path))
    ran = []

    def body(config, inputs, out, progress):
        ran.append(inputs["model"])
        (out / "out.txt").write_text("done")
        return {}

    stage, config, out = Stage("sft", SFTStage, body), run.config.sft_stage(), run.stage_dir("sft")
    inputs = {"model": run.inputs("sft")["model"]}
    first = execute(stage, config, inputs, out)
    assert execute(stage, config, inputs, out) == first
    place = min(read_header(model / "model.safetensors").values(), key=lambda tensor: tensor.start).start
    with (model / "model.safetensors").open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\x01\x02")
    assert finished(stage, config, inputs, out) is None
    execute(stage, config, inputs, out)
    assert len(ran) == 2
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "copy")
    (copy / "README.md").write_text("what is no part of it")
    assert finished(stage, config, {"model": copy}, out) is not None
    shutil.rmtree(model)
    assert finished(stage, config, inputs, out) is None


def test_stages_of_two_base_models_are_not_mixed(model, tmp_path):
    """Stages run one by one: the base model was changed after the last training, and before the comparison."""
    from stonk_pipeline.runs.manifest import Stage, execute

    run = write_run(tmp_path / "run", config_of(model, tmp_path, warmup="never"))

    def body(config, inputs, out, progress):
        (out / "out.txt").write_text("done")
        return {}

    for step in ("preprocess", "grpo-first", "sample", "sft", "grpo-second"):
        spec = run.graph[step]
        stage = Stage(spec.load().name, spec.load().config_type, body)
        execute(stage, spec.settings(run.config), run.inputs(step), run.stage_dir(step))
    run.require_inputs("compare")
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")
    with pytest.raises(StageError, match=r"stage1_grpo_training: .* another base model .* run grpo-first again"):
        run.require_inputs("compare")
    run.require_inputs("grpo-first")


def test_a_step_that_a_run_does_not_have_is_named(model, tmp_path):
    run = write_run(tmp_path / "run", config_of(model, tmp_path))
    for ask in (run.require_inputs, run.loads_model, run.title):
        with pytest.raises(StageError, match=r"no step stage-one; it has preprocess, warm-up, grpo-first, sample"):
            ask("stage-one")


def test_a_step_that_ended_on_changed_files_says_which(model, tmp_path):
    from stonk_pipeline.runs.manifest import Stage, execute

    run = write_run(tmp_path / "run", config_of(model, tmp_path, warmup="never"))

    def body(config, inputs, out, progress):
        (out / "out.txt").write_text("done")
        return {}

    spec = run.graph["preprocess"]
    execute(
        Stage(spec.load().name, spec.load().config_type, body),
        spec.settings(run.config),
        {},
        run.stage_dir("preprocess"),
    )
    assert "grpo-first: has ended, and is not done: " in run.why_not_done("grpo-first")  # without a manifest
    spec = run.graph["grpo-first"]
    stage = Stage(spec.load().name, spec.load().config_type, body)
    execute(stage, spec.settings(run.config), run.inputs("grpo-first"), run.stage_dir("grpo-first"))
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")
    assert "since model changed while it ran" in run.why_not_done("grpo-first")


def test_no_report_is_written_of_settings_that_the_run_did_not_begin_with(model, tmp_path):
    from tasks.steps import write_report

    run = write_run(tmp_path / "run", config_of(model, tmp_path))
    path = run.directory / CONFIG
    edited(path, seed=run.config.seed + 1)
    with pytest.raises(StageError, match=r"config\.json: changed since this run began"):
        write_report.fn(str(run.directory), run.digest, {})
