"""Says before and after a step what stands in the way of a run: too little memory, or answers that are cut off."""

from contextlib import suppress

from stonk_pipeline.estimates.fit import require_room
from stonk_pipeline.estimates.survey import warnings_of
from stonk_pipeline.models.locations import base_directory, base_location, local_model
from stonk_pipeline.pipeline import room
from stonk_pipeline.pipeline.run import Run


def before(run: Run, step: str) -> list[str]:
    """Checks that a run can fit before a step loads its model, which is fetched for that.

    Returns:
        What to warn of; see `fit.require_room`.

    Raises:
        CapacityError: it cannot fit.
        ConfigError: there is no such model, or its files are damaged.
        DownloadError: it is not on this machine, and the hub cannot be asked.
    """
    if not run.loads_model(step) or run.finished(step) is not None:
        return []
    base_location(run.config.model)
    return require_room(run.config, run.contract)


def after(run: Run, step: str) -> list[str]:
    """Lists what to warn of once a run has made its data, and nothing after other steps.

    Settings that cut answers off, and steps that will probably not fit into this machine.
    """
    steps = list(run.graph)
    first = next((place for place, name in enumerate(steps) if run.loads_model(name)), 0)
    once = run.config.data.fold in (None, 1)  # the folds of a walk-forward differ in their dates
    if not once or first == 0 or step != steps[first - 1]:
        return []
    with suppress(ImportError):  # where only data are made, and nothing that asks a model is installed
        short = room.warnings(run) if local_model(run.config.model) is not None else []
        return short + (warnings_of(run) if (base_directory(run.config.model) / "config.json").is_file() else [])
    return []
