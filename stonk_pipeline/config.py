"""Every setting of the pipeline, typed and checked before anything heavy is loaded.

A recipe (`recipes/*.yaml`) holds only what differs from the defaults here; the resolved settings of a run lie in its
`config.json`. Each stage receives its own small slice (the classes ending in `Stage`), so that a change of one stage's
settings leaves the finished work of the stages before it valid.
"""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stonk_pipeline.errors import ConfigError

EMBEDDED = "embedded"
"""Value of `DataConfig.data_dir` that stands for the generated market."""
RECIPES = Path(__file__).parent / "recipes"

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What numpy's and torch's generators take."""
IsoDate = Annotated[str, BeforeValidator(lambda day: day.isoformat() if isinstance(day, date) else day)]
"""A date as text; YAML makes a date of what is not quoted."""


class Settings(BaseModel):
    """Base: unknown names are refused, and the text under a field is its description (and its help in the UI)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,  # JSON has neither: a run could not read its own settings back
    )


class MarketConfig(Settings):
    """The generated market with a known answer (`stonk_pipeline.market`)."""

    kind: Literal["predictable", "random_walk"] = "predictable"
    """`predictable`: momentum and reversion under changing volatility. `random_walk`: its twin without either."""
    tickers: PositiveInt = 12
    """How many tickers to generate."""
    days: Annotated[int, Field(ge=300)] = 1500
    """Trading days a ticker."""
    daily_sd: Annotated[float, Field(gt=0, le=0.1)] = 0.012
    """Long-run standard deviation of a day's shock; 0.012 is about 19 % a year, as a large company's share has."""
    seed: Seed = 7
    """Seed of the generator; the pipeline's own seed does not change the bars."""


class IndicatorPeriods(Settings):
    """Look-back periods, in bars."""

    sma: PositiveInt = 20
    """Simple moving average."""
    ema: PositiveInt = 50
    """Exponential moving average."""
    mom: PositiveInt = 10
    """Momentum: close minus the close so many bars before."""
    stoch: PositiveInt = 14
    """Stochastic oscillator."""
    stoch_smooth: PositiveInt = 3
    """Smoothing of the stochastic oscillator's second line."""
    rsi: PositiveInt = 14
    """Relative strength index."""
    macd_fast: PositiveInt = 12
    """Fast average of the MACD; below the slow one."""
    macd_slow: PositiveInt = 26
    """Slow average of the MACD."""
    willr: PositiveInt = 14
    """Williams %R."""
    cci: PositiveInt = 20
    """Commodity channel index."""
    adx: PositiveInt = 14
    """Average directional index."""
    bbands: PositiveInt = 20
    """Bollinger bands."""
    bbands_width: Annotated[float, Field(gt=0)] = 2.0
    """Half-width of the Bollinger bands in standard deviations."""


class DataConfig(Settings):
    """Which bars, and how they become windows."""

    data_dir: str = EMBEDDED
    """Folder with one CSV or Parquet file a stock (`AAPL.csv`), or one such file; `embedded`: the generated market."""
    stocks: Annotated[list[str], Field(min_length=1)] = ["all"]
    """Symbols to use; `all` takes every file of the folder."""
    market: MarketConfig = MarketConfig()
    """The generated market; used where `data_dir` is `embedded`."""
    shuffle_targets: bool = False
    """Train against the outcomes of other windows, for controls; validation and test keep their own."""
    adjust: bool = True
    """Scale open, high, low and close by Adj Close / Close where the file has an Adj Close."""
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
    volatility_window: Annotated[int, Field(ge=5)] = 20
    """Daily returns that the window's volatility is computed from."""
    max_gap_days: PositiveInt = 10
    """Calendar days without a bar that are reported as a gap."""
    split_ratio: Annotated[float, Field(gt=1.0)] = 1.8
    """A jump between two closes by more than this factor (up or down) is taken for an unadjusted split and refused."""

    @model_validator(mode="after")
    def _check(self) -> Self:
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


class PromptConfig(Settings):
    """What the model is shown."""

    decimals: Annotated[int, Field(ge=0, le=6)] = 2
    """Decimals of prices in the prompt."""
    indicators: bool = True
    """Show the technical indicators."""
    statistics: bool = True
    """Show the statistics of the window."""
    show_ticker: bool = False
    """Name the stock. Off, so that a model cannot recite history that it read in its pre-training."""
    show_dates: bool = False
    """Give the date of the last close. Off for the same reason."""


