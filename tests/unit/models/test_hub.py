"""Models of the hub: a commit is looked up once, fetched without pickles and code, and kept by a run."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stonk_pipeline.contracts.forecast import FORECAST
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.models.locations import EMBEDDED_MODELS
from tests.hub_server import serving

ROOT = Path(__file__).parents[3]
FILES = {path.name: path.read_bytes() for path in EMBEDDED_MODELS["stonk-tiny"].iterdir()}
MORE = {
    "model.bin": b"x",
    "modeling.py": b"x",
    "onnx/config.json": b"{}",
    "adapter_config.json": b"{}",
    "README.md": b"",
}


ANSWERING = """
import json, sys
from pathlib import Path
from stonk_pipeline.pipeline.base_model import resettled, settled
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import PipelineError
from stonk_pipeline.contracts.runs import open_run, write_run
from stonk_pipeline.models.hub import commit_of
from stonk_pipeline.models.locations import base_directory, base_location, of_adapter, outline_location
from stonk_pipeline.models.readiness import require_model

def model(name, revision=None):
    return ModelConfig(name=name, revision=revision)

def wanted(name, revision=None):
    return load_config("small", {"model": {"name": name, "revision": revision}})

def begin(name, place, revision=None):
    config = wanted(name, revision)
    return write_run(Path(place), settled(config, Path(place)))

for line in sys.stdin:
    commit_of.cache_clear()  # as in a new process
    try:
        said = eval(line)
    except PipelineError as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said), flush=True)
