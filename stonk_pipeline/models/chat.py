"""Converts answers between text and tokens, in the same way for sampling, GRPO and fine-tuning.

A chat template may begin the answer itself (DeepSeek-R1's distilled models and QwQ end the prompt with `<think>`), it
may rewrite an assistant's turn (the same ones drop the thinking), and a tokenizer may hold `<think>` as a special
token, which decoders leave out by default. So no turn of an assistant ever goes through a template here: what was
sampled is read with what the prompt began, and what is taught is the prompt, the answer word for word, and the token
that ends a turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stonk_pipeline.errors import ConfigError, StageError
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.models.templates import CONVERSATION
from stonk_pipeline.text.form import TAGS


@dataclass(frozen=True)
class Chat:
    """Converts a model's answers between text and tokens."""

    tokenizer: Any
    ends: tuple[int, ...]
    """Tokens that end an answer."""
    opening: str
    """What the prompt's end already holds of an answer: empty, or from `<think>` on."""
    end: int
    """The token that a taught answer ends with."""

    @classmethod
    def of(cls, tokenizer: Any, ends: Sequence[int]) -> "Chat":
        """Makes the chat of a tokenizer whose template was checked; `ends` are the model's own end tokens."""
        turn = end_of_turn(tokenizer)
        every = tuple(dict.fromkeys((*ends, *(token for token in (turn, tokenizer.eos_token_id) if token is not None))))
        if not every:
            raise ConfigError(
                f"{tokenizer.name_or_path}: nothing ends an answer; give eos_token in tokenizer_config.json"
            )
        return cls(tokenizer, every, _opening(tokenizer), every[0] if turn is None else turn)

    def cut(self, ids: Sequence[int]) -> list[int]:
        """Cuts sampled tokens after the first one that ends an answer; what follows is padding."""
        stop = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        return list(ids[: stop + 1])

    def read(self, ids: Sequence[int]) -> str:
        """Decodes sampled tokens to the whole answer that a contract parses; what follows its end is dropped."""
        body = self.cut(ids)
        body = body[:-1] if body and body[-1] in self.ends else body
        text: str = self.tokenizer.decode(body, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        own = not self.opening or text.lstrip().startswith(TAGS[0])  # some begin anew what the prompt has begun
        return text if own else self.opening + text

    def taught(self, answer: str, sampled: Sequence[int] = ()) -> list[int]:
        """Returns the tokens that training puts after the prompt: the sampled ones, if they spell this answer.

        Args:
            answer: as `read` gave it, or as a person wrote it.
            sampled: its tokens, where it was sampled. A tokenizer would spell some answers with others.

        Raises:
            StageError: see `write`.
        """
        if not sampled or self.read(sampled) != answer:
            return self.write(answer)
        ids = self.cut(sampled)
        return ids if ids[-1] in self.ends else [*ids, self.end]

    def write(self, answer: str) -> list[int]:
        """Encodes an answer word for word as the tokenizer spells it, with the end of its turn.

        Raises:
            StageError: the tokens stand for another text.
        """
        ids = self.tokenizer(answer.removeprefix(self.opening), add_special_tokens=False)["input_ids"]
        ids = [*ids, self.end]
        if self.read(ids).strip() != answer.strip():
            raise StageError(
                f"the model's tokenizer spells the answer {shown(answer)!r} as {shown(self.read(ids))!r}; remove it "
                "from the training data, or write it as the tokenizer does"
            )
        return ids


def end_of_turn(tokenizer: Any) -> int | None:
    """Finds the special token that the chat template puts after an assistant's words, if it puts one."""
    told = tokenizer.apply_chat_template(list(CONVERSATION), tokenize=False)
    _, found, after = told.rpartition(CONVERSATION[-1]["content"])
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
    special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    return ids[0] if ids and ids[0] in special else None


def _opening(tokenizer: Any) -> str:
    asked = tokenizer.apply_chat_template(list(CONVERSATION[:-1]), add_generation_prompt=True, tokenize=False)
    begun = asked.rpartition(CONVERSATION[-2]["content"])[2]
    return begun[begun.rfind(TAGS[0]) :] if TAGS[0] in begun else ""
