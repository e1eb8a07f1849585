"""Defines the settings of the bars, the windows and the prompt."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stonk_pipeline.config.base import IsoDate, PositiveInt, Seed, Settings
from stonk_pipeline.files.roots import PathOrName

EMBEDDED = "embedded"
"""Value of `DataConfig.data_dir` that stands for the generated market."""


LONGEST = 10_000
"""Bars that a look-back may have: forty years of sessions."""
MOST_GENERATED = 10_000_000
"""Bars that the generated market may have in all: 600 MB while they are made."""
Period = Annotated[int, Field(ge=1, le=LONGEST)]
SHAPE = ("window", "normalisation", "periods", "warm_up", "volatility_window", "adjust")
"""Settings of the data that decide what a window holds."""


class MarketConfig(Settings):
    """Settings of the generated market with a known answer (`stonk_pipeline.market.bars`)."""

    kind: Literal["predictable", "random_walk"] = "predictable"
    """`predictable`: momentum and reversion under changing volatility. `random_walk`: its twin without either."""
    tickers: Annotated[int, Field(ge=1, le=10_000)] = 12
    """How many tickers to generate; with `days` at most 10 million bars."""
    days: Annotated[int, Field(ge=300, le=50_000)] = 1500
    """Trading days a ticker."""
    daily_sd: Annotated[float, Field(gt=0, le=0.1)] = 0.012
    """Long-run standard deviation of a day's shock; 0.012 is about 19 % a year, as a large company's share has."""
    seed: Seed = 7
    """Seed of the generator; the pipeline's own seed does not change the bars."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tickers * self.days > MOST_GENERATED:
            raise ValueError(
                f"{self.tickers:,} tickers of {self.days:,} days are more than {MOST_GENERATED:,} bars; lower either"
            )
        return self


class IndicatorPeriods(Settings):
    """Look-back periods, in bars."""

    sma: Period = 20
    """Simple moving average."""
    ema: Period = 50
    """Exponential moving average."""
    mom: Period = 10
    """Momentum: close minus the close so many bars before."""
    stoch: Period = 14
    """Stochastic oscillator."""
    stoch_smooth: Period = 3
    """Smoothing of the stochastic oscillator's second line."""
    rsi: Period = 14
    """Relative strength index."""
    macd_fast: Period = 12
    """Fast average of the MACD; below the slow one."""
    macd_slow: Period = 26
    """Slow average of the MACD."""
    willr: Period = 14
    """Williams %R."""
    cci: Period = 20
    """Commodity channel index."""
    adx: Period = 14
    """Average directional index."""
    bbands: Period = 20
    """Bollinger bands."""
    bbands_width: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Half-width of the Bollinger bands in standard deviations."""


class DataConfig(Settings):
    """Settings of the bars that are read and of the windows that are cut from them."""

    data_dir: PathOrName = EMBEDDED
    """Folder with one CSV or Parquet file a stock (`AAPL.csv`), or one such file; `embedded`: the generated market."""
    stocks: list[str] = Field(["all"], min_length=1)
    """Symbols to use; `all` takes every file of the folder."""
    market: MarketConfig = MarketConfig()
    """The generated market; used where `data_dir` is `embedded`."""
    shuffle_targets: bool = False
    """Train against the outcomes of other windows, for controls; validation and test keep their own."""
    stale_windows: Annotated[int, Field(ge=0)] = 0
    """Show the indicators and statistics of so many windows earlier, for controls: the form stays, what they tell is
    long over."""
    bars: Literal["daily", "weekly"] = "daily"
    """What one bar spans; others are refused. With `weekly`, the horizon and all that is said of it count weeks."""
    market_days: Literal["auto", "five", "seven", "sunday_to_thursday"] = "auto"
    """Days of a week that the market trades: found from the bars, or set. Seven makes a year of 365 days; a week from
    Sunday to Thursday has to be set, since dates that are one day early look the same."""
    adjust: bool = True
    """Scale open, high, low and close by Adj Close / Close where the file has an Adj Close."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """Decimal sign of the files of bars: found from the numbers, or set where they can be read in two ways."""
    dates: Literal["auto", "day_first", "month_first"] = "auto"
    """Order of dates such as 04/01/2021: found from a number above 12, or set where there is none."""
    window: Annotated[int, Field(ge=5, le=250)] = 10
    """Bars of context in a window."""
    horizon: Annotated[int, Field(ge=1, le=60)] = 10
    """Closes to forecast."""
    stride: PositiveInt = 1
    """Bars between the starts of neighbouring windows."""
    normalisation: Literal["rebased", "standard", "raw"] = "rebased"
    """`rebased`: the last close of each window is 100. `standard`: mean 0, deviation 1, fitted on the training part of
    each stock. `raw`: prices."""
    train_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.7
    """Share of the calendar (the union of all stocks' dates) before the validation part."""
    val_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the calendar in the validation part; the rest is the test part."""
    val_start: IsoDate | None = None
    """First date of the validation part (ISO); replaces the shares when given together with `test_start`."""
    test_start: IsoDate | None = None
    """First date of the test part (ISO)."""
    folds: PositiveInt = 1
    """Walk-forward: cut the test part into so many pieces, and train anew before each on all that came before."""
    fold: PositiveInt | None = None
    """The piece that these windows are tested on; set by the run for each fold."""
    periods: IndicatorPeriods = IndicatorPeriods()
    """Look-back periods of the indicators."""
    warm_up: Annotated[int, Field(ge=0)] = 100
    """Bars at the start of each history that are used for the indicators but not for windows: recursive averages have
    forgotten their start by then."""
    volatility_window: Annotated[int, Field(ge=5, le=LONGEST)] = 20
    """Daily returns that the window's volatility is computed from."""
    max_gap_days: PositiveInt = 10
    """Calendar days without a bar that are reported as a gap."""
    split_ratio: Annotated[float, Field(gt=1.0)] = 1.8
    """A jump between two closes by more than this factor (up or down) is taken for an unadjusted split and refused."""
    outlier_factor: Annotated[float, Field(gt=1.0)] = 2.0
    """An open, high or low further than this factor from the rest of its bar and from the close before is refused. In
    29,417 real bars of 25 US stocks, crash days among them, an open came to 1.33, a low to 1.18 and a high to 1.14."""
    repair_outliers: bool = False
    """Pull such a price back to the rest of its bar, and report it, where it would be refused."""
    repair_units: bool = False
    """Give all bars the currency unit of the last one (pence or pounds), and report it, where they would be refused."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.bars == "weekly" and self.data_dir == EMBEDDED:
            raise ValueError("bars: the generated market has daily bars; give data_dir a folder of weekly ones")
        if self.train_share + self.val_share >= 1.0:
            raise ValueError("train_share + val_share must leave room for a test part (below 1)")
        if (self.val_start is None) != (self.test_start is None):
            raise ValueError("give val_start and test_start together, or neither")
        if self.val_start and self.test_start and self.val_start >= self.test_start:
            raise ValueError("val_start must be before test_start")
        if self.fold is not None and self.fold > self.folds:
            raise ValueError(f"fold must be one of the folds, 1 to {self.folds}")
        if self.periods.macd_fast >= self.periods.macd_slow:
            raise ValueError("periods.macd_fast must be below periods.macd_slow")
        return self


class PreprocessStage(Settings):
    """Settings of the preprocessing stage."""

    data: DataConfig
    seed: int
