"""Tries a model's chat template before it is used, because a template is a program of unknown origin."""

import json
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import ConfigError, PromptError
from stonk_pipeline.files.untrusted import read_json, read_text, shown
from stonk_pipeline.models.template_probe import MEGABYTES, SECONDS

LONGEST_TEMPLATE = 200_000
"""Characters; those of known models have less than 20,000."""
PATIENCE = 60
"""Seconds until an answer is given up; its computing time is limited to less, which a busy machine may not give it."""
COPY = "copy the tokenizer's files of the model there"
REMEDY = "choose another model, or put the template of its base model there"
CONVERSATION = (
    {"role": "system", "content": "You forecast closes."},
    {"role": "user", "content": "closes: 100.00 101.25"},
    {"role": "assistant", "content": "102.50"},
)
FOLDING = (
    "{% if messages | length > 1 and messages[0]['role'] == 'system' and messages[0]['content'] is string "
    "and messages[1]['content'] is string %}"
    "{% set messages = [{'role': messages[1]['role'], 'content': messages[0]['content'] + '\\n\\n' + "
    "messages[1]['content']}] + messages[2:] %}"
    "{% endif %}\n"
)
"""Put before a template that has no place for a system message: its words then begin the user's message."""
PLAIN = (
    "{#- A plain form, for a base model that has no chat template of its own. -#}\n"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Answer:\n{{ message['content'] }}{{ eos_token }}\n"
    "{% else %}{{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)
"""Asks a base model, which has no template: the messages as they are, then `Answer:`, and the model's own end."""
NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@lru_cache
def check_template(template: str, place: str, tokens: tuple[tuple[str, str], ...] = ()) -> str:
    """Renders a short conversation within bounds of time and memory.

    Args:
        template: Jinja text.
        place: model or file, for the message.
        tokens: names and texts of the tokens that a template may name, such as `bos_token`.

    Returns:
        The template, or that with `FOLDING` before it where it refuses a system message or leaves it out.

    Raises:
        PromptError: it does not end, grows without end, reaches for what the sandbox keeps from it, leaves out what is
            asked, or is no template.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise PromptError(f"{place}: its chat template is longer than {LONGEST_TEMPLATE:,} characters; {REMEDY}")
    probe = Path(__file__).with_name("template_probe.py")
    forms = (template, FOLDING + template)
    given = json.dumps({"templates": forms, "messages": CONVERSATION, "tokens": dict(tokens)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(probe)],
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PromptError(
            f"{place}: its chat template gave no answer within {PATIENCE} s; if this machine is busy, try again, and "
            f"otherwise {REMEDY}"
        ) from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise PromptError(f"{place}: its chat template computes for more than {SECONDS} s; {REMEDY}")
    if done.returncode:
        why = done.stdout or f"needs more than {MEGABYTES:,} MB, or ended the process ({done.returncode})"
        raise PromptError(f"{place}: its chat template cannot be used ({shown(why)}); {REMEDY}")
    return forms[int(done.stdout)]


def default_template(said: Any, place: object) -> str | None:
    """Chooses the template for prompts, of one or of several with names; None where there is none.

    Raises:
        PromptError: there are several and none is called `default`, or it is no text.
    """
    if isinstance(said, list):
        said = {each.get("name"): each.get("template") for each in said if isinstance(each, dict)}
    if isinstance(said, dict) and said:
        if "default" not in said:
            names = shown(", ".join(map(str, said)), 80)
            raise PromptError(
                f"{place}: has chat templates with names ({names}), and none is called default; call one so"
            )
        said = said["default"]
    if said and not isinstance(said, str):
        raise PromptError(f"{place}: its chat template is no text; {REMEDY}")
    return said or None


def settle_template(tokenizer: Any) -> None:
    """Tries a tokenizer's chat template and adapts it, if needed, so that it takes a system message.

    One that has none gets `PLAIN`, after what the tokenizer itself puts before a text, such as BOS.

    Raises:
        PromptError: see `default_template` and `check_template`.
    """
    place = str(tokenizer.name_or_path)
    template = default_template(tokenizer.chat_template, place)
    if template is None:
        tokenizer.chat_template = template = _beginning(tokenizer) + PLAIN
    named = tuple((name, str(token)) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str))
    usable = check_template(template, place, named)
    several = isinstance(tokenizer.chat_template, dict)
    tokenizer.chat_template = tokenizer.chat_template | {"default": usable} if several else usable


def _beginning(tokenizer: Any) -> str:
    """What a tokenizer puts before a text by itself, as a part of a template; empty where it puts nothing."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    ids = tokenizer("a")["input_ids"]
    places = (place for place in range(len(ids)) if ids[place : place + len(bare)] == bare)
    text = "".join(tokenizer.convert_ids_to_tokens(ids[: next(places, 0)]))
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""


def check_files(directory: Path) -> str:
    """Tries the chat template in a model's files, or the plain one where they have none.

    Returns:
        It and the tokens that have a name, one after the other.

    Raises:
        ConfigError: it lies where tokenizers do not look for it.
        PromptError: see `check_template`.
    """
    template, place, said = _of_files(directory)
    tokens = {name: "" for name in NAMED if name not in said or said[name] is not None}  # a class may have its own
    tokens |= {name: text for name, token in said.items() if name.endswith("_token") and (text := _text(token))}
    check_template(template or PLAIN, place, tuple(tokens.items()))
    return " ".join((template or PLAIN, *tokens.values()))


def is_plain(directory: Path) -> bool:
    """Tells whether a model's files have no chat template, so that it is asked by the plain one; errors as above."""
    return _of_files(directory)[0] is None


def _of_files(directory: Path) -> tuple[str | None, str, dict[str, Any]]:
    """The template that transformers would choose, or None; where it lies; the tokenizer's settings."""
    path, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    said = read_json(config, PromptError, COPY) if config.is_file() else {}  # with numbers that no setting has
    said = said if isinstance(said, dict) else {}
    given, place = said.get("chat_template"), config
    others = sorted((directory / "additional_chat_templates").glob("*.jinja"))
    if path.is_file() or others:
        files = ([("default", path)] if path.is_file() else []) + [(other.stem, other) for other in others]
        given, place = {name: read_text(file, PromptError, COPY) for name, file in files}, files[0][1]
    template = default_template(given, place)
    unread = directory / "chat_template.json"
    if template is None and unread.is_file():
        raise ConfigError(
            f"{unread}: a chat template of a processor, which tokenizers do not read; write its text to a "
            "chat_template.jinja there"
        )
    return template, str(place), said


def _text(token: Any) -> str:
    said = token.get("content") if isinstance(token, dict) else token
    return said if isinstance(said, str) else ""