"""


@contextmanager
def process(home, address, **more):
    """A process that asks this hub, and answers what it is asked: the hub's library reads its settings once."""
    of_hub = ("HF_", "TRANSFORMERS_OFFLINE")  # Unsloth sets the second, where a test before this one has imported it
    settings = {name: value for name, value in os.environ.items() if not name.startswith(of_hub)}
    settings |= {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HOME": str(home)}
    command = [sys.executable, "-c", ANSWERING]
    with subprocess.Popen(
        command, cwd=ROOT, env=settings | more, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:

        def ask(question):
            started.stdin.write(question + "\n")
            started.stdin.flush()
            return json.loads(started.stdout.readline())

        yield ask
        started.stdin.close()


@pytest.fixture(scope="module")
def hub():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub, home):
    with process(home, hub.address) as ask:
        yield ask


@pytest.fixture(scope="module")
def unreachable(home):
    with process(home, "http://127.0.0.1:9") as ask:
        yield ask


@pytest.fixture(scope="module")
def offline(home):
    with process(home, "http://127.0.0.1:9", HF_HUB_OFFLINE="1") as ask:
        yield ask


def test_model_of_the_hub_is_fetched_in_part_and_kept_by_its_commit(tmp_path, hub, online, unreachable, offline):
    place = str(tmp_path / "run")
    first = hub.push("org/kept", FILES | MORE)
    assert online("base_directory(model('org/kept')).name") == "unknown"
    assert online(f"begin('org/kept', {place!r}).config.model.revision") == first
    there = online(f"sorted(path.name for path in open_run(Path({place!r})).inputs('sft')['model'].iterdir())")
    assert there == sorted({*FILES} - {"model.safetensors"})  # nothing large before a stage needs it
    second = hub.push("org/kept", FILES | {"chat_template.jinja": FILES["chat_template.jinja"] + b"\n"})
    # A retry has the commit that the run began with, and so have its stages.
    for given in (None, "main"):
        assert online(f"begin('org/kept', {place!r}, {given!r}).config.model.revision") == first
    # Who names a branch for a run that has begun wants what it has now.
    for given, found in ((None, first), ("main", second), (second, second)):
        asked = f"resettled(wanted('org/kept', {given!r}), Path({place!r})).model.revision"
        assert online(asked) == found
    located = f"base_location(open_run(Path({place!r})).config.model)"
    whole = Path(online(located))
    assert sorted(path.name for path in whole.iterdir()) == sorted(FILES)
    assert (whole / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    asked = len(hub.asked)
    assert online(located) == unreachable(located) == offline(located) == str(whole)
    assert len(hub.asked) == asked  # what is here is not asked for again
    assert not [line for line in hub.asked if "modeling.py" in line or "model.bin" in line or "onnx" in line]
    assert online("require_model(model('org/kept')).revision") == second
    (whole / "model.safetensors").resolve().write_bytes(b"x" * 99)
    said = online(located)
    assert said.endswith("models--org--kept, and it is fetched again")
    assert "no safetensors file, or cut off" in said


def test_model_of_the_hub_without_a_connection_is_the_one_in_the_cache(hub, online, unreachable, offline):
    commit = hub.push("org/away", FILES)
    hub.push("org/away", FILES | {"README.md": b"v2"}, branch="v2")
    required = "require_model(model('org/away')).revision"
    assert online(required) == commit
    assert online("base_location(model('org/away'))")
    assert unreachable(required) == offline(required) == commit
    said = unreachable("require_model(model('org/away', 'v2'))")
    assert said.startswith("DownloadError: model.name: org/away: not whole on this machine, and http://127.0.0.1:9")
    said = offline("require_model(model('org/away', 'v2'))")
    assert said.startswith("ConfigError: model.name: org/away: not on this machine, and HF_HUB_OFFLINE is set")


def shortened(**settings):
    return json.dumps(json.loads(FILES["config.json"]) | settings).encode()


@pytest.mark.parametrize(
    ("name", "lost", "put", "message"),
    [
        (
            "org/pickles",
            "model.safetensors",
            {"pytorch_model.bin": b"x"},
            "has no model.safetensors, and pytorch_model.bin is a pickle",
        ),
        (
            "org/short",
            "config.json",
            {"config.json": shortened(max_position_embeddings=100)},
            "lower model.max_seq_length to 100",
        ),
        ("org/words", "tokenizer.json", {}, "no tokenizer"),
        ("org/adapter", "config.json", MORE, "not a model (it has no config.json)"),
        (
            "org/shards",
            "model.safetensors",
            {"model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'},
            "has no model-00001-of-00002.safetensors; choose",
        ),
    ],
)
def test_model_of_the_hub_is_refused_before_its_weights_are_fetched(hub, online, name, lost, put, message):
    hub.push(name, {file: data for file, data in FILES.items() if file != lost} | put)
    assert message in online(f"require_model(model({name!r}))")
    assert not [line for line in hub.asked if name in line and line.endswith((".safetensors", ".bin"))]


def test_base_model_of_the_hub_needs_no_template(hub, online):
    hub.push("org/base", {file: data for file, data in FILES.items() if file != "chat_template.jinja"})
    assert online("require_model(model('org/base')).name") == "org/base"
    assert not [line for line in hub.asked if "org/base" in line and line.endswith(".safetensors")]


def test_model_of_the_hub_has_the_commit_of_its_adapter_or_of_its_setting(tmp_path, hub, online):
    first, second = hub.push("org/two", FILES, branch="old"), hub.push("org/two", FILES)
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = {f"{layer}.lora_{part}.weight": np.ones((2, 2), dtype=np.float32) for part in "AB"}
    save_file(weights, tmp_path / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": "org/two", "bias": "none"}
    said |= {"target_modules": ["q_proj"], "revision": first}
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    for revision, found in ((None, first), ("old", first), (first, first)):
        assert online(f"of_adapter(model('org/two', {revision!r}), Path({str(tmp_path)!r})).revision") == found
    refused = online(f"of_adapter(model('org/two', {second!r}), Path({str(tmp_path)!r}))")
    assert f"was trained on commit {first} of org/two; give that one" in refused
    assert "org/two has no such commit, tag or branch" in online("require_model(model('org/two', 'v9'))")
    assert "org/none: there is no such model, or it is private" in online("require_model(model('org/none'))")


def test_settings_of_another_model_have_no_commit_of_this_one():
    from stonk_pipeline.cli import build_parser
    from stonk_pipeline.commands.options import overrides

    given = ["sft", "--run-dir", "x"]
    for options in (["--model", "org/other"], ["--set", "model.name=org/other"]):
        assert overrides(build_parser().parse_args([*given, *options]), FORECAST)["model"]["revision"] is None
    both = [*given, "--model", "org/other", "--set", "model.revision=v2"]
    assert overrides(build_parser().parse_args(both), FORECAST)["model"]["revision"] == "v2"
    assert "model" not in overrides(build_parser().parse_args(given), FORECAST)
    assert load_config("small").model.revision is None
