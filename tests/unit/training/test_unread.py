"""GRPO reads answers as the contracts do, and gives up where none of them can be read. With the real trainer."""

import csv

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.sections import GRPOConfig, PromptConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.models.load import load_for_training
from stonk_pipeline.models.tiny import walk_windows
from stonk_pipeline.schema import Forecast
from stonk_pipeline.text.form import TAGS
from stonk_pipeline.training.lesson import HeldOut, Lesson
from stonk_pipeline.training.policy import train
from stonk_pipeline.training.unread import FIRST_STEPS
from tests.tiny_models import SHAPE, copy_of_tiny, random_model, template


def run(model, out, steps, **settings):
    """Numbers of a training, and the shares of readable answers in its log."""
    model = ModelConfig(name=str(model), backend="peft", max_seq_length=600)
    grpo = GRPOConfig(
        steps=steps,
        prompts_per_step=2,
        group_size=2,
        micro_batch=4,
        max_completion_length=60,
        save_steps=100,
        **settings,
    )
    windows = walk_windows([(0.015, 10, 5)], 1)[0][: 2 * steps]
    lesson = Lesson(
        asked=[question.messages(window, PromptConfig(decimals=1), 5) for window in windows],
        truths=windows,
        read=lambda text, window: question.parse(text, 5),
        reasons=question.REASONS,
        rewards={"form": lambda answer, window: float(isinstance(answer, Forecast))},
        weights={"form": 1.0},
        logged=(),
        describe={},
        held_out=HeldOut([], [], ("readable_share",), lambda answers: {"readable_share": 0.0}, lambda row: 0.0),
    )
    numbers = train(model, grpo, load_for_training(model, LoraConfig(rank=2), 0), lesson, 0, out, lambda *_: None)
    with (out / "training_log.csv").open(newline="") as stream:
        return numbers, [float(row["readable_share"]) for row in csv.DictReader(stream)]


def test_rewards_read_special_tags_and_what_the_template_began(tmp_path):
    model = copy_of_tiny(tmp_path / "model", chat_template=template("<think>"), special=TAGS)
    numbers, readable = run(model, tmp_path / "out", 2)
    assert sum(readable) >= 0.8 * len(readable) > 0
    assert numbers["adapted_layers"] == 21


def test_a_training_that_is_held_to_its_start_copies_the_adapters_of_shared_experts(tmp_path):
    from transformers import Glm4MoeConfig

    experts = {"n_routed_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1}
    model = random_model(tmp_path / "model", Glm4MoeConfig(**SHAPE, **experts, n_group=1, topk_group=1))
    numbers, _ = run(model, tmp_path / "out", 1, beta=0.1)
    assert numbers["adapted_layers"] == 14


def test_a_training_without_a_readable_answer_stops_and_says_what_they_look_like(tmp_path):
    from transformers import LlamaConfig

    model = random_model(tmp_path / "model", LlamaConfig(**SHAPE))
    with pytest.raises(StageError) as caught:
        run(model, tmp_path / "out", 40)
    message = str(caught.value)
    for words in (
        f"of {FIRST_STEPS} steps could be read",
        "does not begin with <think>",
        "cut off at max_completion_length = 60: raise it",
        "an instruction-tuned model",
    ):
        assert words in message
