"""Validates settings and says in words what is wrong with them."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.spelling import did_you_mean
from stonk_pipeline.files.untrusted import shown

MOST_COMPLAINTS = 20
Made = TypeVar("Made", bound=BaseModel)
Kinds = Mapping[str, type[BaseModel]]
"""Name of a contract -> its settings."""
NONE: Kinds = MappingProxyType({})


def validated(kind: type[Made], settings: dict[str, Any], source: str, others: Kinds = NONE) -> Made:
    """Validates a table of settings as settings of a kind.

    Args:
        kind: the settings.
        settings: name -> value, nested.
        source: file or options, for the message.
        others: other kinds, which may have a setting that this one does not know.

    Raises:
        ConfigError: names the source, and each wrong field with its value and what is allowed, or a name that is
            spelt like an unknown one.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{source}: wrong settings\n" + "\n".join(_complaints(error, kind, others))) from error


def dotted_names(kind: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yields the dotted names of all settings and of their sections: `sft`, `sft.epochs`, ..."""
    for name, field in kind.model_fields.items():
        yield f"{above}{name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from dotted_names(inner, f"{above}{name}.")


SHORT = {"warmup": "when"}
"""Section -> the setting of it that a text in its place stands for, as in `warmup: always`."""


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merges mappings: `over` laid on `base`, nested mappings joined.

    >>> merge({"warmup": {"examples": 90}}, {"warmup": "always"})
    {'warmup': {'examples': 90, 'when': 'always'}}
    """
    out = dict(base)
    for key, value in over.items():
        old, new = _section(key, out.get(key)), _section(key, value)
        out[key] = merge(old, new) if isinstance(old, dict) and isinstance(new, dict) else value
    return out


def _section(key: str, value: Any) -> Any:
    return {SHORT[key]: value} if key in SHORT and isinstance(value, str) else value


def _complaints(error: ValidationError, kind: type[BaseModel], others: Kinds) -> list[str]:
    """One line for each wrong setting: its name, what is allowed and what it is; of very many, the first ones."""
    wrong = error.errors()
    lines = []
    for item in wrong[:MOST_COMPLAINTS]:
        name = ".".join(map(str, item["loc"]))
        allowed = shown(_allowed(name, item, kind, others), 300)
        lines.append(f"  {shown(name) or 'settings'}: {allowed} (got {shown(repr(item['input']), 80)})")
    return lines + ([f"  and {len(wrong) - MOST_COMPLAINTS} more"] if len(wrong) > MOST_COMPLAINTS else [])


def _allowed(name: str, item: Any, kind: type[BaseModel], others: Kinds) -> str:
    """What a setting may be, and what was meant where it is spelt wrongly."""
    said = str(item["msg"])
    near = ""
    if item["type"] == "extra_forbidden":
        said = "no such setting"
        theirs = [contract for contract, other in others.items() if name in dotted_names(other)]
        if theirs:
            return f"a setting of the contract {theirs[0]} alone"
        near = did_you_mean(name, dotted_names(kind), dotted=True)
    elif item["type"] == "literal_error" and isinstance(item["input"], str):
        near = did_you_mean(item["input"], re.findall("'(.*?)'", str(item["ctx"]["expected"])), "'{}'")
    return f"{said}; {near}" if near else said
