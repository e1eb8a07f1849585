"""Small models on disk for tests: copies of `stonk-tiny` with another template or vocabulary, and random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

from stonk_pipeline.contracts.forecast import question, tiny

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TURNS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ CONTENT }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nOPENING{% endif %}"
)
DROPS_THINKING = "message['content'].split('</think>')[-1] if message['role'] == 'assistant' else message['content']"
"""What templates of DeepSeek-R1's distilled models make of an assistant's turn."""


def template(opening: str = "", content: str = "message['content']") -> str:
    """`stonk-tiny`'s own template, but for what it begins of an answer and what it makes of a message."""
    return TURNS.replace("OPENING", opening).replace("CONTENT", content)


def copy_of_tiny(directory: Path, *, chat_template: str | None = None, special: tuple[str, ...] = ()) -> Path:
    """A copy of `stonk-tiny`.

    Args:
        directory: is made.
        chat_template: in place of its own.
        special: added tokens that become special ones.
    """
    shutil.copytree(tiny.DIRECTORY, directory)
    if chat_template is not None:
        (directory / "chat_template.jinja").write_text(chat_template)
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    for token in tokenizer["added_tokens"]:
        token["special"] = token["special"] or token["content"] in special
    path.write_text(json.dumps(tokenizer))
    return directory


def random_model(directory: Path, config: Any) -> Path:
    """A model of untrained weights, with the tokenizer of `stonk-tiny`."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    for name in TOKENIZER:
        shutil.copy(tiny.DIRECTORY / name, directory)
    return directory


SHAPE = {
    **{"vocab_size": 878, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024},
    **{"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 398},
}
"""Settings of a config that fit the vocabulary of `stonk-tiny`."""


def fresh_llama(directory: Path) -> Path:
    """A Llama of two million random weights, which never saw the form, with a tokenizer made on the spot."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    digits, letters = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer, made.decoder = pre_tokenizers.Sequence([digits, letters]), decoders.ByteLevel()
    texts = [question.SYSTEM, "Closes, oldest first: . Forecast the next closes. The last move was by day, half of it."]
    special = ["<pad>", "<turn>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")
    turns = TURNS.replace("<|im_start|>", "<turn>").replace("<|im_end|>", "<end>")
    tokenizer.chat_template = turns.replace("OPENING", "").replace("CONTENT", "message['content']")
    config = LlamaConfig(
        **{"vocab_size": len(tokenizer), "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4},
        **{"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 1024},
        **{"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id},
        initializer_range=0.1,  # at the usual 0.02 so narrow a model could not be sure of any token
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
