"""Defines the settings of an ingest: where new bars come from, and what is done with them."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Field, model_validator

from stonk_pipeline.config.base import IsoDate, Settings
from stonk_pipeline.files.roots import PathText


class IngestConfig(Settings):
    """Settings of an ingest: where new bars come from, and what is done with them."""

    model_config = ConfigDict(hide_input_in_errors=True)  # an address may hold a password
    source: Literal["folder", "http", "yahoo"] = "folder"
    """`folder`: files that something else puts into `folder`. `http`: the address template in `address`. `yahoo`:
    yfinance (pip install 'stonk_pipeline[yahoo]')."""
    folder: PathText = "incoming"
    """For `folder`: directory with one CSV or Parquet file a stock (`AAPL.csv`). Files are read and left there."""
    address: str = ""
    """For `http`: address of one stock's CSV, such as `https://host/{symbol}.csv?from={after}`. `{after}` is optional:
    the day after which bars are wanted (ISO), `start` for all of them."""
    data_dir: PathText = "bars"
    """Folder that receives the bars, one CSV a stock: what a training reads as `data.data_dir`."""
    forecasts_dir: PathText = "forecasts"
    """Where forecasts and the forward log lie: each ingest records the log's length and head, for `verify`."""
    symbols: list[str] = Field(["all"], min_length=1)
    """Stocks to ask for; `all`: the files of the watched folder, else the stocks that the data folder has."""
    start: IsoDate = "2010-01-01"
    """First day of a new stock's history (ISO)."""
    overlap_days: Annotated[int, Field(ge=5, le=3660)] = 60
    """Calendar days before the last known bar that are asked for again, to see whether history was restated."""
    restated: Literal["accept", "refuse"] = "accept"
    """What to do when bars that are known come differently (split, dividend, correction). `accept`: take the new ones
    and keep the earlier file in `history/`. `refuse`: change nothing and report the stock as failed."""
    rounding: Annotated[float, Field(gt=0, le=0.01)] = 1e-4
    """Largest relative difference between two prices that passes for rounding."""
    adjust: bool = True
    """Scale open, high, low and close by Adj Close / Close where the source has an Adj Close."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """Decimal sign of the source's numbers, as `data.decimal`."""
    dates: Literal["auto", "day_first", "month_first"] = "auto"
    """Order of the source's dates such as 04/01/2021, as `data.dates`."""
    market_days: Literal["auto", "five", "seven", "sunday_to_thursday"] = "auto"
    """Days of a week that the market trades, as `data.market_days`."""
    split_ratio: Annotated[float, Field(gt=1.0)] = 1.8
    """A jump between two closes by more than this factor is taken for an unadjusted split and refused."""
    outlier_factor: Annotated[float, Field(gt=1.0)] = 2.0
    """An open, high or low further than this factor from its bar and the close before is refused, as in a training."""
    repair_outliers: bool = False
    """Pull such a price back to the rest of its bar, and record it, where it would be refused."""
    repair_units: bool = False
    """Give all bars the currency unit of the last one (pence or pounds), and record it, where they would be refused."""
    calendar: Annotated[str, Field(min_length=1, max_length=20)] = "XNYS"
    """Exchange calendar (exchange_calendars: XNYS, XLON, XETR, 24/7): bars of an unfinished session are not taken."""
    close_delay_minutes: Annotated[int, Field(ge=0, le=1440)] = 20
    """Minutes after the close from which a session's bar is taken as final."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """For `http` and `yahoo`: longest time of one attempt."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 4
    """For `http`: attempts at a transient fault (no connection, a time-out, status 408, 425, 429 or 5xx), with a
    growing pause between them; any other fault ends the first."""
    pause_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    """For `http`: pause after the first failed attempt; it doubles each time."""
    max_megabytes: Annotated[float, Field(gt=0, le=1000)] = 50.0
    """For `http`: largest file that is read."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source == "http":
            _check_address(self.address)
            if "{symbol}" not in self.address and self.symbols == ["all"]:
                raise ValueError("address has no {symbol}, so symbols must name the one stock that it gives")
        return self


def _check_address(address: str) -> None:
    """Checks an address without quoting it: a password may be in it, at a place where none belongs."""
    parts, host = _parts(address)
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("address must begin with http:// or https:// and name a host, as https://host/{symbol}.csv")
    if "@" in address.partition("://")[2].removeprefix(parts.netloc):
        raise ValueError(
            "address: an @ stands after the host's name; in a user or a password write / ? # @ as %2F %3F %23 %40, "
            "and in the path or the query write @ as %40"
        )
    unknown = sorted(set(re.findall(r"\{([^}]*)\}", address)) - {"symbol", "after"})
    if unknown:
        raise ValueError(f"address: unknown {{{unknown[0]}}}; {{symbol}} and {{after}} are filled in")
    if "{symbol}" in parts.netloc:
        raise ValueError("address: {symbol} may stand in the path or the query, not in the host's name")


def _parts(address: str) -> tuple[SplitResult, str | None]:
    """An address in its parts, and its host."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # read here, because only then it is looked at
        return parts, parts.hostname
    except ValueError:
        raise ValueError(
            "address: its host or its port cannot be read; a port is a number up to 65535, and in a user or a password "
            "/ ? # @ : [ ] are written as %2F %3F %23 %40 %3A %5B %5D"
        ) from None