class ModelConfig(Settings):
    """The language model, and how it is loaded."""

    name: str = "stonk-tiny"
    """`stonk-tiny` (in the package), a local directory, or a Hugging Face name."""
    backend: Literal["auto", "unsloth", "peft"] = "auto"
    """Who loads it for training; `auto` takes Unsloth where it can be imported."""
    load_in_4bit: bool = False
    """Quantise the frozen weights to 4 bits while training (needs CUDA and bitsandbytes)."""
    max_seq_length: Annotated[int, Field(ge=64)] = 2048
    """Tokens of prompt and answer together."""
    knowledge_cutoff: IsoDate | None = None
    """Last day that the base model's training text can hold (ISO). Test windows decided up to it are marked, and the
    verdict is also given without them."""
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=0.98)] = 0.4
    """Share of the accelerator's memory that vLLM may take."""


class LoraConfig(Settings):
    """Low-rank adapters on all linear layers."""

    rank: PositiveInt = 32
    """Rank of the adapters: how much they can learn, and how large they are."""
    alpha: PositiveInt | None = None
    """Scaling numerator; the rank if not given, so that the scale is 1."""
    dropout: Share = 0.0
    """Share of the adapters' inputs that is left out at random in training."""


class RewardWeights(Settings):
    """Weights of the reward's components; each component lies within -1 and 1 before weighting."""

    skill: Annotated[float, Field(ge=0)] = 1.0
    """Forecast error against persistence."""
    direction: Annotated[float, Field(ge=0)] = 0.1
    """Sign of the move to the last day."""
    trading: Annotated[float, Field(ge=0)] = 0.1
    """Return of trading the forecast, after costs."""
    form: Annotated[float, Field(ge=0)] = 0.1
    """A readable answer."""


class GRPOConfig(Settings):
    """One GRPO run. Both use the same code with their own settings."""

    steps: PositiveInt = 200
    """Optimizer steps."""
    prompts_per_step: PositiveInt = 8
    """Windows in one optimizer step."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Answers sampled for each window."""
    micro_batch: PositiveInt = 16
    """Answers in one forward and backward pass; lower it when memory runs out."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """Step size of the optimizer after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Steps in which the learning rate rises from 0."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients longer than this are shortened to it."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers; 1 samples from the model as it is."""
    max_completion_length: PositiveInt = 256
    """Longest answer, in tokens."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL divergence from the model the run started from; 0 leaves it out."""
    loss_type: Literal["dr_grpo", "dapo", "grpo", "bnpo"] = "dr_grpo"
    """How the losses of tokens are averaged, by TRL's names; `dr_grpo` favours no length of answer."""
    scale_rewards: Literal["none", "group", "batch"] = "none"
    """Division of advantages by the spread of rewards. `none`: dividing by it makes forecasts of noisy outcomes
    over-confident (arXiv 2508.11800)."""
    epsilon_high: Annotated[float, Field(gt=0)] = 0.28
    """Upper clip range (arXiv 2503.14476); the lower one is 0.2."""
    rewards: RewardWeights = RewardWeights()
    """Weights of the reward's components."""
    random_reward: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a reward that knows nothing, for controls."""
    cost_bps: Annotated[float, Field(ge=0)] = 5.0
    """Cost of one trade in basis points, for the trading reward."""
    save_steps: PositiveInt = 50
    """Optimizer steps between checkpoints; each is validated, and the best is kept."""
    validation_windows: PositiveInt = 128
    """Windows that each checkpoint is validated on."""
    validation_samples: PositiveInt = 4
    """Answers for each of these windows."""


class SamplingConfig(Settings):
    """Rejection sampling: how many answers, and which are kept."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """Who samples; `auto` takes vLLM where it can be imported."""
    windows: PositiveInt = 2000
    """Training windows to sample, spread evenly over stocks and dates."""
    samples: Annotated[int, Field(ge=1)] = 8
    """Answers for each window."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least likely tokens beyond this share of probability are left out; 1 keeps all."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    min_skill: Annotated[float, Field(lt=1)] = 0.1
    """Smallest accepted skill over persistence, 1 - MAE / MAE of persistence."""
    keep_per_window: PositiveInt = 1
    """Most answers kept of one window."""
    keep: Literal["best", "random"] = "best"
    """`best`: by skill, at least `min_skill`. `random`: any readable answers, for controls."""
    max_examples: PositiveInt = 4000
    """Most examples in the set."""


class SFTConfig(Settings):
    """Supervised fine-tuning on the kept answers."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    """Passes over the examples."""
    batch_size: PositiveInt = 16
    """Examples in one optimizer step."""
    micro_batch: PositiveInt = 16
    """Examples in one forward and backward pass; lower it when memory runs out."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Highest step size of the optimizer; it falls along a cosine."""
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Steps in which the learning rate rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Pull of the weights towards 0."""
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Latest share of the example dates that is held out to watch the loss."""
    evaluations: PositiveInt = 6
    """How often the held-out loss is measured in the run."""
    divergence: Annotated[float, Field(gt=0)] = 0.1
    """Stop when the held-out loss is above its best by this share at two measurements in a row."""


