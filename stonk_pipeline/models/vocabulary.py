"""Checks that every token of a tokenizer has an embedding in the model."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.model_settings import of_text
from stonk_pipeline.files.untrusted import MEGABYTE, read_bytes, reason, shown
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.generation import end_tokens
from stonk_pipeline.text.form import TAGS

LARGEST = 200 * MEGABYTE
"""Bytes of a tokenizer.json; those of Gemma have 33 MB, which take half a second."""
REMEDY = "copy the tokenizer's files of this very model there"


class Added(NamedTuple):
    """A token that was added to the vocabulary."""

    number: int
    text: str
    special: bool
    """Whether no text becomes it, since control tokens in questions are broken up."""


def check_vocabulary(directory: Path, config: dict[str, Any], used: str) -> None:
    """Compares tokenizer.json with `vocab_size`; other forms of tokenizer are looked at when they are loaded.

    Args:
        directory: of the model.
        config: its settings.
        used: chat template and named tokens, one after the other.

    Raises:
        ConfigError: the tokenizer has a token without an embedding.
    """
    path, rows = directory / "tokenizer.json", of_text(config).get("vocab_size")
    if type(rows) is not int or not path.is_file():
        return
    try:
        said = json.loads(read_bytes(path, ConfigError, REMEDY, LARGEST))
        vocabulary = said["model"].get("vocab") or ()
        largest = max(vocabulary.values(), default=-1) if isinstance(vocabulary, dict) else len(vocabulary) - 1
        added = [Added(int(each["id"]), str(each["content"]), bool(each["special"])) for each in said["added_tokens"]]
        _require(path, rows, largest, added, used)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: no tokenizer ({reason(error)}); {REMEDY}") from error


def require_embeddings(location: str, network: Any, tokenizer: Any) -> None:
    """Checks a loaded model's embeddings, and that its answers have an end token.

    Raises:
        ConfigError: the tokenizer has a token without an embedding.
    """
    rows = network.get_input_embeddings().weight.shape[0]
    decoder = tokenizer.added_tokens_decoder
    largest = max((number for number in tokenizer.get_vocab().values() if number not in decoder), default=-1)
    added = [Added(number, str(token), token.special) for number, token in decoder.items()]
    used = f"{tokenizer.chat_template} {' '.join(map(str, tokenizer.special_tokens_map.values()))}"
    end = Chat.of(tokenizer, end_tokens(network.generation_config)).end
    _require(Path(location), rows, max(largest, end), added, used)


def _require(place: Path, rows: int, largest: int, added: Iterable[Added], used: str) -> None:
    """Special tokens that nothing names may lie beyond: Gemma 3's for images does, in its models of text alone."""
    needed = {token.number: token.text for token in added if _needed(token, used)}
    last = max(largest, *needed, -1)
    if last >= rows:
        text = f" ({shown(needed[last], 40)})" if last in needed else ""
        raise ConfigError(
            f"{place}: has a token {last:,}{text}, and the model has embeddings of {rows:,} (vocab_size), for 0 to "
            f"{rows - 1:,}; {REMEDY}"
        )


def _needed(token: Added, used: str) -> bool:
    return not token.special or token.text in used or token.text in TAGS
