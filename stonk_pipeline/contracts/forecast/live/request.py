"""Defines the settings of a live forecast: which stocks, by which model."""

from typing import Annotated

from pydantic import Field

from stonk_pipeline.config.base import Seed, Settings
from stonk_pipeline.files.roots import PathOrName, PathText

KEY = r"^[^/\\*?\[\].-][^/\\*?\[\]]*/[^/\\*?\[\].-][^/\\*?\[\]]*$"
"""A model and a stock: two plain names of folders."""
STOCK = r"^[A-Za-z0-9^][A-Za-z0-9.=^&_-]*$"
"""Signs of a symbol; an option of a command line, which begins with a dash, is none."""


class ForecastRequest(Settings):
    """Settings of a forecast; the form in the UI is drawn from it."""

    stocks: list[Annotated[str, Field(pattern=STOCK)]] = Field(default=["all"], min_length=1)
    """Symbols to forecast; `all`: every stock that the champion was trained on."""
    data_dir: PathOrName | None = None
    """Folder of bars; not given: the one that the model was trained on."""
    models_dir: PathText = "models"
    """Where the registry with the champions lies."""
    key: Annotated[str, Field(pattern=KEY)] | None = None
    """`{MODEL}/{STOCK}` of the champion to ask, where several champions know a stock."""
    calendar: str | None = None
    """Exchange calendar of `exchange_calendars` (ISO 10383 code). Not given: XNYS, or 24/7 for bars of all
    days of the week; the generated market has every weekday."""
    samples: Annotated[int, Field(ge=2, le=1000)] = 64
    """Answers that the quantiles are taken from."""
    forecasts_dir: PathText = "forecasts"
    """Where forecasts and the forward log lie."""
    seed: Seed = 0
    """Of the answers."""

    def arguments(self) -> list[str]:
        """Returns the settings as options of the `forecast` command, one word each: values may begin with --."""
        given: dict[str, object] = {
            "--stock": ",".join(self.stocks),
            "--data-dir": self.data_dir,
            "--models-dir": self.models_dir,
            "--key": self.key,
            "--calendar": self.calendar,
            "--samples": self.samples,
            "--forecasts-dir": self.forecasts_dir,
            "--seed": self.seed,
        }
        return [f"{name}={value}" for name, value in given.items() if value is not None]
