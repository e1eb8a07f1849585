"""Answers as text and as tokens, for the chat templates and vocabularies that published models have."""

import pytest

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.forecast import question
from stonk_pipeline.contracts.forecast.prompts import questions
from stonk_pipeline.contracts.forecast.sections import PromptConfig
from stonk_pipeline.errors import PromptError, StageError
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.load import load_merged, load_tokenizer
from stonk_pipeline.models.tiny import walk_windows
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from stonk_pipeline.schema import Forecast
from stonk_pipeline.text.form import TAGS
from stonk_pipeline.training.kept_answers import IGNORED, lessons
from tests.tiny_models import DROPS_THINKING, copy_of_tiny, template

ANSWER = question.answer("The close is +1.0 from its EMA after a move of -0.3.", (100.5, 101.0), 1)
ASKED = [{"role": "system", "content": "Forecast."}, {"role": "user", "content": "Closes: [100.0]"}]
PROMPT = "<|im_start|>system\nForecast.<|im_end|>\n<|im_start|>user\nCloses: [100.0]<|im_end|>\n<|im_start|>assistant\n"


def chat_of(directory, **changes):
    tokenizer = load_tokenizer(str(copy_of_tiny(directory / "model", **changes)))
    return Chat.of(tokenizer, [tokenizer.eos_token_id])


@pytest.mark.parametrize(
    "changes",
    [
        {"chat_template": template("<think>")},
        {"special": TAGS},
        {"chat_template": template("<think>", DROPS_THINKING), "special": TAGS},
    ],
    ids=["opened", "special", "both"],
)
def test_answers_are_readable_where_the_template_opens_them_or_the_tags_are_special(tmp_path, changes):
    name = copy_of_tiny(tmp_path / "model", **changes)
    engine = TransformersEngine(*load_merged(ModelConfig(name=str(name)), None))
    windows = walk_windows([(0.015, 10, 5)], 1)[0][:8]
    prompts = questions(engine.tokenizer, windows, PromptConfig(decimals=1), 5, room=80, limit=600)
    texts = engine.sample(prompts, Draws(2, 1.0, 1.0, 80, 0))
    answers = [answer for of_one in question.read_all(texts, windows, 5) for answer in of_one]
    assert sum(isinstance(answer, Forecast) for answer in answers) >= 14, texts


@pytest.mark.parametrize(
    ("opening", "sampled", "read"),
    [
        ("", "<think>a</think>\n<answer>up</answer>", "<think>a</think>\n<answer>up</answer>"),
        ("<think>\n", "a</think>\n<answer>up</answer>", "<think>\na</think>\n<answer>up</answer>"),
        ("<think>\n", "\n<think>a</think><answer>up</answer>", "\n<think>a</think><answer>up</answer>"),  # begun anew
        ("<think>\n\n</think>\n\n", "<answer>up</answer>", "<think>\n\n</think>\n\n<answer>up</answer>"),
    ],
    ids=["nothing opened", "opened", "opened and begun anew", "opened and closed"],
)
def test_read_joins_what_the_prompt_began_and_what_was_sampled(tmp_path, opening, sampled, read):
    chat = chat_of(tmp_path, chat_template=template(opening.replace("\n", "\\n")).replace("\\n", "\n"), special=TAGS)
    ids = chat.tokenizer(sampled, add_special_tokens=False)["input_ids"]
    end, pad = chat.tokenizer.eos_token_id, chat.tokenizer.pad_token_id
    assert chat.opening == opening
    assert chat.read([*ids, end, pad, pad]) == read
    assert chat.read(chat.write(read)) == read


@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_lessons_are_the_prompt_the_answer_word_for_word_and_its_end(tmp_path, opening):
    """A template that drops the thinking of earlier turns would teach to leave it out."""
    answer = ANSWER.replace("<think>", opening) if opening else ANSWER
    chat = chat_of(tmp_path, chat_template=template(opening, DROPS_THINKING), special=TAGS)
    (lesson,) = lessons(chat, [{"prompt": ASKED, "completion": answer, "tokens": []}], 200)
    assert chat.tokenizer.decode(lesson["input_ids"]) == PROMPT + answer + "<|im_end|>"
    taught = [token for token in lesson["labels"] if token != IGNORED]
    assert chat.tokenizer.decode(taught) == answer.removeprefix(opening) + "<|im_end|>"
    assert lesson["input_ids"][-len(taught) :] == taught
    with pytest.raises(PromptError, match="max_seq_length"):
        lessons(chat, [{"prompt": ASKED, "completion": answer, "tokens": []}], len(lesson["input_ids"]) - 1)


def test_lessons_refuse_an_answer_that_the_tokenizer_spells_otherwise(tmp_path):
    chat = chat_of(tmp_path)
    chat.tokenizer.backend_tokenizer.normalizer = __import__("tokenizers").normalizers.Lowercase()
    with pytest.raises(StageError, match="spells the answer"):
        lessons(chat, [{"prompt": ASKED, "completion": "<think>EMA</think>", "tokens": []}], 200)


def test_an_answer_ends_with_the_token_that_the_template_puts_there(tmp_path):
    """Some models name another end in their settings than the one that their template writes."""
    directory = copy_of_tiny(tmp_path / "model")
    tokenizer = load_tokenizer(str(directory))
    tokenizer.eos_token = "<|endoftext|>"
    chat = Chat.of(tokenizer, [tokenizer.eos_token_id])
    assert chat.tokenizer.decode(chat.write(ANSWER)[-1]) == "<|im_end|>"
    assert set(map(tokenizer.decode, chat.ends)) == {"<|im_end|>", "<|endoftext|>"}


def test_lessons_teach_the_tokens_that_were_sampled_however_the_tokenizer_would_spell_them(tmp_path):
    chat = chat_of(tmp_path)
    end = chat.tokenizer.eos_token_id
    apart = [chat.tokenizer.convert_tokens_to_ids(sign) for sign in "1234"]
    assert chat.write("1234") != [*apart, end]  # it has a token for 123
    for sampled in ([*apart, end], [*apart, end, chat.tokenizer.pad_token_id], apart):
        (lesson,) = lessons(chat, [{"prompt": ASKED, "completion": "1234", "tokens": sampled}], 200)
        assert [token for token in lesson["labels"] if token != IGNORED] == [*apart, end]
    edited = {"prompt": ASKED, "completion": "12", "tokens": [*apart, end]}  # by hand: the text counts
    (lesson,) = lessons(chat, [edited], 200)
    assert [token for token in lesson["labels"] if token != IGNORED] == chat.write("12")