class ComparisonConfig(Settings):
    """How the models are compared."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """Who samples; `auto` takes vLLM where it can be imported."""
    windows: PositiveInt = 400
    """Test windows, spread evenly over stocks and dates; the same for every model."""
    samples: PositiveInt = 8
    """Answers for each window; the forecast is their median."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the sampled answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least likely tokens beyond this share of probability are left out; 1 keeps all."""
    max_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples of blocks of dates."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of the intervals."""
    min_dates: PositiveInt = 20
    """Fewer distinct test dates than this are too little data for a verdict."""
    cost_bps: Annotated[float, Field(ge=0)] = 5.0
    """Cost of one trade in basis points, in the back-test."""
    conformal: bool = False
    """Calibrate the forecast intervals on as many validation windows, and show their coverage before and after."""
    chronos: str | None = None
    """A Chronos-Bolt model as one more baseline: a local directory or a Hugging Face name (extra `chronos`)."""
    slippage_bps: Annotated[float, Field(ge=0)] = 5.0
    """What the price moves against a trade, in basis points, in the back-test."""
    trials: PositiveInt | None = None
    """How many strategies were tried, for the deflated Sharpe ratio; not given: the models that are compared."""


class PreprocessStage(Settings):
    """Settings of the preprocessing stage."""

    data: DataConfig
    seed: int


class GRPOStage(Settings):
    """Settings of a GRPO stage."""

    model: ModelConfig
    prompt: PromptConfig
    lora: LoraConfig
    grpo: GRPOConfig
    seed: int


class SamplingStage(Settings):
    """Settings of the rejection-sampling stage."""

    model: ModelConfig
    prompt: PromptConfig
    sampling: SamplingConfig
    stock_name: str
    seed: int


class SFTStage(Settings):
    """Settings of the supervised stage."""

    model: ModelConfig
    prompt: PromptConfig
    lora: LoraConfig
    sft: SFTConfig
    seed: int


class ComparisonStage(Settings):
    """Settings of the comparison."""

    model: ModelConfig
    prompt: PromptConfig
    comparison: ComparisonConfig
    seed: int


