"""Seconds of a step: as many passes as it has, at the speed of one."""

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig, SFTConfig
from stonk_pipeline.estimates.memory import Place
from stonk_pipeline.estimates.shape import Shape, Weights
from stonk_pipeline.estimates.times import CHUNKED, seconds
from stonk_pipeline.training.effort import Drawing, Lengths, Work, of_fine_tuning, of_policy

SHAPE = Shape(Weights(1_000, adapted=100), vocabulary=50, width=8, inner=16, layers=2, kept=24)
LENGTHS = Lengths(longest=20, usual=18.0, answer=4.0)
CPU = Place(on_gpu=False, vllm=True)


class Counted:
    """A machine that needs a thousandth of a second for each token."""

    def learn(self, rows, length, answer, *, recomputes=False):
        return 3e-3 * rows * length

    def read(self, rows, length, answer=1):
        return 1e-3 * rows * length

    def write(self, rows, length):
        return 1e-3 * rows


def of(work, place=CPU):
    return seconds({"step": work}, SHAPE, place, Counted(), ModelConfig())["step"]


def test_seconds_of_grpo_are_those_of_drawing_learning_and_validation():
    grpo = PolicyConfig(
        steps=10,
        prompts_per_step=2,
        group_size=4,
        micro_batch=4,
        max_completion_length=5,
        save_steps=5,
        validation_windows=3,
        validation_samples=2,
    )
    drawn = 10 * (2 * 18 + 8 * 5)  # each prompt is read once for its answers
    learned = 10 * 2 * 3 * (18 + 4 * 5)
    validated = 3 * 3 * (18 + 2 * 5)
    assert of(of_policy("grpo", grpo, LoraConfig(), LENGTHS, "windows")) == pytest.approx(
        1e-3 * (drawn + learned + validated)
    )
    compared = grpo.model_copy(update={"beta": 0.1})
    assert of(of_policy("grpo", compared, LoraConfig(), LENGTHS, "windows")) == pytest.approx(
        1e-3 * (drawn + learned + validated + 10 * 2 * (18 + 4 * 5))
    )
    apart = of(of_policy("grpo", compared, LoraConfig(), LENGTHS, "windows"), CPU._replace(shares=False))
    assert apart == pytest.approx(1e-3 * (10 * 8 * (1 + 3 + 1) * (18 + 5) + validated))


def test_seconds_of_fine_tuning_count_whole_answers_and_those_held_out():
    sft = SFTConfig(epochs=2, batch_size=10, micro_batch=5, val_share=0.1, evaluations=3)
    learned, read = 2 * 90 * 3 * CHUNKED, 3 * 10
    assert of(of_fine_tuning("sft", sft, LoraConfig(), LENGTHS, 100)) == pytest.approx(1e-3 * (learned + read) * 22)


def test_seconds_of_vllm_end_with_each_answer_and_of_transformers_with_the_longest():
    drawn = Drawing("sampling", "vllm", 100, 2, 10, LENGTHS, times=2)
    assert of(Work("answers", (drawn,))) == pytest.approx(2e-3 * 100 * (18 + 2 * 4))
    longest = Drawing("sampling", "transformers", 100, 2, 10, LENGTHS)
    assert of(Work("answers", (longest,))) == pytest.approx(1e-3 * 100 * (18 + 2 * 10))


def test_seconds_of_a_step_without_a_model_are_none():
    assert of(Work("windows")) == 0
