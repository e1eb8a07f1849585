"""Which engine answers, and prompts that must fit the model. The engines themselves are run in `tests/integration`."""

import json
import shutil
import sys

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.contracts.forecast import tiny
from stonk_pipeline.contracts.forecast.question import SHORTER, answer
from stonk_pipeline.errors import EngineError, PromptError
from stonk_pipeline.files.model_digest import cache
from stonk_pipeline.models.load import load_for_training, load_merged, save_adapter
from stonk_pipeline.sampling.engines import (
    TOKENS_AT_ONCE,
    Draws,
    TransformersEngine,
    batch_tokens,
    choose_engine,
    kept_bytes,
)
from stonk_pipeline.sampling.prompts import check_lengths, render, token_ids

ASKED = [
    [{"role": "system", "content": "Forecast."}, {"role": "user", "content": f"Closes: {closes}"}]
    for closes in ("[100.0]", "[99.5, 100.0, 101.5, 100.0]")
]


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    """A module of this name can be imported, whether or not the library is installed."""
    (tmp_path / "vllm.py").write_text("raise AssertionError('it takes seconds to import, which a choice need not')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)


@pytest.mark.parametrize(
    ("wanted", "prefer", "chosen"),
    [
        ("auto", True, "vllm"),
        ("auto", False, "transformers"),
        ("vllm", False, "vllm"),
        ("transformers", True, "transformers"),
    ],
)
def test_choose_engine_follows_the_setting_and_then_the_preference(vllm, wanted, prefer, chosen):
    assert choose_engine(wanted, prefer_vllm=prefer) == chosen


def test_choose_engine_does_without_vllm_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)  # Python's own way to say that there is none
    assert choose_engine("auto", prefer_vllm=True) == "transformers"
    assert choose_engine("transformers", prefer_vllm=True) == "transformers"
    with pytest.raises(EngineError, match=r"vLLM is not installed; install it, or set it to 'transformers'"):
        choose_engine("vllm", prefer_vllm=False)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.DIRECTORY)


def test_render_words_conversations_with_the_models_template(tokenizer):
    prompts = render(tokenizer, ASKED, room=10, limit=320, shorter=SHORTER)
    assert prompts[0] == (
        "<|im_start|>system\nForecast.<|im_end|>\n<|im_start|>user\nCloses: [100.0]<|im_end|>\n<|im_start|>assistant\n"
    )
    assert [tokenizer.decode(tokenizer(prompt)["input_ids"]) for prompt in prompts] == prompts


def test_render_says_how_long_the_longest_prompt_is_and_what_helps(tokenizer):
    prompts = render(tokenizer, ASKED, room=0, limit=320, shorter=SHORTER)
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    assert lengths[0] < lengths[1] == check_lengths(tokenizer, prompts, room=0, limit=320, shorter=SHORTER)
    # Exactly full is not too full.
    assert render(tokenizer, ASKED, room=50, limit=lengths[1] + 50, shorter=SHORTER) == prompts
    with pytest.raises(PromptError) as caught:
        render(tokenizer, ASKED, room=50, limit=lengths[1] + 49, shorter=SHORTER)
    for words in (
        f"{lengths[1]} tokens",
        f"= {lengths[1] + 49}",
        f"max_seq_length to {lengths[1] + 50}",
        "data.window",
    ):
        assert words in str(caught.value)


def test_check_lengths_of_no_prompts_is_nothing(tokenizer):
    assert check_lengths(tokenizer, [], room=5, limit=5, shorter=SHORTER) == 0


def test_tokenizer_keeps_the_form_of_an_answer(tokenizer):
    thought = "The close is -12.5 from its EMA after a move of +0.3. I expect +9.1 in 10 days, half of it by day 2."
    text = answer(thought, tuple(100.0 + step / 7 for step in range(10)), 1)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len(ids) <= 56  # what the default recipe leaves for an answer, the end mark not counted


