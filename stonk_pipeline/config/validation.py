"""Validates settings and says in words what is wrong with them."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import shown

MOST_COMPLAINTS = 20
Made = TypeVar("Made", bound=BaseModel)


def validated(kind: type[Made], settings: dict[str, Any], source: str) -> Made:
    """Validates a table of settings as settings of a kind.

    Raises:
        ConfigError: names the source, and each wrong field with its value and what is allowed.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{source}: wrong settings\n" + "\n".join(_complaints(error))) from error


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merges mappings: `over` laid on `base`, nested mappings joined."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _complaints(error: ValidationError) -> list[str]:
    """One line for each wrong setting: its name, what is allowed and what it is; of very many, the first ones."""
    wrong = error.errors()
    lines = [
        f"  {shown('.'.join(map(str, item['loc']))) or 'settings'}: {shown(item['msg'], 300)} "
        f"(got {shown(repr(item['input']), 80)})"
        for item in wrong[:MOST_COMPLAINTS]
    ]
    return lines + ([f"  and {len(wrong) - MOST_COMPLAINTS} more"] if len(wrong) > MOST_COMPLAINTS else [])
