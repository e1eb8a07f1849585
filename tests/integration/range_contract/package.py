"""Defines the range contract: closes in; how far tomorrow's high and low lie apart, in percent of the close, out."""

from pathlib import Path
from typing import Any, Literal

from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import LoraConfig, ModelConfig, PolicyConfig
from stonk_pipeline.contract import Contract
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


def _from_work(name: str) -> Any:
    def call(*given: Any) -> Any:
        from stonk_pipeline.contracts.range import work

        return getattr(work, name)(*given)

    return call


RANGE = Contract(
    name="range",
    about="how far tomorrow's high and low lie apart",
    settings=RangeConfig,
    recipes=Path(__file__).parent / "recipes",
    graph=STEPS,
    steps=lambda config: STEPS,
    options=(),
    lora=lambda config: config.lora,
    plan=_from_work("plan"),
    training=_from_work("training"),
    distinguishing=("data", "model", "lora", "grpo", "seed"),
    suffix="-range",
    losses=_from_work("losses"),
    page=_from_work("page"),
    show=_from_work("show"),
)