class PipelineConfig(Settings):
    """All settings of one run."""

    data: DataConfig = DataConfig()
    """Which bars, and how they become windows."""
    prompt: PromptConfig = PromptConfig()
    """What the model is shown."""
    model: ModelConfig = ModelConfig()
    """The language model."""
    lora: LoraConfig = LoraConfig()
    """The adapters that are trained."""
    grpo_first: GRPOConfig = GRPOConfig()
    """The first GRPO, from the base model."""
    sampling: SamplingConfig = SamplingConfig()
    """Rejection sampling: which answers become examples."""
    sft: SFTConfig = SFTConfig()
    """Supervised fine-tuning on the examples."""
    grpo_second: GRPOConfig = GRPOConfig()
    """The second GRPO, from the fine-tuned model."""
    comparison: ComparisonConfig = ComparisonConfig()
    """How the models are compared."""
    seed: Seed = 0
    """Seed of everything that is drawn at random, the generated bars excepted."""
    results_dir: str = "results"
    """Where the directories of runs are made; a relative path counts from the checkout."""
    models_dir: str = "models"
    """Where adapters are published, below the model's and the stock's name, and where the registry lies."""
    promotion: Literal["off", "auto", "ask"] = "auto"
    """What becomes of a finished run's last model. `auto`: it is registered, compared with the champion, and takes its
    place if the rule allows. `ask`: then a person decides in the UI. `off`: it is not registered."""
    cuda_devices: str | None = None
    """Value of CUDA_VISIBLE_DEVICES for every stage; not given: as the shell has it."""
    wait_minutes: Annotated[float, Field(ge=0, le=100_000)] = 1440.0
    """Longest wait for an accelerator that another run's stage is using."""
    run_dir: str | None = None
    """Directory of a run to continue with these settings; not given: a new directory in `results_dir`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = max(
            self.grpo_first.max_completion_length,
            self.grpo_second.max_completion_length,
            self.sampling.max_tokens,
            self.comparison.max_tokens,
        )
        if longest >= self.model.max_seq_length:
            raise ValueError(
                f"model.max_seq_length ({self.model.max_seq_length}) must exceed the longest answer ({longest} tokens)"
            )
        for name in ("grpo_first", "grpo_second"):
            grpo: GRPOConfig = getattr(self, name)
            if (grpo.prompts_per_step * grpo.group_size) % grpo.micro_batch:
                raise ValueError(f"{name}: prompts_per_step * group_size must be a multiple of micro_batch")
        if self.sft.batch_size % min(self.sft.micro_batch, self.sft.batch_size):
            raise ValueError("sft: batch_size must be a multiple of micro_batch, or smaller")
        return self

    @property
    def stock_name(self) -> str:
        """How the stocks are named in files and directories: `AAPL`, `AAPL-MSFT`, `AAPL-and-7-more`, `ALL`."""
        if self.data.stocks == ["all"]:
            return "EMBEDDED" if self.data.data_dir == EMBEDDED else "ALL"
        # The run's directory is made before preprocessing refuses what is no symbol, such as `../../etc/passwd`.
        stocks = [re.sub(r"[^A-Z0-9.^=-]+", "-", stock.upper()).strip("-.") or "NONE" for stock in self.data.stocks]
        return "-".join(stocks) if len(stocks) <= 3 else f"{stocks[0]}-and-{len(stocks) - 1}-more"

    @property
    def model_name(self) -> str:
        """A file-safe form of the model's name: `Qwen--Qwen2.5-7B-Instruct`, the last part of a local path."""
        local = Path(self.model.name).expanduser()
        name = local.name if local.exists() or self.model.name.startswith((".", "/", "~")) else self.model.name
        return re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip("-.") or "model"

    @property
    def control(self) -> str | None:
        """What a control run takes away; None for an ordinary run."""
        rewards = [grpo.rewards for grpo in (self.grpo_first, self.grpo_second)]
        blind = not any(weights.skill or weights.direction or weights.trading for weights in rewards)
        if blind and self.sampling.keep == "random":
            return "random reward" if self.grpo_second.random_reward else "form alone"
        if self.data.shuffle_targets:
            return "shuffled targets"
        return None if self.prompt.indicators or self.prompt.statistics else "no indicators"

    def preprocess_stage(self) -> PreprocessStage:
        """Settings of the first stage."""
        return PreprocessStage(data=self.data, seed=self.seed)

    def grpo_stage(self, which: Literal["first", "second"]) -> GRPOStage:
        """Settings of the first or the second GRPO run."""
        grpo = self.grpo_first if which == "first" else self.grpo_second
        return GRPOStage(model=self.model, prompt=self.prompt, lora=self.lora, grpo=grpo, seed=self.seed)

    def sampling_stage(self) -> SamplingStage:
        """Settings of the rejection sampling."""
        return SamplingStage(
            model=self.model, prompt=self.prompt, sampling=self.sampling, stock_name=self.stock_name, seed=self.seed
        )

    def sft_stage(self) -> SFTStage:
        """Settings of the supervised stage."""
        return SFTStage(model=self.model, prompt=self.prompt, lora=self.lora, sft=self.sft, seed=self.seed)

    def comparison_stage(self) -> ComparisonStage:
        """Settings of the comparison."""
        return ComparisonStage(model=self.model, prompt=self.prompt, comparison=self.comparison, seed=self.seed)


def recipe_names() -> list[str]:
    """Names of the shipped recipes, controls last."""
    return sorted((path.stem for path in RECIPES.glob("*.yaml")), key=lambda name: (name.startswith("control-"), name))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A new mapping: `over` laid on `base`, nested mappings joined."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def load_config(recipe: str, overrides: dict[str, Any] | None = None) -> PipelineConfig:
    """Resolves a recipe's name or YAML file, with overrides on top.

    Raises:
        ConfigError: no such recipe, the file is not YAML, or a setting is unknown or out of its bounds.
    """
    settings, path = _read_recipe(recipe)
    if overrides:
        make_config(settings, source=str(path))  # so that a mistake in the recipe is not blamed on the options
        return make_config(merge(settings, overrides), source="command line")
    return make_config(settings, source=str(path))


def _read_recipe(recipe: str, above: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path]:
    """A recipe's settings, laid on those of the recipe that its `base` names, and its file."""
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        path = Path(recipe)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ConfigError(f"no recipe {recipe!r}: give one of {', '.join(recipe_names())}, or a .yaml file")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, not {type(settings).__name__}")
    base = settings.pop("base", None)
    if base is None:
        return settings, path
    if base in (recipe, *above):
        raise ConfigError(f"{path}: base: {base} leads back to itself")
    return merge(_read_recipe(str(base), (recipe, *above))[0], settings), path


def make_config(settings: dict[str, Any], *, source: str) -> PipelineConfig:
    """Validates settings.

    Raises:
        ConfigError: names each wrong field, its value and what is allowed.
    """
    try:
        return PipelineConfig.model_validate(settings)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']} (got {item['input']!r:.80})"
            for item in error.errors()
        ]
        raise ConfigError(f"{source}: wrong settings\n" + "\n".join(lines)) from error