@pytest.mark.parametrize("how", ["to sample", "to train"])
def test_a_models_own_generation_settings_change_no_answer(tmp_path, tokenizer, how):
    """An instruction-tuned model may ship a penalty on repetition; prices repeat all the time."""
    copy = tmp_path / "stonk-tiny"
    shutil.copytree(tiny.DIRECTORY, copy)
    ends = [tokenizer.eos_token_id, tokenizer.eos_token_id + 1]
    (copy / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.8, "eos_token_id": ends}))
    prompts = render(tokenizer, ASKED, room=40, limit=320, shorter=SHORTER)
    draws = Draws(n=1, temperature=0.0, top_p=1.0, max_tokens=40, seed=0)

    def load(name):
        model = ModelConfig(name=name, backend="peft")
        if how == "to sample":
            return load_merged(model, None)
        loaded = load_for_training(model, LoraConfig(), 0)
        return loaded.model, loaded.tokenizer

    expected = TransformersEngine(*load("stonk-tiny")).sample(prompts, draws)
    network, loaded = load(str(copy))
    assert TransformersEngine(network, loaded).sample(prompts, draws) == expected
    settings = network.generation_config if how == "to sample" else network.get_base_model().generation_config
    assert settings.eos_token_id == ends
    settings.repetition_penalty = 1.8  # the control: it would have changed them
    assert TransformersEngine(network, loaded).sample(prompts, draws) != expected


def test_prompts_are_padded_on_the_left_wherever_a_trainer_set_the_tokenizer_to(tokenizer, tmp_path):
    """Unsloth's trainers set it to the right on CUDA, and a shorter prompt would be answered after its padding."""
    loaded = load_for_training(ModelConfig(backend="peft"), LoraConfig(), 0)
    prompts = render(tokenizer, ASKED, room=40, limit=320, shorter=SHORTER)
    draws = Draws(n=1, temperature=0.0, top_p=1.0, max_tokens=40, seed=0)
    expected = TransformersEngine(loaded.model, loaded.tokenizer).sample(prompts, draws)
    loaded.tokenizer.padding_side = "right"
    assert TransformersEngine(loaded.model, loaded.tokenizer).sample(prompts, draws) == expected
    save_adapter(loaded, ModelConfig(), tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["padding_side"] == "left"


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ({"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2}, 28_672),
        ({"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}, 57_344),
    ],
)
def test_kept_bytes_are_those_of_the_cache_of_a_token(shape, kept):
    """Of Qwen2.5's 1.5B and 7B, in bfloat16."""
    from transformers import Qwen2Config

    assert kept_bytes(Qwen2Config(**shape), 2) == kept


def test_kept_bytes_of_a_model_that_says_no_heads_are_rather_too_many():
    from transformers import PretrainedConfig

    assert kept_bytes(PretrainedConfig(hidden_size=64, num_hidden_layers=2), 4) == 2 * 2 * 64 * 4


def test_batch_tokens_leave_most_of_a_small_card_free_and_end_at_a_number():
    assert batch_tokens(16 * 10**9, 28_672) * 28_672 <= 16e9 / 6
    assert batch_tokens(16 * 10**9, 28_672) > 90_000
    assert batch_tokens(140 * 10**9, 28_672) == 8 * TOKENS_AT_ONCE


def test_prompts_hold_the_tokens_of_the_template_and_no_second_beginning(tokenizer):
    """Tokenizers of some models put a token before every text, and their templates have it already."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    begins = AutoTokenizer.from_pretrained(tiny.DIRECTORY)
    first = "<|im_start|>"
    pairs = [(first, begins.convert_tokens_to_ids(first))]
    begins.backend_tokenizer.post_processor = TemplateProcessing(single=f"{first} $A", special_tokens=pairs)
    network, plain = load_merged(ModelConfig(), None)
    prompts = render(plain, ASKED, room=40, limit=320, shorter=SHORTER)
    assert begins(prompts[0])["input_ids"][:2] == [pairs[0][1]] * 2
    assert token_ids(begins, prompts) == [
        plain.apply_chat_template(each, add_generation_prompt=True)["input_ids"] for each in ASKED
    ]
    begins.padding_side = "left"
    draws = Draws(n=2, temperature=1.0, top_p=1.0, max_tokens=40, seed=0)
    expected = TransformersEngine(network, plain).sample(prompts, draws)
    assert TransformersEngine(network, begins).sample(prompts, draws) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [(None, "/home/me/.cache"), ("", "/home/me/.cache"), ("relative", "/home/me/.cache"), ("/big", "/big")],
)
def test_cache_follows_the_users_cache_folder(monkeypatch, chosen, expected):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if chosen is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    assert str(cache()) == f"{expected}/stonk-pipeline"
