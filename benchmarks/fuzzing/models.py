"""Malformed adapters and model directories."""

import json
import random
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.forecast.question import SHORTER
from stonk_pipeline.files.weights import read_header
from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.models.load import load_base
from stonk_pipeline.models.locations import EMBEDDED_MODELS
from stonk_pipeline.sampling.prompts import render
from stonk_pipeline.text.form import Messages

from .cases import WHOLE, Case, Reader, changed_json, damaged

BASE = EMBEDDED_MODELS["stonk-tiny"]
RANK = 4
LAYERS = {
    name.removesuffix(".weight"): tensor.shape
    for name, tensor in read_header(BASE / "model.safetensors").items()
    if name.startswith("model.layers.0.self_attn.") and len(tensor.shape) == 2
}
CONFIG = json.dumps({
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "stonk-tiny", "r": RANK, "lora_alpha": 8,
    "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj"], "inference_mode": True,
    "init_lora_weights": True, "use_dora": False, "modules_to_save": None, "rank_pattern": {},
})  # fmt: skip
BAD_SETTINGS: list[dict[str, Any]] = [
    {"r": value} for value in (0, -1, 5, 2**40, 4.0, "4", None, [4], True)
] + [{"lora_alpha": value} for value in (0, -1, 1e300, "8", None, [8])] + [
    {"base_model_name_or_path": value} for value in ("Qwen/Qwen2.5-7B", "", None, "../../x", 5)
] + [{"target_modules": value} for value in ("(a+)+$", {"a": 1}, None, ["(a|a)*b"], 5, [None])] + [
    {"peft_type": value} for value in ("IA3", "PROMPT_TUNING", None, "os.system")
] + [
    {"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}, {"rank_pattern": {"q_proj": 999}},
    {"alpha_pattern": {"q": 1e9}}, {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
    {"init_lora_weights": "pissa"}, {"layer_replication": [[0, 10**9]]}, {"bias": "all"}, {"exclude_modules": "(a+)+$"},
]  # fmt: skip
"""Settings that no adapter of this project has."""
TEMPLATES = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}", "{{ 'a' * 10**10 }}", "{{ '%1000000000d' % 1 }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ 10**10**8 }}",
    "{{ messages.__class__ }}", "{{ self._TemplateReference__context }}", "{{ cycler.__init__.__globals__.os }}",
    "{% include '/etc/passwd' %}", "{% extends 'x' %}", "{% import 'os' as os %}", "{{ lipsum(n=100000) }}", "{% for",
    "{{ messages[0]['content'] }}", "x", "{{ raise_exception('no') }}", "{{ undefined_thing.x }}", "{{ 1 / 0 }}",
    "{{ messages | tojson }}" * 9_000, "{% set x = messages %}{{ x.append(1) }}", "{{ messages.clear() }}",
    "{{ strftime_now('%Y' * 100000) }}", "{{ range(10**9) | list }}", "{% if true %}" * 3000, "{{ " + "(" * 3000,
    "{{ 'x'.format }}{{ '{0.__class__}'.format(1) }}", "{{ messages | map(attribute='__class__') | list }}",
    "{{ ('a' * 30 + '!') | wordwrap(1) }}{% for a in range(9999) %}{{ a | string | center(99999) }}{% endfor %}",
    "{%- set ns = namespace(s='ab') -%}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
]  # fmt: skip
FINE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"


def _weights(rank: int = RANK) -> dict[str, np.ndarray]:
    made = {}
    for layer, (outputs, inputs) in LAYERS.items():
        made[f"base_model.model.{layer}.lora_A.weight"] = np.full((rank, inputs), 0.01, dtype=np.float32)
        made[f"base_model.model.{layer}.lora_B.weight"] = np.zeros((outputs, rank), dtype=np.float32)
    return made


GOOD = save_tensors(_weights())


def adapter_cases(rng: random.Random) -> Iterator[Case]:
    """Settings that lie, tensors of another shape or with NaN, headers that lie, pickles, accidents."""
    config = CONFIG.encode()
    for said in BAD_SETTINGS:
        changed = json.dumps(json.loads(CONFIG) | said).encode()
        yield Case("settings", {"adapter_config.json": changed, "adapter_model.safetensors": GOOD}, refused=True)
    for suffix in ("bin", "pt", "pkl"):
        yield Case(
            "pickle", {"adapter_config.json": config, f"adapter_model.{suffix}": b"\x80\x04cos\nsystem\n"}, refused=True
        )
    for content in WHOLE:
        yield Case("whole", {"adapter_config.json": config, "adapter_model.safetensors": content}, refused=True)
        yield Case("whole", {"adapter_config.json": content, "adapter_model.safetensors": GOOD}, refused=True)
    while True:
        way = rng.randrange(5)
        weights, settings, refused = GOOD, config, False
        if way == 0:
            weights, refused = _bad_tensor(rng), True
        elif way == 1:
            weights, refused = _bad_header(rng), False
        elif way == 2:
            weights = damaged(rng, GOOD[:3000]) + GOOD[3000:]
        elif way == 3:
            settings = changed_json(rng, CONFIG).encode()
        else:
            settings = damaged(rng, config)
        yield Case(
            f"way {way}", {"adapter_config.json": settings, "adapter_model.safetensors": weights}, refused=refused
        )


