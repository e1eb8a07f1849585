"""The memory that recipes for a graphics card ask for, beside the estimate of what they need."""

import re
from importlib import import_module

import pytest

from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import load_config, recipe_files
from stonk_pipeline.estimates import fit
from stonk_pipeline.estimates.memory import Place, need
from stonk_pipeline.estimates.shape import Shape, Weights
from stonk_pipeline.models.activations import usual_activations
from stonk_pipeline.runs.machine import Memory
from stonk_pipeline.training.effort import Lengths

GIB, DRIVER = 1 << 30, 0.98
"""Cards are sold by powers of two, of which the driver keeps a little."""
LENGTHS = Lengths(longest=900, usual=850.0, answer=150.0)
"""Tokens of the default prompts with Qwen's tokenizer, which cuts numbers into digits, and a long answer."""
COUNTS = {"train": 5000, "val": 500, "test": 500, "balanced": 4000, "natural": 9000}


def qwen(width, layers, shared, inner, vocabulary, embeddings):
    """The sizes of a Qwen2.5 model."""
    adapted = layers * (2 * 2 * width + 2 * (width + shared) + 3 * (width + inner))
    matrices = layers * (2 * width * width + 2 * width * shared + 3 * width * inner)
    weights = Weights(matrices + embeddings * vocabulary * width, adapted)
    return Shape(weights, vocabulary, width, inner, layers, kept=2 * layers * shared)


SHAPES = {
    "Qwen/Qwen2.5-1.5B-Instruct": qwen(1536, 28, 256, 8960, 151936, 1),
    "Qwen/Qwen2.5-7B-Instruct": qwen(3584, 28, 512, 18944, 152064, 2),
}
RECIPES = [name for name in recipe_files() if load_config(name).model.name in SHAPES]


def largest(config, card, vllm):
    """Bytes of the step that needs most."""
    shape, place = SHAPES[config.model.name], Place(on_gpu=True, vllm=vllm, card=card)
    work = import_module(f"stonk_pipeline.contracts.{config.contract}.plan").work(config, LENGTHS, COUNTS)
    return max(
        sum(need(does, shape, config.model, place, usual_activations(shape.width, shape.inner)).values())
        for does in work.values()
    )


@pytest.mark.parametrize("vllm", [True, False])
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_fits_on_the_card_that_it_asks_for(monkeypatch, recipe, vllm):
    monkeypatch.setattr(fit, "place_of", lambda config, memory: Place(True, vllm, memory.total, shares=False))
    head = recipe_files()[recipe].read_text().partition("contract:")[0].partition("model:")[0]
    card = int(int(re.search(r"(\d+) GB or more", head)[1]) * GIB * DRIVER)
    config = load_config(recipe)
    assert largest(config, card, vllm) <= card
    memory = Memory(card, card, 0, "GPU 0")
    assert fit.refusal(config, contract_of(config), SHAPES[config.model.name].weights, memory) == ""


def test_claims_are_of_every_recipe_for_a_card():
    assert len(RECIPES) == 3


def test_qwen_7b_is_refused_on_a_card_of_24_gb(monkeypatch):
    monkeypatch.setattr(fit, "place_of", lambda config, memory: Place(True, True, memory.total))
    config, card = load_config("qwen-7b"), int(24 * GIB * DRIVER)
    said = fit.refusal(config, contract_of(config), SHAPES[config.model.name].weights, Memory(card, card, 0, "GPU 0"))
    assert "needs at least" in said
    assert "GPU 0 has 25.3 GB" in said
