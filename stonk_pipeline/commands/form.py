"""Asks for a run's settings in a short form: a recipe, the settings that change most often, and all others by wish.

Prefect draws the form of a run from `RunForm[SETTINGS]`, whatever contract the settings are of. What is left empty is
as the recipe has it.
"""

import json
from collections.abc import Mapping
from functools import cache
from inspect import isclass
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

from stonk_pipeline.commands.options import nested, one_setting
from stonk_pipeline.config.base import PositiveInt, Seed, Settings
from stonk_pipeline.config.data import DataConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.config.validation import merge, validated
from stonk_pipeline.contract import Contract
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.recipes import load_config, make_config, recipe_files
from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.roots import PathOrName
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.files.yaml import parse_yaml

Config = TypeVar("Config", bound=RunConfig)
SHORT = {
    "stocks": "data.stocks",
    "data_dir": "data.data_dir",
    "model": "model.name",
    "folds": "data.folds",
    "seed": "seed",
    "promotion": "promotion",
}
"""Field of the short form -> the setting that it changes."""
OF_THE_RUN = {"contract", "recipe", "run_dir"}
"""Settings that no form asks for: which flow runs, and where it goes on, decide them."""
LEFT_OUT: tuple[tuple[type[Settings], set[str]], ...] = (
    (RunConfig, OF_THE_RUN | {"seed", "promotion"}),
    (DataConfig, {"data_dir", "stocks", "folds", "fold"}),
    (ModelConfig, {"name"}),
)
"""Settings that the part for all others does not ask for either, because the short form does."""
OPEN = "Change"
"""Word on the button that opens a part of the form; the one beside it is Prefect's, for a part that stays empty."""
offered: list[str] = []
"""Recipes in files of somebody's own, which are choices beside the shipped ones."""


def recipes_of(contract: Contract) -> list[str]:
    """Lists the recipes that a form offers: those of its contract, the usual one first, then those in `offered`."""
    shipped = [name for name, path in recipe_files().items() if path.parent == contract.recipes]
    return shipped + [name for name in offered if isinstance(load_config(name), contract.settings)]


class Advanced(Generic[Config]):
    """Any of a contract's settings; pydantic makes of it a table in which none has to be given."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checks each setting as the contract does; whether they fit together is for the whole to say."""
        (settings,) = get_args(source)
        known = isclass(settings) and issubclass(settings, RunConfig)  # else a variable: the form is of no contract yet
        return handler(_optional(settings if known else RunConfig))


def _blank(schema: dict[str, Any]) -> None:
    """Draws a field that is empty at first: Prefect's UI sends a default as if a person had given it."""
    schema.pop("default", None)
    if schema.get("type") == "boolean":
        schema.update(type="string", enum=["true", "false"])  # the UI sends a switch that nobody touched as false


@cache
def _optional(kind: type[BaseModel]) -> type[BaseModel]:
    left_out = {name for owner, names in LEFT_OUT if issubclass(kind, owner) for name in names}
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        part: Any = field.annotation
        if name in left_out:
            continue
        if isclass(part) and issubclass(part, BaseModel):
            part = Annotated[_optional(part) | None, BeforeValidator(lambda value: {} if value is None else value)]
            fields[name] = (part, Field(None, description=field.description))
        else:
            part = Annotated[(part, *field.metadata)] if field.metadata else part
            fields[name] = (part, Field(None, description=field.description, json_schema_extra=_blank))
    title = {"title": OPEN}
    return create_model(kind.__name__, __base__=Settings, __doc__=kind.__doc__, __cls_kwargs__=title, **fields)


