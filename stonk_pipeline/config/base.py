"""Defines the base class of all settings."""

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy's and torch's generators take."""


def _iso(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:  # it takes weeks and dates without hyphens as well
            return text
    except ValueError:
        pass
    raise ValueError("not a date; write it as 2024-01-31")


IsoDate = Annotated[
    str, BeforeValidator(lambda day: day.isoformat() if isinstance(day, date) else day), AfterValidator(_iso)
]
"""A date as text, which compares as dates do; YAML makes a date of what is not quoted."""


def _with_fine_numbers_as_text(schema: dict[str, Any]) -> None:
    """Lets the UI take text for a number whose default is finer than 0.01, and fills in none.

    Number fields of Prefect 3.7 take multiples of 0.01 alone: a form that was filled with 0.0001 could not be saved.
    """
    for field in schema.get("properties", {}).values():
        default = field.get("default")
        if field.get("type") == "number" and isinstance(default, float) and round(default, 2) != default:
            kept = {"title", "description"}
            number = {name: field.pop(name) for name in [*field] if name not in kept | {"default"}}
            field["anyOf"] = [{"type": "string", "pattern": "^[0-9.eE+-]+$"}, number]
            field["description"] = f"{field['description']} Where it is left empty: {field.pop('default')}"


class Settings(BaseModel):
    """Base class: unknown names are refused, and the text under a field is its description (and its help in the UI)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,  # JSON has neither: a run could not read its own settings back
        json_schema_extra=_with_fine_numbers_as_text,
    )
