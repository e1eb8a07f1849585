"""Makes the deployments that `serve` serves, and keeps of them what was edited in the UI."""

import inspect
import sys
from collections.abc import Mapping
from typing import Any, cast

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from stonk_pipeline.commands import form
from stonk_pipeline.commands.form import RunForm
from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts import contract_of
from stonk_pipeline.contracts.recipes import load_config, make_config, recipe_files
from stonk_pipeline.errors import ConfigError

PLACES = ("results_dir", "models_dir", "forecasts_dir")
"""Settings that say where things lie, which hold for every deployment."""


class Wanted:
    """What the options of `serve` ask of all deployments."""

    def __init__(self, config: RunConfig, recipe: str | None, changes: Mapping[str, Any]) -> None:
        """Notes it.

        Args:
            config: settings of a run, as the options have them.
            recipe: that was named, if one was; a file is a choice in the form from now on.
            changes: settings that the options change, nested.
        """
        self.config, self.recipe = config, recipe
        self.places = {name: changes[name] for name in PLACES if name in changes}
        self.anything = recipe is not None or bool(changes)
        if recipe is not None and recipe not in recipe_files():
            form.offered.append(recipe)

    def parameters(self, flow: Flow[..., Any], there: Mapping[str, Any] | None) -> dict[str, Any]:
        """Fills the form of a flow's one parameter.

        Args:
            flow: a run's or an operation's.
            there: what its deployment has, if there is one: it stays, but for a run's own form where options are given
                for its contract, and for the places.
        """
        ((name, parameter),) = inspect.signature(flow.fn).parameters.items()
        kind: type[Settings] = parameter.annotation
        filled: dict[str, Any] | None = (there or {}).get(name)
        if issubclass(kind, RunForm):
            contract = kind.contract()
            if self.anything and contract is contract_of(self.config):
                return {name: kind.filled(self.config, self.recipe)}
            filled = _kept(kind, filled) or {"recipe": form.recipes_of(contract)[0]}
        return {name: placed} if (placed := self._placed(kind, filled or {})) else {}

    def _placed(self, kind: type[Settings], filled: dict[str, Any]) -> dict[str, Any]:
        """Puts the places that the options name into a filled form."""
        own = {name: value for name, value in self.places.items() if name in kind.model_fields}
        others = {name: value for name, value in self.places.items() if name not in own}
        overrides = filled.get("overrides")
        if others and issubclass(kind, RunForm):
            own["overrides"] = form.with_lines(overrides or "", others)
        elif others and "overrides" in kind.model_fields:
            own["overrides"] = (overrides or {}) | others
        return filled | own


def _kept(kind: type[RunForm[Any]], filled: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a form has that was filled before; None if that is of no use any more."""
    if filled is None:
        return None
    try:
        if "contract" in filled:  # all settings, as there were before there was a short form
            return kind.filled(make_config(filled, source="the deployment"))
        contract, recipe = kind.contract(), filled.get("recipe")
        if recipe and recipe not in form.recipes_of(contract):  # a file that an earlier `serve` was given
            if not isinstance(load_config(recipe), contract.settings):
                raise ConfigError(f"recipe: {recipe}: not of the contract {contract.name}")
            form.offered.append(recipe)
        return filled
    except (ConfigError, ValueError) as error:
        sys.stdout.write(f"{kind.contract().name}: the form is filled anew; what it had cannot be used: {error}\n")
        return None


def deployment(
    flow: Flow[..., Any], name: str, wanted: Wanted, *, cron: str | None = None, one_at_a_time: bool = False
) -> RunnerDeployment:
    """Builds the deployment of a flow as the server is to have it.

    One that exists keeps its schedules, its switch, its tags and its parameters, whatever they were changed to in the
    UI; parameters that the options name replace them.

    Args:
        flow: that it runs.
        name: of the deployment.
        wanted: what the options ask.
        cron: schedule that a new one gets, switched off, in New York's time.
        one_at_a_time: whether a second run is cancelled while one is under way.
    """
    there = _there(f"{flow.name}/{name}")
    parameters = wanted.parameters(flow, there.parameters if there else None)
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    made = cast(
        RunnerDeployment,
        flow.to_deployment(
            name,
            tags=there.tags if there else ["stonk"],
            parameters=parameters,
            enforce_parameter_schema=True,
            concurrency_limit=limit if one_at_a_time else None,
            entrypoint_type=EntrypointType.MODULE_PATH,
        ),
    )
    for parameter in made._parameter_openapi_schema.properties.values():
        parameter.pop("default", None)  # each of its fields has its own, where the UI may fill one in
    if there:
        made.paused = there.paused
        made.model_fields_set.discard("schedules")  # what is sent replaces those that are there, an empty list too
    elif cron:
        schedule = CronSchedule(cron=cron, timezone="America/New_York")
        made.schedules = [DeploymentScheduleCreate(schedule=schedule, active=False)]
    return made


def _there(name: str) -> DeploymentResponse | None:
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(name)
        except ObjectNotFound:
            return None
