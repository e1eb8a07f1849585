"""Memory of a step: each part against a case that was computed by hand."""

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, SFTConfig
from stonk_pipeline.estimates import memory
from stonk_pipeline.estimates.memory import Place, batch_rows, held, least, need
from stonk_pipeline.estimates.shape import Shape, Weights
from stonk_pipeline.models import activations
from stonk_pipeline.runs.machine import Memory
from stonk_pipeline.training.effort import Drawing, Lengths, Teaching, Work, of_policy

SHAPE = Shape(Weights(1_000, adapted=100), vocabulary=50, width=8, inner=16, layers=2, kept=24)
LENGTHS = Lengths(longest=20, usual=18.0, answer=4.0)
LORA = LoraConfig(rank=4)
CPU, CARD = Place(on_gpu=False, vllm=True), Place(on_gpu=True, vllm=True, card=10_000_000)
GRPO = PolicyConfig(
    steps=1,
    prompts_per_step=2,
    group_size=4,
    micro_batch=4,
    max_completion_length=5,
    validation_windows=1,
    validation_samples=1,
)


def test_need_of_a_grpo_training_is_the_sum_of_what_is_held_and_the_largest_phase():
    parts = need(of_policy("grpo", GRPO, LORA, LENGTHS, "windows"), SHAPE, ModelConfig(), CPU, activations=1_000.0)
    tokens = 20 + 4 * 5  # of a micro-batch: four answers to one prompt
    assert parts == {
        "weights": 1_000 * 4,
        "adapter and optimizer": 4 * 100 * 16,
        "libraries": memory.LIBRARIES["training"],
        "freed, not given back": pytest.approx((1_000 - 50 * 8) * 4 * 1.7),
        "activations": tokens * 1_000 * 2 + 3 * tokens * 16 * 4,
        "logits": 4 * 6 * 50 * 4 * memory.LOGIT_COPIES,
    }


def test_answers_that_do_not_share_their_prompt_need_more():
    work = of_policy("grpo", GRPO, LORA, LENGTHS, "windows")
    apart = need(work, SHAPE, ModelConfig(), CPU._replace(shares=False), activations=1_000.0)
    tokens = 4 * (20 + 5)
    assert apart["activations"] == tokens * 1_000 * 2 + 3 * tokens * 16 * 4
    assert need(work, SHAPE._replace(reach=24), ModelConfig(), CPU, activations=1_000.0) == apart, "a window hides some"
    assert need(work, SHAPE._replace(reach=25), ModelConfig(), CPU, activations=1_000.0) != apart


def test_need_of_drawing_counts_the_cache_of_all_answers_at_once():
    wide = GRPO.model_copy(update={"group_size": 16})
    parts = need(of_policy("grpo", wide, LORA, LENGTHS, "windows"), SHAPE, ModelConfig(), CPU, activations=0.0)
    assert parts["keys and values"] == 2 * 16 * 25 * 24 * 4 * 1.5  # and once more those of one layer of two
    valid = GRPO.model_copy(update={"validation_windows": 2_000, "validation_samples": 4})
    parts = need(of_policy("grpo", valid, LORA, LENGTHS, "windows"), SHAPE, ModelConfig(), CPU, activations=0.0)
    assert parts["keys and values"] == 40_000 // (4 * 25) * 4 * 25 * 24 * 4 * 1.5  # as many as a batch has room for


def test_batch_rows_are_those_that_there_are():
    assert batch_rows(Drawing("comparison", "transformers", 3, 2, 5, LENGTHS), SHAPE, CPU) == 6


def test_need_keeps_one_layer_where_activations_are_computed_again(monkeypatch):
    monkeypatch.setattr(activations, "main_memory", lambda: Memory(16_000_000, 0, 0, "this machine"))
    work = Work("sft", (Teaching("sft", SFTConfig(micro_batch=4, batch_size=8), LORA, 100.0, LENGTHS),))
    tokens = 4 * (20 + 4)
    kept = need(work, SHAPE, ModelConfig(), CPU, activations=1_000.0)["activations"]
    assert kept == tokens * (8 * 4 * 2 + 1_000) + 3 * tokens * 16 * 4
    assert need(work, SHAPE, ModelConfig(), CPU, 1_000.0)["logits"] == 256 * 50 * 4 * memory.LOGIT_COPIES


def test_need_of_the_reference_adapter_comes_with_a_divergence():
    sizes = [
        need(
            of_policy("grpo", GRPO.model_copy(update={"beta": beta}), LORA, LENGTHS, "windows"),
            SHAPE,
            ModelConfig(),
            CPU,
            activations=0.0,
        )["adapter and optimizer"]
        for beta in (0.0, 0.1)
    ]
    assert sizes[1] - sizes[0] == 4 * 100 * 4


def test_need_of_vllm_on_a_card_is_its_share_and_in_a_training_comes_on_top():
    model = ModelConfig(gpu_memory_utilization=0.3)
    asked = Work("answers", (Drawing("comparison", "auto", 10, 2, 5, LENGTHS),))
    assert need(asked, SHAPE, model, CARD, 0.0) == {
        "vLLM's share": pytest.approx(3_000_000),
        "libraries": memory.LIBRARIES["card"],
    }
    parts = need(of_policy("grpo", GRPO, LORA, LENGTHS, "windows"), SHAPE, model, CARD, 0.0)
    assert parts["weights"] == 2_000
    assert parts["vLLM's share"] == pytest.approx(3_000_000)


def test_need_of_a_step_without_a_model_is_nothing():
    assert need(Work("windows"), SHAPE, ModelConfig(), CPU, 0.0) == {}


def test_held_weights_are_packed_in_a_training_alone():
    packed = ModelConfig(load_in_4bit=True)
    assert held(SHAPE.weights, packed, CARD, rank=4)["weights"] == pytest.approx(600)
    assert held(SHAPE.weights, packed, CARD, rank=None)["weights"] == 2_000


def test_least_on_a_card_has_room_for_the_weights_that_vllm_loads():
    model = ModelConfig(gpu_memory_utilization=0.5)
    assert least(SHAPE.weights, model, CARD, rank=None) == 4_000
    assert least(SHAPE.weights, model, CARD, rank=4) == 2_000 + 4 * 100 * 16 + 2_000
    assert least(SHAPE.weights, model, CPU, rank=4) == 4_000 + 4 * 100 * 16
