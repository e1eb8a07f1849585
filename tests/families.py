"""Small models of many families, made on the spot: each architecture with its tokenizer, its template and its quirks.

All text is made up; templates have the structure of those that published models bring, and none of their words.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ASKED = [{"role": "system", "content": "Forecast one close."}, {"role": "user", "content": "Closes: [100.0, 101.5]"}]
ANSWER = "<think>It rose by 1.5, so it may fall.</think>\n<answer>[100.5]</answer>"
VOCABULARY = 420
SHAPE = {
    **{"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 2048},
}
TURN = "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
CHATML = (
    "{% for message in messages %}"
    + TURN
    + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}").replace(
    "{{ message['content'] }}",
    "{{ message['content'].split('</think>')[-1] if message['role'] == 'assistant' else message['content'] }}",
)
INST = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}[SYS]{{ message['content'] }}[/SYS]"
    "{% elif message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}<|header|>{{ message['role'] }}<|/header|>\n\n"
    "{{ message['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else 'user' }}\n{{ message['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
WITH_SYSTEM = NO_SYSTEM.replace(
    "{{ raise_exception('no system messages') }}",
    "{% set first = messages[0]['content'] + '\\n\\n' %}{% set messages = messages[1:] %}",
).replace(
    "{{ message['content'] | trim }}", "{{ (first if loop.first and first else '') + message['content'] | trim }}"
)
ROLES = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
CHANNELS = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|start|>assistant<|channel|>final<|message|>"
    "{{ message['content'] }}{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}"
    "{% else %}<|start|>{{ 'developer' if message['role'] == 'system' else 'user' }}<|message|>"
    "{{ message['content'] }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A family of models: what is peculiar to it is said in `quirks`."""

    name: str
    kind: str
    """`model_type` of transformers."""
    tokenizer: str
    """Class of transformers."""
    quirks: str
    end: str
    """The token that a taught answer ends with."""
    template: str | None = None
    begins: str = ""
    """The token that a prompt begins with, once."""
    special: tuple[str, ...] = ()
    """Special tokens besides those of the class."""
    added: tuple[str, ...] = ()
    """Added tokens that are not special."""
    beyond: tuple[str, ...] = ()
    """Special tokens beyond the embedding."""
    ends: tuple[str, ...] = ()
    """End tokens of generation_config.json; the tokenizer's own where none are given."""
    named: dict[str, str | None] = field(default_factory=dict)
    """Tokens that the tokenizer names, such as `pad_token`."""
    settings: dict[str, Any] = field(default_factory=dict)
    padded: bool = False
    """Whether the embedding is padded to a multiple of 64."""
    puts_bos: bool = False
    """Whether the tokenizer puts BOS before a text by itself."""
    dtype: str = "float32"
    shards: bool = False
    length: float | None = None
    """`model_max_length` of the tokenizer."""


EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
FAMILIES = [
    Family(
        "llama", "llama", "LlamaTokenizer", "BOS of template and tokenizer, tied, no pad token, no limit of length",
        "</s>", INST, "<s>", puts_bos=True, settings={"tie_word_embeddings": True}, length=1e30,
    ),
    Family(
        "llama-biased", "llama", "PreTrainedTokenizerFast", "biases, untied, several ends, shards",
        "<|eot|>", HEADERS, "<|begin|>", special=("<|begin|>", "<|stop|>", "<|header|>", "<|/header|>", "<|eot|>"),
        puts_bos=True, ends=("<|stop|>", "<|eot|>"), named={"bos_token": "<|begin|>", "eos_token": "<|stop|>"},
        settings={"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}, shards=True,
    ),
    Family(
        "mistral-base", "mistral", "LlamaTokenizer", "no template, sliding window, no pad token",
        "</s>", None, "<s>", puts_bos=True, settings={"sliding_window": 16},
    ),
    Family(
        "qwen2", "qwen2", "Qwen2Tokenizer", "a vocabulary padded to a multiple of 64, two ends",
        "<|im_end|>", CHATML, special=("<|im_start|>", "<|im_end|>"), ends=("<|im_end|>", "<|endoftext|>"),
        named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, padded=True,
    ),
    Family(
        "qwen3", "qwen3", "Qwen2Tokenizer", "a template that opens <think> and drops it from turns, tied",
        "<|im_end|>", THINKS, special=("<|im_start|>", "<|im_end|>"), added=("<think>", "</think>"),
        ends=("<|im_end|>", "<|endoftext|>"), named={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        settings={"tie_word_embeddings": True},
    ),
    Family(
        "gemma2", "gemma2", "GemmaTokenizer", "a template without system role, capped logits, sliding window",
        "<end_of_turn>", NO_SYSTEM, "<bos>", special=("<start_of_turn>", "<end_of_turn>"),
        puts_bos=True, ends=("<eos>", "<end_of_turn>"), settings={"sliding_window": 16, "query_pre_attn_scalar": 32},
    ),
    Family(
        "gemma3", "gemma3_text", "GemmaTokenizer", "a token beyond the embedding, layers of two kinds",
        "<end_of_turn>", WITH_SYSTEM, "<bos>", special=("<start_of_turn>", "<end_of_turn>"), beyond=("<image_soft>",),
        puts_bos=True, ends=("<eos>", "<end_of_turn>"), length=1e30,
        settings={
            "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 32,
        },
    ),
    Family(
        "phi3", "phi3", "LlamaTokenizer", "fused layers, pad equal to EOS, a template that ends with EOS",
        "<|end|>", ROLES, special=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        ends=("<|endoftext|>", "<|end|>"), named={"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
        settings={"num_key_value_heads": 2},
    ),
    Family(
        "gpt2", "gpt2", "GPT2Tokenizer", "no template, turned weights, one token for BOS, EOS and the unknown",
        "<|endoftext|>", None,
        settings={"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 2048},
    ),
    Family(
        "opt", "opt", "GPT2Tokenizer", "no template, BOS and EOS are one token, which the tokenizer puts first",
        "</s>", None, "</s>", special=("</s>", "<pad>"),
        named={"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"},
        puts_bos=True, settings={"ffn_dim": 96, "word_embed_proj_dim": 64},
    ),
    Family(
        "gpt-neox", "gpt_neox", "GPTNeoXTokenizer", "no template, weights of 16 bits, a padded vocabulary",
        "<|endoftext|>", None, dtype="float16", padded=True,
    ),
    Family(
        "mixtral", "mixtral", "LlamaTokenizer", "experts, BOS of template and tokenizer",
        "</s>", INST, "<s>", puts_bos=True, settings=EXPERTS, dtype="bfloat16",
    ),
    Family(
        "gpt-oss", "gpt_oss", "PreTrainedTokenizerFast", "experts, sinks, a template with channels, three ends",
        "<|return|>", CHANNELS,
        special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>", "<|endoftext|>"),
        ends=("<|return|>", "<|endoftext|>", "<|call|>"),
        named={"eos_token": "<|return|>", "pad_token": "<|endoftext|>"},
        settings=EXPERTS | {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16},
    ),
]  # fmt: skip


def build(family: Family, directory: Path) -> Path:
    """Writes a model of a family, with random weights."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GenerationConfig

    tokenizer = tokenizer_of(family)
    tokenizer.save_pretrained(directory)
    ids = tokenizer.convert_tokens_to_ids
    named = {f"{name}_token_id": ids(token) for name in ("bos", "eos", "pad") if (token := _named(tokenizer, name))}
    inside = len(tokenizer) - len(family.beyond)
    shape = SHAPE | {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None} | named | family.settings
    torch.manual_seed(0)
    rows = 64 * -(-inside // 64) if family.padded else inside
    config = CONFIG_MAPPING[family.kind](vocab_size=rows, **shape)
    network = AutoModelForCausalLM.from_config(config).to(getattr(torch, family.dtype))
    ends = list(map(ids, family.ends)) or named["eos_token_id"]
    network.generation_config = GenerationConfig(
        eos_token_id=ends, **{k: v for k, v in named.items() if "eos" not in k}
    )
    network.save_pretrained(directory, max_shard_size="100KB" if family.shards else "5GB")
    return directory


def _named(tokenizer: Any, name: str) -> str | None:
    return getattr(tokenizer, f"{name}_token")


def tokenizer_of(family: Family) -> Any:
    """A tokenizer of the family's class, trained on a few made-up sentences."""
    import transformers
    from tokenizers import AddedToken

    if family.tokenizer == "PreTrainedTokenizerFast":
        blank = transformers.PreTrainedTokenizerFast(tokenizer_object=_byte_level(), **family.named)
    else:
        blank = getattr(transformers, family.tokenizer)(**family.named)
    tokenizer = blank.train_new_from_iterator(texts(), VOCABULARY)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in family.special], True)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in family.added])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in family.beyond], True)
    for name, token in family.named.items():
        setattr(tokenizer, name, token)
    if family.puts_bos:
        tokenizer.add_bos_token = True
        tokenizer.update_post_processor()
    if family.length is not None:
        tokenizer.model_max_length = int(family.length)
    tokenizer.chat_template = family.template
    return tokenizer


def _byte_level() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def texts() -> list[str]:
    """What tokenizers are trained on: characters, numbers, and words of questions and answers."""
    chance = random.Random(0)
    printable = "".join(map(chr, range(32, 127)))
    numbers = [", ".join(f"{chance.uniform(80, 120):.1f}" for _ in range(20)) for _ in range(50)]
    return [f"{printable}\n\n{printable}\n", ANSWER, *(message["content"] for message in ASKED), *numbers]
