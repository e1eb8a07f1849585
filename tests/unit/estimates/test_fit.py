"""What does not fit is refused or warned of, with settings and values that would fit."""

import json
import re

import pytest

from stonk_pipeline.config.training import LoraConfig, PolicyConfig
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.errors import CapacityError
from stonk_pipeline.estimates import fit
from stonk_pipeline.estimates.memory import GB, Place, least
from stonk_pipeline.estimates.shape import weights_of
from stonk_pipeline.runs.machine import Memory
from stonk_pipeline.training.effort import Lengths, of_policy

MACHINE = Memory(int(24 * GB), int(20 * GB), 0, "this machine")


@pytest.fixture
def large(tmp_path):
    """A model of seven thousand million parameters: headers alone, in files with a hole for the numbers."""
    shapes = {"model.embed_tokens.weight": (100_000, 4_000)}
    shapes |= {f"model.layers.{n}.mlp.up_proj.weight": (50_000, 4_000) for n in range(33)}
    header, place = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [place, place + 2 * rows * columns]}
        place = header[name]["data_offsets"][1]
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + place)
    (tmp_path / "config.json").write_text("{}")
    return load_config("default", {"model": {"name": str(tmp_path)}})


def test_require_room_refuses_weights_that_exceed_the_machine(monkeypatch, large):
    monkeypatch.setattr(fit, "memory_of", lambda devices: MACHINE)
    monkeypatch.setattr(fit, "on_card", lambda devices: False)
    with pytest.raises(CapacityError) as refused:
        fit.require_room(large, contract_of(large))
    said = str(refused.value)
    assert re.match(r"\S+ needs at least 28\.5 GB for .*\(weights 28\.0, adapter and optimizer 0\.5\)", said)
    assert "this machine has 24.0 GB" in said
    assert "--set beyond_memory=warn" in said
    most = int(re.search(r"a model of at most ([\d,]+) million parameters", said)[1].replace(",", "")) * 1e6
    assert 0.5 * 24 * GB < 4 * most < 24 * GB


def test_require_room_goes_on_where_that_is_asked_for(monkeypatch, large):
    monkeypatch.setattr(fit, "memory_of", lambda devices: MACHINE)
    large = large.model_copy(update={"beyond_memory": "warn"})
    (warning,) = fit.require_room(large, contract_of(large))
    assert "needs at least 28.5 GB" in warning


@pytest.mark.parametrize("memory", [None, MACHINE._replace(swap=int(8 * GB)), MACHINE._replace(total=int(64 * GB))])
def test_require_room_refuses_nothing_where_memory_is_unknown_or_enough(monkeypatch, large, memory):
    monkeypatch.setattr(fit, "memory_of", lambda devices: memory)
    assert fit.require_room(large, contract_of(large)) == []


def test_require_room_refuses_nothing_before_the_weights_are_here(monkeypatch, large, tmp_path):
    monkeypatch.setattr(fit, "memory_of", lambda devices: MACHINE)
    (tmp_path / "model.safetensors").unlink()
    assert fit.require_room(large, contract_of(large)) == []
    with pytest.raises(CapacityError):
        fit.require_room(large, contract_of(large), parameters=7 * 10**9)


def test_refusal_on_a_card_names_values_with_which_it_fits(monkeypatch, large):
    monkeypatch.setattr(fit, "place_of", lambda config, memory: Place(True, True, memory.total))
    card = Memory(int(24 * GB), int(24 * GB), 0, "GPU 0")
    weights = weights_of(fit.base_directory(large.model))
    said = fit.refusal(large, contract_of(large), weights, card)
    assert "needs at least 35.0 GB" in said  # vLLM may take 0.4 of the card, and the weights are 14 GB
    assert "this card" not in said
    assert "GPU 0 has 24.0 GB" in said
    roomy = Memory(int(30 * GB), int(30 * GB), 0, "GPU 0")
    said = fit.refusal(large, contract_of(large), weights, roomy)
    share = float(re.search(r"set model.gpu_memory_utilization to ([\d.]+)", said)[1])
    changed = large.model.model_copy(update={"gpu_memory_utilization": share})
    assert all(least(weights, changed, fit.place_of(large, roomy), rank=rank) <= roomy.total for rank in (None, 16))


def test_warnings_name_the_largest_micro_batch_that_fits():
    grpo = PolicyConfig(prompts_per_step=6, group_size=4, micro_batch=24)
    work = {"grpo-first": of_policy("grpo_first", grpo, LoraConfig(), Lengths(100, 100.0, 10.0), "windows")}

    def needed(does):
        return does.teaching.micro_batch * GB

    assert fit.warnings(work, needed, MACHINE) == []
    (warning,) = fit.warnings(work, needed, MACHINE._replace(total=int(7 * GB)))
    assert warning.startswith("grpo-first will probably not fit: about 24.0 GB, and this machine has 7.0 GB")
    assert warning.endswith("set grpo_first.micro_batch to 6")
    assert fit.warnings(work, needed, None) == []


def test_warnings_name_fewer_prompts_where_smaller_passes_do_not_help():
    grpo = PolicyConfig(prompts_per_step=6, group_size=4, micro_batch=24)
    work = {
        step: of_policy(step.replace("-", "_"), grpo, LoraConfig(), Lengths(100, 100.0, 10.0), "windows")
        for step in ("grpo-first", "grpo-second")
    }
    said = fit.warnings(work, lambda does: does.parts[0].answers * GB, MACHINE._replace(total=int(9 * GB)))
    assert [text.split(": ")[0] for text in said] == [
        "grpo-first will probably not fit",
        "grpo-second will probably not fit",
    ]
    assert said[0].endswith("set grpo_first.prompts_per_step to 2 and grpo_first.micro_batch to 4")
    assert "choose a smaller model" in fit.warnings(work, lambda does: 99 * GB, MACHINE)[0]