def _bad_tensor(rng: random.Random) -> bytes:
    """One tensor with a number that is none, of another shape, gone, or of another name or type."""
    made = _weights()
    name = rng.choice(list(made))
    way = rng.randrange(6)
    if way < 2:
        made[name].flat[rng.randrange(made[name].size)] = rng.choice((np.nan, np.inf, -np.inf))
    elif way == 2:
        made[name] = np.zeros(rng.choice(((0, 4), (4,), (3, 3, 3), (5, 7), (1, 1))), dtype=np.float32)
    elif way == 3:
        del made[name]
    elif way == 4:
        made[rng.choice(("x", "base_model.model.lm_head.weight", "../a", name + ".x", ""))] = made.pop(name)
    else:
        made[name] = made[name].astype(rng.choice((np.int64, np.uint8, np.bool_)))
    return save_tensors(made)


def _bad_header(rng: random.Random) -> bytes:
    """The header says something else than the bytes that follow."""
    length = struct.unpack("<Q", GOOD[:8])[0]
    header = changed_json(rng, GOOD[8 : 8 + length].decode()).encode()
    said = rng.choice((len(header), len(header), len(header), 2**63, 0, len(header) + 1, 10**8))
    return struct.pack("<Q", said) + header + GOOD[8 + length :]


def _sound_adapter(found: Any) -> bool:
    return bool(found.rank == RANK and found.base == "stonk-tiny" and 0 < found.alpha < 1e6)


MODEL = {path.name: path.read_bytes() for path in sorted(BASE.iterdir()) if path.is_file()}


def model_cases(rng: random.Random) -> Iterator[Case]:
    """Templates that loop, grow or reach, then damage to each file of a model that is read before its weights."""
    for number, template in enumerate(TEMPLATES):
        files = {f"m/{name}": content for name, content in MODEL.items()} | {"m/chat_template.jinja": template.encode()}
        yield Case(f"template {number}", files, refused=True)
    names = [name for name in MODEL if name != "chat_template.jinja" and name != "generation_config.json"]
    header = struct.unpack("<Q", MODEL["model.safetensors"][:8])[0] + 8
    while True:
        name = rng.choice(names)
        content = MODEL[name]
        way = rng.randrange(3)
        if name == "model.safetensors" and way == 0:
            content = content.replace(b"layers.0.", rng.choice((b"layers.1.", b"layers.9.", b"layer_x0.")), 1)
        elif name == "model.safetensors":
            content = damaged(rng, content[:header]) + content[header:]
        elif way == 0:
            content = rng.choice(WHOLE)
        elif way == 1 and len(content) < 20_000:
            content = changed_json(rng, content.decode()).encode()
        else:
            content = damaged(rng, content)
        yield Case(name, {f"m/{key}": value for key, value in (MODEL | {name: content}).items()})


def _model(directory: Path, case: Case) -> Any:
    model = ModelConfig(name=str(directory / "m"), backend="peft")
    network, tokenizer = load_base(model)
    asked: Messages = [{"role": "user", "content": "closes: 1.00 2.00"}]
    return render(tokenizer, [asked], room=10, limit=1000, shorter=SHORTER)[0], _weight(network)


def _weight(network: Any) -> float:
    """Sum of the absolute weights: another one where a weight was made up."""
    return float(sum(part.detach().double().abs().sum() for part in network.parameters()))


@cache
def _own_weight() -> float:
    return _weight(load_base(ModelConfig(backend="peft"))[0])


READERS = [
    Reader("adapters", adapter_cases, lambda at, case: read_adapter(at, BASE, "stonk-tiny"), _sound_adapter),
    Reader(
        "model directories",
        model_cases,
        _model,
        lambda found: "closes: 1.00 2.00" in found[0] and abs(found[1] / _own_weight() - 1) < 1e-6,
        prepare=_own_weight,
    ),
]