class RunForm(Settings, Generic[Config]):
    """Settings of a run: a recipe, and what differs from it."""

    recipe: PathOrName = ""
    """Settings to start from. What is left empty below is as the recipe has it; the run's first artifact lists all."""
    stocks: list[str] | SkipJsonSchema[None] = Field(None, json_schema_extra=_blank)
    """Symbols to train on; `all` takes every file of the folder."""
    data_dir: PathOrName | SkipJsonSchema[None] = Field(None, title="Data folder", json_schema_extra=_blank)
    """Folder with one CSV or Parquet file a stock (`AAPL.csv`); `embedded`: the generated market."""
    model: PathOrName | SkipJsonSchema[None] = Field(None, json_schema_extra=_blank)
    """Base model: `stonk-tiny`, `smollm2`, a local directory, or a Hugging Face name."""
    folds: PositiveInt | SkipJsonSchema[None] = Field(None, json_schema_extra=_blank)
    """Walk-forward: cut the test part into so many pieces, and train anew before each on all that came before."""
    seed: Seed | SkipJsonSchema[None] = Field(None, json_schema_extra=_blank)
    """Seed of everything that is drawn at random, the generated bars excepted."""
    promotion: Literal["off", "auto", "ask"] | SkipJsonSchema[None] = Field(None, json_schema_extra=_blank)
    """What becomes of the last model. `auto`: it takes the champion's place if the rule allows. `ask`: then a person
    decides here, on the run's page. `off`: it is not registered."""
    overrides: str = Field("", json_schema_extra=_blank)
    """Any other settings, one `KEY=VALUE` a line, as `lora.rank=8`; the names are those of the run's first artifact."""
    advanced: Advanced[Config] | None = None
    """All other settings, field by field."""
    _settings: RunConfig = PrivateAttr()

    @property
    def settings(self) -> Config:
        """Returns the settings of the run."""
        return cast(Config, self._settings)

    @property
    def stock_name(self) -> str:
        """Names the stocks, for the name of the flow run."""
        return self._settings.stock_name

    @classmethod
    def contract(cls) -> Contract:
        """Returns the contract whose settings the form asks for."""
        settings = cls.__pydantic_generic_metadata__["args"]
        return next(contract for contract in CONTRACTS if contract.settings in settings)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Draws the form: its choice of recipes is that of the contract."""
        made = handler(core)
        form, contract = handler.resolve_ref_schema(made), cls.contract()
        recipes = recipes_of(contract)
        form["properties"]["recipe"] |= {"enum": recipes, "default": recipes[0]}
        if contract.pooled is None:
            form["properties"].pop("folds")
        return made

    @model_validator(mode="wrap")
    @classmethod
    def _resolve(cls, data: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        """Finds the settings at once, so that a form that contradicts itself is refused before anything is begun.

        Settings as a whole pass as well: those of a command line, and those with which a run began before there was a
        short form, so that it can be retried.
        """
        contract = cls.contract()
        try:
            whole = data if isinstance(data, RunConfig) else None
            if isinstance(data, dict) and "contract" in data:
                whole = make_config(data, source="settings of a run")
            form = cast(RunForm[Config], handler(data if whole is None else {}))
            form._settings = form._laid_on_recipe() if whole is None else whole
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if not isinstance(form._settings, contract.settings):
            raise ValueError(f"the settings are not of the contract {contract.name}; start the flow of theirs")
        return cast(Self, form)

    def _laid_on_recipe(self) -> RunConfig:
        advanced = cast(BaseModel | None, self.advanced)
        over = advanced.model_dump(mode="json", exclude_unset=True) if advanced else {}
        for field, key in SHORT.items():
            if (value := getattr(self, field)) is not None:
                over = merge(over, nested(key, value))
        for line in filter(str.strip, self.overrides.splitlines()):
            over = merge(over, one_setting(line.strip(), f"overrides: {shown(line.strip())}"))
        if "name" in (over.get("model") or {}):  # what a recipe says of its own model does not hold for another
            over = merge(nested("model", {"knowledge_cutoff": None, "revision": None}), over)
        begin = load_config(self.recipe or recipes_of(self.contract())[0])
        return make_config(merge(begin.model_dump(mode="json"), over), source="form")

    @classmethod
    def filled(cls, settings: RunConfig, recipe: str | None = None) -> dict[str, Any]:
        """Fills the form with settings: a recipe, by default the nearest one, and in what they differ from it.

        Args:
            settings: of the form's contract.
            recipe: to begin with.

        Returns:
            Field -> value, of those that are not empty.

        Raises:
            ConfigError: the recipe is of another contract, or lies outside of the folders that are served.
        """
        recipes = [recipe] if recipe else recipes_of(cls.contract())
        nearest = min(recipes, key=lambda name: len(_differences(settings, load_config(name))))
        differences = _differences(settings, load_config(nearest))
        form = {"recipe": nearest} | {field: differences[key] for field, key in SHORT.items() if key in differences}
        rest = _differences(settings, validated(cls, form, "form").settings)
        return form | ({"overrides": with_lines("", rest)} if rest else {})


def with_lines(overrides: str, settings: Mapping[str, Any]) -> str:
    """Writes settings into the text of `overrides`, in the place of what it said of them.

    >>> print(with_lines("seed=1", {"seed": 2, "data.val_start": "2024-01-31", "records": None}))
    seed=2
    data.val_start="2024-01-31"
    records=null
    """
    kept = [line for line in overrides.splitlines() if line.partition("=")[0].strip() not in settings]
    return "\n".join([*kept, *(f"{key}={in_yaml(value)}" for key, value in settings.items())])


def in_yaml(value: Any) -> str:
    """Writes a value in YAML on one line: a text as it is, where it reads as one."""
    try:
        plain = isinstance(value, str) and value.isprintable() and parse_yaml(value, "") == value
    except ConfigError:
        plain = False
    return str(value) if plain else json.dumps(value)


def _differences(settings: RunConfig, others: RunConfig) -> dict[str, Any]:
    """Dotted names of settings and their values, where others have other ones."""
    from stonk_pipeline.report.frame import flat  # brings pandas

    known = dict(flat(others.model_dump(mode="json")))
    mine = flat(settings.model_dump(mode="json", exclude=OF_THE_RUN))
    return {key: value for key, value in mine if key not in known or known[key] != value}
