"""Defines the range contract: closes in; how far tomorrow's high and low lie apart, in percent of the close, out."""

from pathlib import Path
from typing import Literal

from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig
from stonk_pipeline.contract import Contract, Later
from stonk_pipeline.pipeline.graph import PREPROCESS, Step, graph


class RangeStage(Settings):
    """Settings of the training and of the comparison."""

    model: ModelConfig
    lora: LoraConfig
    grpo: PolicyConfig
    comparison: ComparisonConfig
    seed: int


class RangeConfig(RunConfig):
    """All settings of a run."""

    contract: Literal["range"] = "range"
    lora: LoraConfig = LoraConfig()
    grpo: PolicyConfig = PolicyConfig()

    def stage(self) -> RangeStage:
        """Settings of the training and of the comparison."""
        return RangeStage.model_validate(self.model_dump(include=set(RangeStage.model_fields)))


_DATASET = {"dataset": PREPROCESS.name}
STEPS = graph(
    PREPROCESS,
    Step("learn", "Training", f"{__name__}.work:TRAIN", "training", RangeConfig.stage, _DATASET, "range_lora"),
    Step("compare", "Comparison", f"{__name__}.work:COMPARE", "model_comparison", RangeConfig.stage,
         _DATASET | {"learned": "learn"}),
)  # fmt: skip


RANGE = Contract(
    name="range",
    about="how far tomorrow's high and low lie apart",
    settings=RangeConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=lambda config: STEPS,
    options=(),
    lora=lambda config: config.lora,
    plan=Later(f"{__name__}.work:plan"),
    training=Later(f"{__name__}.work:training"),
    distinguishing=("data", "model", "lora", "grpo", "seed"),
    suffix="-range",
    losses=Later(f"{__name__}.work:losses"),
    page=Later(f"{__name__}.work:page"),
    show=Later(f"{__name__}.work:show"),
)
