"""Chat templates as models bring them: without a place for a system message, several, or none at all."""

import json

import pytest

from stonk_pipeline import cli
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.errors import PipelineError
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.load import load_tokenizer
from stonk_pipeline.models.readiness import require_model
from stonk_pipeline.models.templates import FOLDING, PLAIN, check_template, is_plain
from stonk_pipeline.pipeline.room import plain
from stonk_pipeline.report.files import RunFiles
from stonk_pipeline.report.frame import asked_plainly
from stonk_pipeline.sampling.guarding import guarded
from stonk_pipeline.sampling.prompts import render, token_ids
from stonk_pipeline.text.form import TAGS
from tests.tiny_models import TURNS, copy_of_tiny, template

REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + template()
)
DROPS_SYSTEM = TURNS.replace("in messages", "in messages if message['role'] != 'system'").replace("OPENING", "")
DROPS_SYSTEM = DROPS_SYSTEM.replace("CONTENT", "message['content']")
ASKED = [{"role": "system", "content": "Answer as <answer>[1.0]</answer>."}, {"role": "user", "content": "100.0 1.5"}]


@pytest.fixture
def model(tmp_path):
    return copy_of_tiny(tmp_path / "mine")


def edited(path, *, without=(), **changes):
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in said.items() if name not in without}))


def required(model):
    return require_model(ModelConfig(name=str(model), max_seq_length=320))


@pytest.mark.parametrize("given", [REFUSES_SYSTEM, DROPS_SYSTEM])
def test_system_message_is_put_before_the_question_where_a_template_has_no_place_for_it(tmp_path, given):
    model = copy_of_tiny(tmp_path / "mine", chat_template=given, special=TAGS)
    required(model)
    tokenizer = load_tokenizer(str(model))
    (prompt,) = render(tokenizer, [ASKED], room=1, limit=999, shorter="")
    begun = "<|im_start|>user\nAnswer as <answer>[1.0]</answer>.\n\n100.0 1.5<|im_end|>\n<|im_start|>assistant\n"
    assert prompt == begun
    (asked,) = guarded(tokenizer, [ASKED])  # the trainer applies the template itself
    assert tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False) == begun
    chat = Chat.of(tokenizer, [])
    answer = "<think>up</think>\n<answer>[1.0]</answer>"
    assert chat.end == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (chat.opening, chat.read(chat.write(answer))) == ("", answer)
    tokenizer.save_pretrained(tmp_path / "saved")  # as an adapter keeps it
    saved = (tmp_path / "saved" / "chat_template.jinja").read_text()
    assert check_template(saved, "saved") == saved == FOLDING + given


def test_template_that_takes_a_system_message_is_left_as_it_is():
    assert check_template(template(), "m") == template()
    assert check_template(REFUSES_SYSTEM, "m") == FOLDING + REFUSES_SYSTEM


def test_template_that_leaves_out_the_question_is_not_mended():
    with pytest.raises(PipelineError, match="leaves out what the user says"):
        check_template("{{ messages[0]['content'] }}", "m")


def test_load_tokenizer_puts_a_system_message_into_the_default_of_several_templates(model):
    (model / "chat_template.jinja").unlink()
    named = [{"name": "default", "template": REFUSES_SYSTEM}, {"name": "tool_use", "template": "{{ tools[0] }}"}]
    edited(model / "tokenizer_config.json", chat_template=named)
    required(model)
    tokenizer = load_tokenizer(str(model))
    assert tokenizer.chat_template == {"default": FOLDING + REFUSES_SYSTEM, "tool_use": "{{ tools[0] }}"}
    assert ASKED[0]["content"] in tokenizer.apply_chat_template(ASKED, tokenize=False)


@pytest.fixture
def base(model):
    """A base model, which has no chat template."""
    (model / "chat_template.jinja").unlink()
    return model


def test_model_without_a_template_is_asked_in_a_plain_form_that_its_adapter_keeps(base, tmp_path):
    required(base)
    assert is_plain(base)
    tokenizer = load_tokenizer(str(base))
    (prompt,) = render(tokenizer, [ASKED], room=1, limit=999, shorter="")
    assert prompt == "Answer as <answer>[1.0]</answer>.\n\n100.0 1.5\n\nAnswer:\n"
    chat = Chat.of(tokenizer, [])
    answer = "<think>up</think>\n<answer>[1.0]</answer>"
    assert (chat.opening, tokenizer.decode(chat.write(answer))) == ("", f"{answer}<|im_end|>")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert not is_plain(tmp_path / "saved")
    assert (tmp_path / "saved" / "chat_template.jinja").read_text() == tokenizer.chat_template == PLAIN
    (base / "chat_template.jinja").write_text("")  # as good as none
    assert is_plain(base)
    assert load_tokenizer(str(base)).chat_template == PLAIN


def test_plain_form_begins_with_what_the_tokenizer_puts_before_a_text(base):
    said = json.loads((base / "tokenizer.json").read_text())
    first = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
    known = {"<|im_start|>": {"id": "<|im_start|>", "ids": [397], "tokens": ["<|im_start|>"]}}
    said["post_processor"] = {"type": "TemplateProcessing", "special_tokens": known}
    said["post_processor"] |= {"single": [first, {"Sequence": {"id": "A", "type_id": 0}}]}
    said["post_processor"] |= {"pair": [*said["post_processor"]["single"], {"Sequence": {"id": "B", "type_id": 1}}]}
    edited(base / "tokenizer.json", **said)
    edited(base / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = load_tokenizer(str(base))
    (prompt,) = render(tokenizer, [ASKED], room=1, limit=999, shorter="")
    assert token_ids(tokenizer, [prompt]) == [tokenizer(prompt.removeprefix("<|im_start|>"))["input_ids"]]


def test_run_of_a_model_without_a_template_says_so(base, tmp_path, capsys):
    options = ["--recipe", "small", "--model", str(base), "--set", "data.market={tickers: 1, days: 500}"]
    assert cli.main(["preprocess", "--run-dir", str(tmp_path / "run"), *options]) == 0
    said = "has no chat template, so it is asked in a plain form, as a base model: the question, and 'Answer:'."
    assert said in capsys.readouterr().err
    assert not plain(ModelConfig())
    adapter = tmp_path / "run" / "stage1_grpo_training" / "adapter"
    adapter.mkdir(parents=True)
    steps = open_run(tmp_path / "run").graph
    assert not asked_plainly(RunFiles(tmp_path / "run"), steps)
    load_tokenizer(str(base)).save_pretrained(adapter)
    assert asked_plainly(RunFiles(tmp_path / "run"), steps)


def test_end_that_the_settings_name_alone_is_the_tokenizers_end_too(model):
    """TRL pads with it and looks for it; the plain form ends answers with it."""
    edited(model / "tokenizer_config.json", eos_token=None, pad_token=None, tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = load_tokenizer(str(model))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
