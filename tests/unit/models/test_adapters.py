"""Adapters, weights and chat templates of others, refused before anything heavy is loaded."""

import json
import shutil
import struct
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.errors import ConfigError, PromptError
from stonk_pipeline.files.weights import check_loaded, read_header
from stonk_pipeline.models.adapters import CONFIG, WEIGHTS, identity, read_adapter
from stonk_pipeline.models.load import load_for_training, save_adapter
from stonk_pipeline.models.locations import EMBEDDED_MODELS, base_location
from stonk_pipeline.models.templates import check_template
from stonk_pipeline.runs.manifest import output_files

BASE = EMBEDDED_MODELS["stonk-tiny"]
LAYER = "model.layers.0.self_attn.q_proj"
RANK = 4


def adapter(directory, numbers=None, layer=LAYER, rank=RANK, **said):
    outputs, inputs = read_header(BASE / "model.safetensors")[f"{LAYER}.weight"].shape
    weights = {
        f"base_model.model.{layer}.lora_A.weight": np.ones((rank, inputs), dtype=np.float32),
        f"base_model.model.{layer}.lora_B.weight": np.zeros((outputs, rank), dtype=np.float32),
    }
    if numbers is not None:
        weights[f"base_model.model.{layer}.lora_A.weight"].flat[7] = numbers
    save_file(weights, directory / WEIGHTS)
    about = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "base_model_name_or_path": "stonk-tiny", "bias": "none"}
    about |= {"target_modules": ["q_proj"], "use_dora": False, "modules_to_save": None} | said
    (directory / CONFIG).write_text(json.dumps(about))
    return directory


def test_read_adapter_reads_a_plain_one(tmp_path):
    found = read_adapter(adapter(tmp_path), BASE, "stonk-tiny")
    assert (found.rank, found.alpha, found.base) == (RANK, 8.0, "stonk-tiny")
    assert "torch" not in sys.modules or found  # the check itself needs no torch


def test_identity_is_of_what_an_adapter_computes_with(tmp_path):
    from safetensors.numpy import load_file

    first = identity(adapter(tmp_path))
    (tmp_path / "notes.txt").write_text("a second draw")
    about = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({"inference_mode": True} | about, indent=3))
    weights = load_file(tmp_path / WEIGHTS)
    save_file(dict(reversed(weights.items())), tmp_path / WEIGHTS, metadata={"note": "a third one"})
    assert identity(tmp_path) == first
    (tmp_path / CONFIG).write_text(json.dumps(about | {"lora_alpha": 16}))
    assert identity(tmp_path) != first
    assert identity(adapter(tmp_path, 2.0)) != first
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ConfigError, match=r"no adapter_model\.safetensors"):
        identity(tmp_path)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_read_adapter_refuses_numbers_that_are_none(tmp_path, number):
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors: .*lora_A.weight' has NaN or infinite numbers"):
        read_adapter(adapter(tmp_path, number), BASE)


def test_read_adapter_refuses_bfloat16_numbers_that_are_none(tmp_path):
    import torch
    from safetensors.torch import load_file
    from safetensors.torch import save_file as save_torch

    weights = {name: part.bfloat16() for name, part in load_file(adapter(tmp_path) / WEIGHTS).items()}
    save_torch(weights, tmp_path / WEIGHTS)
    assert read_adapter(tmp_path, BASE).rank == RANK
    next(iter(weights.values()))[1, 2] = torch.nan
    save_torch(weights, tmp_path / WEIGHTS)
    with pytest.raises(ConfigError, match="NaN or infinite"):
        read_adapter(tmp_path, BASE)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"r": 8}, r"has the shape \[4, .*says rank 8"),
        ({"r": 2**40}, "no rank from 1 to 1024"),
        ({"lora_alpha": float("inf")}, "a number that is none, or beyond any other"),
        (
            {"base_model_name_or_path": "Qwen/Qwen2.5-7B"},
            "an adapter of Qwen/Qwen2.5-7B, not of stonk-tiny; give --model",
        ),
        ({"target_modules": "(a+)+$"}, "target_modules is no list"),
        ({"use_dora": True}, "use_dora is True, and plain LoRA alone is read"),
        ({"auto_mapping": {"parent_library": "os"}}, "auto_mapping is"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"layer": "model.layers.77.self_attn.q_proj"}, "has no such linear layer; it belongs to another model"),
    ],
)
def test_read_adapter_refuses_what_is_not_as_it_says(tmp_path, said, message):
    with pytest.raises(ConfigError, match=message):
        read_adapter(adapter(tmp_path, **said), BASE, "stonk-tiny")


def test_read_adapter_never_reads_a_pickle(tmp_path):
    adapter(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ConfigError, match=r"adapter_model\.bin: a pickle, .* save the adapter anew as safetensors"):
        read_adapter(tmp_path)


@pytest.mark.parametrize(("length", "message"), [(2**63, "cut off"), (0, "cut off"), (10, "not JSON")])
def test_read_header_refuses_a_header_that_lies(tmp_path, length, message):
    path = adapter(tmp_path) / WEIGHTS
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    with pytest.raises(ConfigError, match=message):
        read_header(path)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "computes for more than"),
        ("{{ 'a' * 10**9 }}", "MB"),
        ("{% for i in range(999) %}{{ 'a' * 999 }}{% endfor %}", "more than 200,000 characters"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% for", "TemplateSyntaxError"),
        ("hello", "leaves out what the user says"),
    ],
)
def test_check_template_refuses_what_does_not_end_or_reaches_out(template, why):
    with pytest.raises(PromptError, match=why) as caught:
        check_template(template, "some/model")
    assert str(caught.value).startswith("some/model: its chat template")


def test_check_template_takes_those_of_the_models_here():
    for directory in EMBEDDED_MODELS.values():
        check_template((directory / "chat_template.jinja").read_text(), directory.name)


def test_base_location_refuses_damaged_models_of_a_directory(tmp_path):
    shutil.copytree(BASE, tmp_path / "m")
    config = json.loads((BASE / "config.json").read_text())
    assert base_location(ModelConfig(name=str(tmp_path / "m"))) == str(tmp_path / "m")
    for said, message in (
        ({"hidden_size": 10**9}, "vocab_size and hidden_size are"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000, and the weights have 3"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map names code of its own, which is never run"),
    ):
        (tmp_path / "m" / "config.json").write_text(json.dumps(config | said))
        with pytest.raises(ConfigError, match=message):
            base_location(ModelConfig(name=str(tmp_path / "m")))


def test_base_location_refuses_a_model_of_pickles(tmp_path):
    shutil.copytree(BASE, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is a pickle"):
        base_location(ModelConfig(name=str(tmp_path / "m")))


def test_check_loaded_refuses_weights_that_would_be_made_up():
    check_loaded("m", {"missing_keys": set(), "mismatched_keys": [], "error_msgs": []})
    with pytest.raises(ConfigError, match=r"do not fit its config\.json \(no lm_head\.weight\)"):
        check_loaded("m", {"missing_keys": {"lm_head.weight"}})


def test_a_saved_adapter_is_the_trained_one_alone(tmp_path):
    """The reference adapter of TRL names a temporary folder and its layers in no order: no two would be the same."""
    model = ModelConfig(backend="peft", max_seq_length=320)
    loaded = load_for_training(model, LoraConfig(rank=4), 0)
    loaded.model.add_adapter("ref", loaded.model.peft_config["default"])
    for name in ("first", "second"):
        save_adapter(loaded, model, tmp_path / name)
    assert not (tmp_path / "first" / "ref").exists()
    assert output_files(tmp_path / "first") == output_files(tmp_path / "second")
