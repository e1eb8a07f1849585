"""Sanitises text from outside for prompts: one line, no control characters, no tags or chat-template tokens.

A headline may hold anything: control characters, marks that turn the reading direction, tags of our own form, tokens
of a chat template, "ignore the above". `clean` takes away what could end its line, its fence or its turn; what a
sentence *says* stays, since nothing but the model's own answer is ever parsed. Letters that look like others
(Cyrillic in Latin words) stay too.
"""

import html
import re
import unicodedata

FENCE = '"""'
"""Stands alone on the lines before and after quoted text. No cleaned text holds it, or a line break."""
CUT = "..."

_SPECIAL = re.compile(
    r"<[|/!?][^<>]{0,40}>"  # tokens such as <|im_end|>, and ends of tags
    r"|</?[a-z][\w:.|-]{0,40}(?:\s[^<>=]{0,40}=[^<>]{0,200})?\s?/?>"  # tags: a name, and what has an equals sign
    r"|\[/?(?:INST|SYS|SYSTEM|USER|ASSISTANT|TOOL[A-Z_]*|AVAILABLE_TOOLS)\]"
    r"|\|(?:im_start|im_end|endoftext|eot_id|start_header_id|end_header_id|eom_id|system|user|assistant|end)\|"
    r"|\{[{%#]|[}%#]\}",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\b(system|assistant|user|human|developer|tool|instructions?|answer|think(?:ing)?)\b\s*:", re.IGNORECASE
)
_QUOTES = re.compile(r"[\"'`]{2,}")
_MARKDOWN = re.compile(r"[#*_~=\-]{3,}")
_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5"), " ")
"""Characters that count as letters or symbols and show nothing."""
_READ = 10
"""Times the limit that is read of a text: what is cut off anyway should cost no time."""
_ROUNDS = 8
"""Taking something away can join its neighbours to something new; a text that still changes after this is given up."""


def clean(text: str, limit: int) -> str:
    """Turns any text into one line that is safe to quote in a prompt.

    Args:
        text: anything.
        limit: most characters; longer text is cut at a word and ends in `...`.

    Returns:
        The text in NFKC on one line, without control, invisible and bidirectional characters, tags, angle brackets,
        tokens of chat templates, runs of quotes, or a role before a colon. What stands between two signs of comparison
        (`EPS < 5 and > 3`) stays. May be empty. Cleaning it again changes nothing.
    """
    text = text[: _READ * limit]
    for _ in range(_ROUNDS):
        before, text = text, _once(text)
        if text == before:
            return _cut(text, limit)
    return ""


def is_clean(text: str) -> bool:
    """Checks that a text is safe to quote, as all that `clean` returns is: one visible line, no fence, no tag."""
    return text.isprintable() and FENCE not in text and "<" not in text and ">" not in text


def _once(text: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(text)).translate(_BLANK)
    text = "".join(_visible(text))
    text = _SPECIAL.sub(" ", text)
    text = text.replace("<", " ").replace(">", " ")
    text = _ROLE.sub(r"\1", text)
    text = _QUOTES.sub("'", text)
    text = _MARKDOWN.sub(" ", text)
    return " ".join(text.split())


def _visible(text: str) -> list[str]:
    """Characters that may stay: no controls (also not invisible ones), one accent a letter, any space as a space."""
    kept: list[str] = []
    accents = 0
    for character in text:
        category = unicodedata.category(character)
        accents = accents + 1 if category in ("Mn", "Me") else 0
        if category[0] == "Z" or character in "\t\n\r\v\f\x1c\x1d\x1e\x85":
            kept.append(" ")
        elif category[0] != "C" and accents < 2 and not "\ufe00" <= character <= "\ufe0f":
            kept.append(character)
    return kept


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = text[: limit - len(CUT)]
    words = head.rsplit(" ", 1)[0].rstrip(" .") if " " in head else head.rstrip(" .")
    # A cut can end where something began that is only harmless as a whole.
    return clean(words + CUT, limit)


def fence(lines: list[str]) -> str:
    """Puts cleaned lines between two fences, each behind a dash."""
    return "\n".join([FENCE, *(f"- {line}" for line in lines), FENCE])
