"""Breaks up control tokens in quoted text, so that text from outside cannot act as part of the chat template.

Every family of models has control tokens of its own (`<|im_start|>`, `[INST]`, `<start_of_turn>`, `[gMASK]`), and a
tokenizer takes their spelling for the token wherever it stands. So the tokenizer is asked, and no list of names: what
it encodes as one of its special or added tokens gets a space after its first character.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from stonk_pipeline.text.form import Messages

BATCH = 1000
"""Texts that are encoded at once."""
_MARKUP = re.compile(r"[<>{}|\\]|\[.*\]|##", re.DOTALL)
"""What control tokens have and words do not. The models of the package have whole phrases as added tokens."""
_BYTE = re.compile(r"<0x[0-9a-f]{2}>")
"""A byte of a character that the vocabulary lacks."""
_RARE = "\u2603 \U00010380 \ua66c \ufffd"
"""Characters that few vocabularies have: what they become is how a tokenizer says that it does not know something."""


class Control(NamedTuple):
    """The token ids that quoted text must not produce."""

    always: frozenset[int]
    spelled: dict[int, str]
    """Those that harmless text can become too, such as the token of unknown characters: id -> how it is spelled, as
    `_plain` has it. They count where a text spells them."""

    def within(self, ids: Sequence[int], text: str) -> set[int]:
        """Lists the forbidden ids among those of a text."""
        found = set(ids)
        doubtful = found & self.spelled.keys()
        plain = _plain(text) if doubtful else ""
        return (found & self.always) | {number for number in doubtful if self.spelled[number] in plain}


def guarded(tokenizer: Any, conversations: Sequence[Messages]) -> list[Messages]:
    """Removes a tokenizer's control tokens from the user messages of conversations.

    System messages and answers are left as they are: they are the project's and the model's own, and hold `<think>`,
    which is a token in some vocabularies.

    Args:
        tokenizer: of the model that is asked.
        conversations: messages of each prompt.

    Returns:
        The same; in a user message each control token has a space after its first character, or is left out where the
        tokenizer sees through that. Guarding again changes nothing.
    """
    control = control_tokens(tokenizer)
    texts = list(dict.fromkeys(each["content"] for talk in conversations for each in talk if each["role"] == "user"))
    safe: dict[str, str] = {}
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        safe |= zip(batch, _broken_up(tokenizer, control, batch), strict=True)
    return [
        [each | {"content": safe[each["content"]]} if each["role"] == "user" else each for each in talk]
        for talk in conversations
    ]


def control_tokens(tokenizer: Any) -> Control:
    """Lists the control tokens of a vocabulary: special tokens, and added tokens with markup in their spelling.

    Blanks are text, and so are added tokens that are words or numbers.
    """
    added = {number: (str(token), token.special) for number, token in tokenizer.added_tokens_decoder.items()}
    named = [number for number in tokenizer.all_special_ids if number is not None]
    special = {number: (tokenizer.convert_ids_to_tokens(number), True) for number in named}
    of_any = {tokenizer.unk_token_id, *chain(*_encode(tokenizer, [_RARE, ""]))}
    always, spelled = set(), {}
    for number, (text, is_special) in (added | special).items():
        plain = _plain(text).strip()
        if not plain or not (is_special or (len(plain) > 1 and _MARKUP.search(plain))):
            continue
        if number in of_any or _BYTE.fullmatch(plain):
            spelled[number] = plain
        else:
            always.add(number)
    return Control(frozenset(always), spelled)


def _broken_up(tokenizer: Any, control: Control, texts: list[str]) -> list[str]:
    found = [control.within(ids, text) for ids, text in zip(_encode(tokenizer, texts), texts, strict=True)]
    rows = [row for row, numbers in enumerate(found) if numbers]
    out = list(texts)
    for row in rows:
        text = _spaced(tokenizer, control, texts[row]) if tokenizer.is_fast else texts[row]
        out[row] = _without(tokenizer, control, text)
    return out


def _spaced(tokenizer: Any, control: Control, text: str) -> str:
    """The text with a space in each control token, where the tokenizer says that they stand."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = []
    for number, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if text[start:end].strip() and control.within([number], text[start:end]):
            places.append(end - len(text[start:end].lstrip()) + 1)  # a token may take the blanks before it
    for place in sorted(set(places), reverse=True):
        text = f"{text[:place]} {text[place:]}"
    return text


def _without(tokenizer: Any, control: Control, text: str) -> str:
    """The text without the control tokens in it, by its ids alone: slow tokenizers do not say where a token stands."""

    def held(part: str) -> bool:
        return bool(control.within(_encode(tokenizer, [part])[0], part))

    tries = len(text)
    while held(text):
        start, end = _smallest(held, text)
        piece = text[start:end]
        spaced = f"{piece[0]} {piece[1:]}"
        tries -= 1
        keep = tries > 0 and len(piece) > 1 and not held(spaced)
        text = text[:start] + (spaced if keep else "") + text[end:]
    return text


def _smallest(held: Callable[[str], bool], text: str) -> tuple[int, int]:
    """Where a piece that holds a control token begins and ends, so that it holds none without its first or last."""
    low, end = 0, len(text)
    while end - low > 1:
        middle = (low + end) // 2
        low, end = (low, middle) if held(text[:middle]) else (middle, end)
    start, high = 0, end
    while high - start > 1:
        middle = (start + high) // 2
        start, high = (middle, high) if held(text[middle:end]) else (start, middle)
    return start, end


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
    )["input_ids"]
    return ids


def _plain(text: str) -> str:
    """A spelling as every normaliser leaves it: compatible forms, case and accents are one."""
    apart = unicodedata.normalize("NFKD", text.replace("\u2581", " ")).casefold()
    return "".join(character for character in apart if unicodedata.category(character)[0] not in "CM")
