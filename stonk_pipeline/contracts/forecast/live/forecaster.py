"""Chooses the model for a live forecast: the registry's champion, or an adapter or base model that is named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.config.validation import validated
from stonk_pipeline.contracts.forecast.live.request import ForecastRequest
from stonk_pipeline.contracts.forecast.scores.calibrate import Calibration
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import ConfigError, RegistryError
from stonk_pipeline.files.untrusted import reason, shown
from stonk_pipeline.models.adapters import identity, require_adapter
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.store import Registry


@dataclass(frozen=True)
class Forecaster:
    """A model with all that is needed to ask it for a forecast."""

    id: str
    """Of its registry entry, or `adapter:<digest>` or `base:<name>`."""
    config: PipelineConfig
    """Its own settings; `config.data` says which bars are read now."""
    adapter: Path | None
    scales: dict[str, Any]
    """Stock -> scale of the training."""
    calibration: Calibration | None = None
    """Of its intervals, by the comparison of its run; None: its bands are the spread of its answers."""

    @property
    def adapter_digest(self) -> str | None:
        """Computes the digest of what the adapter computes with; None for a base model."""
        return None if self.adapter is None else identity(self.adapter)


def champions_for(request: ForecastRequest) -> list[Forecaster]:
    """Finds the champions that forecast the stocks of a request, each with the stocks that it is asked about.

    A champion of just this stock comes before one that was trained on it among others.

    Raises:
        RegistryError: there is no champion for a stock, or there are several that would do.
    """
    registry = Registry(request.models_dir)
    keys = [key for key in registry.known_keys() if request.key in (None, key)]
    if request.key is not None and not keys:
        raise RegistryError(f"no models of {request.key!r} in {registry.root}; see `models list`")
    known = [champion for key in keys if (champion := registry.champion(key)) is not None]
    if request.stocks == ["all"]:
        chosen = {_only(known, request, "all stocks").id: ["all"]}
    else:
        chosen = {}
        for stock in (name.upper() for name in request.stocks):
            exact = [entry for entry in known if entry.key.endswith(f"/{stock}")]
            fitting = exact or [entry for entry in known if stock in entry.stocks]
            if request.key is not None:
                fitting = known
            chosen.setdefault(_only(fitting, request, stock).id, []).append(stock)
    entries = {entry.id: entry for entry in known}
    return [_of_entry(registry, entries[name], stocks, request) for name, stocks in chosen.items()]


def _only(found: list[Entry], request: ForecastRequest, what: str) -> Entry:
    if len(found) == 1:
        return found[0]
    if found:
        raise RegistryError(
            f"{what}: champions of {', '.join(entry.key for entry in found)} would do; choose with --key"
        )
    raise RegistryError(
        f"{what}: no champion in {request.models_dir}/registry. A finished run registers its model, and it becomes "
        "champion if it beats persistence (`models list`); or name a model with --adapter, or promote one with --force"
    )


def _of_entry(registry: Registry, entry: Entry, stocks: list[str], request: ForecastRequest) -> Forecaster:
    config = validated(PipelineConfig, entry.config, f"entry {entry.id}")
    if stocks == ["all"]:
        stocks = config.data.stocks
    change = {"stocks": stocks} | ({"data_dir": request.data_dir} if request.data_dir else {})
    scales = {stock: about["scale"] for stock, about in entry.data["stocks"].items()}
    calibration = calibration_of(entry, config.data.horizon)
    return Forecaster(entry.id, config.with_data(**change), registry.adapter(entry), scales, calibration)


def calibration_of(entry: Entry, horizon: int) -> Calibration | None:
    """Reads the calibration that was registered with a model; None where there is none.

    Raises:
        RegistryError: it is not one, or is for another horizon.
    """
    content = entry.kept.get("calibration")
    if content is None:
        return None
    remedy = f"register {shown(entry.run)} again"
    try:
        found = Calibration.model_validate(content)
    except ValueError as error:
        raise RegistryError(f"entry {entry.id}: its calibration cannot be read ({reason(error)}); {remedy}") from error
    if any(len(wide) != horizon for wide in found.radii.values()):
        raise RegistryError(f"entry {entry.id}: its calibration is not for {horizon} days ahead; {remedy}")
    return found


def of_adapter(config: PipelineConfig, adapter: Path | None) -> Forecaster:
    """Makes a forecaster of a named adapter or base model, with the settings of a recipe.

    Raises:
        ConfigError: there is no adapter, or the settings need a scale that only a training knows.
    """
    if adapter is None:
        return Forecaster(f"base:{config.model_name}", config, None, {})
    require_adapter(adapter)
    if config.data.normalisation == "standard":
        raise ConfigError("data.normalisation: standard needs the scale of the training; register the model's run")
    return Forecaster(f"adapter:{identity(adapter)[:12]}", config, adapter, {})


def generated(config: PipelineConfig) -> bool:
    """Tells whether the bars come from the generated market, whose days are not those of a real calendar."""
    return config.data.data_dir == EMBEDDED
