"""Base models that are wrong or odd: told before anything is trained, and taken where that can be done rightly."""

import json
import shutil

import pytest

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import ConfigError, PipelineError
from stonk_pipeline.files import model_settings
from stonk_pipeline.files.weights import check_loaded, check_model
from stonk_pipeline.models.fitting import outlined, require_finite
from stonk_pipeline.models.load import load_base, load_tokenizer
from stonk_pipeline.models.readiness import require_model
from stonk_pipeline.sampling.engines import Draws, TransformersEngine
from tests.tiny_models import SHAPE, copy_of_tiny, random_model, template


@pytest.fixture
def model(tmp_path):
    return copy_of_tiny(tmp_path / "mine")


def edited(path, *, without=(), **changes):
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in said.items() if name not in without}))


def required(model):
    return require_model(ModelConfig(name=str(model), max_seq_length=320))


# Weights that the settings do not name


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Models of random weights, by kind."""
    from transformers import CONFIG_MAPPING

    made = {}

    def build(kind, **more):
        key = (kind, *more)
        if key not in made:
            made[key] = random_model(tmp_path_factory.mktemp(kind), CONFIG_MAPPING[kind](**SHAPE | more))
        return made[key]

    return build


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        (
            "gpt_neox",
            {"num_hidden_layers": 1},
            r"a model without gpt_neox\.layers\.1\.attention.*, so 12 of its tensors",
        ),
        ("gpt2", {"n_layer": 1}, r"a model without transformer\.h\.1\.attn\.c_attn\.weight, so 11 of its tensors"),
        ("qwen2", {"model_type": "llama"}, r"without model\.layers\.0\.self_attn\.k_proj\.bias, so 6 of its tensors"),
        ("qwen2", {"intermediate_size": 128}, r"do not fit its config\.json \(no model\.layers\.0\.mlp\.down_proj"),
    ],
)
def test_no_weights_are_left_out_in_silence(built, tmp_path, kind, said, message):
    copy = shutil.copytree(built(kind), tmp_path / "copy")
    edited(copy / "config.json", **said)
    with pytest.raises(ConfigError, match=message):
        outlined(str(copy))
    with pytest.raises(ConfigError, match=message):
        load_base(ModelConfig(name=str(copy), backend="peft"))


def test_outlined_reads_no_numbers(built):
    network = outlined(str(built("qwen2")))
    assert all(tensor.is_meta for tensor in network.parameters())


def test_check_loaded_spares_what_is_computed_and_layers_that_look_ahead(built):
    from transformers import AutoConfig

    spared = ["h.0.attn.bias", "h.0.attn.masked_bias", "model.layers.0.self_attn.rotary_emb.inv_freq", "mtp.fc.weight"]
    spared += ["gpt_neox.layers.0.attention.bias", "model.mtp_layers.0.norm.weight"]
    check_loaded("m", {"unexpected_keys": spared})
    config = AutoConfig.from_pretrained(built("qwen2"))
    config.num_nextn_predict_layers = 1
    check_loaded("m", {"unexpected_keys": ["model.layers.2.mlp.gate.weight"]}, config)
    for name in ("model.layers.3.mlp.gate.weight", "h.0.attn.c_attn.bias"):
        with pytest.raises(ConfigError, match=f"a model without {name}, so 1 of its tensors"):
            check_loaded("m", {"unexpected_keys": [name]}, config)


def test_check_model_takes_layers_that_look_ahead(model):
    layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    edited(model / "config.json", num_hidden_layers=layers - 1)
    with pytest.raises(ConfigError, match=f"num_hidden_layers is {layers - 1}, and the weights have {layers}"):
        check_model(model)
    edited(model / "config.json", num_nextn_predict_layers=1)
    check_model(model)


# Numbers


@pytest.mark.parametrize(("wrong", "packed"), [("nan", False), ("inf", False), ("-inf", True)])
def test_weights_that_are_no_numbers_are_refused_before_training(model, wrong, packed):
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name][3, 5] = float(wrong)
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=rf"{name}' has NaN or infinite numbers"):
        if packed:  # to 4 bits, which hides them
            require_finite(str(model), None, packed=True)
        else:
            load_base(ModelConfig(name=str(model), backend="peft"))


def test_tokens_without_embeddings_are_refused(built, tmp_path):
    small = shutil.copytree(built("llama", vocab_size=500), tmp_path / "small")
    with pytest.raises(
        ConfigError, match=r"tokenizer\.json: has a token 877 .*embeddings of 500 \(vocab_size\), for 0 to"
    ):
        required(small)
    with pytest.raises(ConfigError, match=r"small: has a token 877 .*copy the tokenizer's files of this very model"):
        load_base(ModelConfig(name=str(small), backend="peft"))


@pytest.mark.parametrize(
    ("text", "special", "named", "fits"),
    [("<image>", True, {}, True), ("<image>", True, {"pad_token": "<image>"}, False), ("word", False, {}, False)],
)
def test_special_tokens_that_nothing_names_need_no_embedding(model, text, special, named, fits):
    said = json.loads((model / "tokenizer.json").read_text())
    token = said["added_tokens"][-1] | {"id": 878, "content": text, "special": special}
    edited(model / "tokenizer.json", added_tokens=[*said["added_tokens"], token])
    edited(model / "tokenizer_config.json", **named)
    if fits:  # as Gemma 3's token for images in its models of text alone
        required(model)
        load_base(ModelConfig(name=str(model), backend="peft"))
        return
    with pytest.raises(ConfigError, match=rf"has a token 878 \({text}\)"):
        required(model)


# What is told before anything starts


def named_templates(model):
    (model / "chat_template.jinja").unlink()
    named = [{"name": name, "template": template()} for name in ("tool_use", "rag")]
    edited(model / "tokenizer_config.json", chat_template=named)


def processors_template(model):
    (model / "chat_template.jinja").unlink()
    (model / "chat_template.json").write_text(json.dumps({"chat_template": template()}))


def number(model):
    (model / "chat_template.jinja").unlink()
    edited(model / "tokenizer_config.json", chat_template=5)


def joined(model):
    (model / "chat_template.jinja").write_text("{{ bos_token + 'x' }}" + template())


def end_as_text(model):
    edited(model / "generation_config.json", eos_token_id="</s>")


def adapter(model):
    (model / "adapter_config.json").write_text("{}")


def says(**said):
    return lambda model: edited(model / "config.json", **said)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (named_templates, r"chat templates with names \(tool_use, rag\), and none is called default; call one so$"),
        (
            processors_template,
            r"chat_template\.json: a chat template of a processor, .*to a chat_template\.jinja there$",
        ),
        (number, r"tokenizer_config\.json: its chat template is no text; choose"),
        (
            joined,
            r"chat_template\.jinja: its chat template cannot be used \(UndefinedError: 'bos_token' is undefined\)",
        ),
        (end_as_text, r"generation_config\.json: eos_token_id is '</s>', and no number of a token or list of such"),
        (says(eos_token_id=[1, "x"]), r"/config\.json: eos_token_id is \[1, 'x'\]"),
        (adapter, r"adapter_config\.json: an adapter beside the weights .*; move it .* stonk_pipeline merge\)$"),
        (
            says(attn_implementation="who/kernel"),
            r"config\.json: attn_implementation names a kernel of the hub, .*; remove",
        ),
        (
            says(text_config={"_attn_implementation": {"": "who/kernel"}}),
            "_attn_implementation names a kernel of the hub",
        ),
        (says(model_type="t5"), r"model_type t5 is no causal language model of transformers \d.*; choose one that is"),
        (says(model_type="supermodel9"), r"model_type supermodel9 is not known to transformers \d.*; choose another"),
        (says(quantization_config={"quant_method": "gptq"}), r"another library \(gptq\).*; choose the model that they"),
        (says(quantization_config={"quant_method": "awq"}), r"another library \(awq\)"),
    ],
)
def test_require_model_tells_before_anything_starts(model, damage, message):
    damage(model)
    with pytest.raises(PipelineError, match=message):
        required(model)


@pytest.mark.parametrize("tokenizer", ["Qwen2Tokenizer", "Evil"])
def test_code_beside_a_model_is_never_run(model, tmp_path, tokenizer):
    for place in ("evil.py", "__init__.py", "tokenization_evil.py", "custom_generate/generate.py"):
        (model / place).parent.mkdir(exist_ok=True)
        (model / place).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n\nclass Evil:\n    pass\n")
    named = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    edited(model / "tokenizer_config.json", auto_map=named, tokenizer_class=tokenizer)
    edited(model / "generation_config.json", custom_generate=str(model), trust_remote_code=True)
    try:
        engine = TransformersEngine(*load_base(ModelConfig(name=str(model), backend="peft")))
        engine.draw(["100.0"], Draws(n=1, temperature=1.0, top_p=1.0, max_tokens=2, seed=0))
    except ConfigError as error:
        assert "not readable as a model" in str(error)
    assert not (tmp_path / "ran").exists()


def test_load_tokenizer_refuses_templates_by_the_tokens_that_the_tokenizer_has(model):
    """Where the files do not say it: a class may bring a token of its own, or none."""
    joined(model)
    edited(model / "tokenizer_config.json", without=["bos_token"])
    required(model)
    with pytest.raises(PipelineError, match="'bos_token' is undefined"):
        load_tokenizer(str(model))


def test_load_tokenizer_refuses_a_model_whose_answers_nothing_ends(tmp_path):
    plain = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    model = copy_of_tiny(tmp_path / "mine", chat_template=plain)
    edited(model / "tokenizer_config.json", eos_token=None, tokenizer_class="PreTrainedTokenizerFast")
    for name in ("config.json", "generation_config.json"):
        edited(model / name, eos_token_id=None)
    with pytest.raises(ConfigError, match=r"mine: nothing ends an answer; give eos_token in tokenizer_config\.json"):
        load_tokenizer(str(model))


def test_known_models_are_those_of_transformers():
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

    causal, known = (model_settings.known_models(*table) for table in model_settings.TABLES)
    assert causal == set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert known <= set(CONFIG_MAPPING_NAMES)
    assert {"t5", "bert", "qwen2"} <= known
    assert model_settings.known_models("models/auto/modeling_auto.py", "NO_SUCH_TABLE") == frozenset()
    assert model_settings.known_models("no/such/file.py", "NO_SUCH_TABLE") == frozenset()
