"""All settings of a run, and each stage's slice of them."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stonk_pipeline.config.base import Seed, Settings
from stonk_pipeline.config.data import EMBEDDED, DataConfig, PreprocessStage, PromptConfig
from stonk_pipeline.config.evaluation import ComparisonConfig, ComparisonStage
from stonk_pipeline.config.training import (
    GRPOConfig,
    GRPOStage,
    LoraConfig,
    ModelConfig,
    SamplingConfig,
    SamplingStage,
    SFTConfig,
    SFTStage,
)


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
