"""The graphs: for each kind of run its steps, with their stages, settings, inputs and directories.

Stages are named as text and loaded when they run, so that nothing heavy is imported to describe them, and so that the
domain does not import `preprocessing`, which stands above it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

from stonk_pipeline.config.base import Settings
from stonk_pipeline.config.recipes import AnyConfig
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.errors import StageError
from stonk_pipeline.runs.manifest import Stage


@dataclass(frozen=True)
class Step:
    """One node of the DAG."""

    name: str
    """As the command line and the UI call it."""
    title: str
    entry: str
    """`module:attribute` of the `Stage`."""
    directory: str
    """Its directory below the run's."""
    settings: Callable[[Any], Settings]
    """Its slice of the run's settings."""
    needs: dict[str, str]
    """Input name -> step that makes it."""
    publishes: str = ""
    """Name of its adapter in the models directory."""

    def load(self) -> Stage:
        """Imports the stage."""
        try:
            stage = resolve_name(self.entry)
        except ModuleNotFoundError as error:
            raise StageError(f"{self.entry} is not importable; run from the root of a checkout") from error
        assert isinstance(stage, Stage)
        return stage


Steps = dict[str, Step]
"""A graph in its order: name -> step."""
_DATASET = {"dataset": "preprocess"}
_PREPROCESS = Step(
    "preprocess", "Preprocessing", "preprocessing.dataset:STAGE", "preprocessing", RunConfig.preprocess_stage, {}
)


def _graph(*steps: Step) -> Steps:
    return {step.name: step for step in steps}


FORECAST = _graph(
    _PREPROCESS,
    Step(
        "grpo-first",
        "First GRPO",
        "stonk_pipeline.contracts.forecast.lesson:FIRST",
        "stage1_grpo_training",
        lambda config: config.grpo_stage("first"),
        _DATASET,
        "grpo_lora_1st",
    ),
    Step(
        "sample",
        "Rejection sampling",
        "stonk_pipeline.contracts.forecast.rejection:STAGE",
        "sft_data_generation",
        PipelineConfig.sampling_stage,
        _DATASET | {"policy": "grpo-first"},
    ),
    Step(
        "sft",
        "Supervised fine-tuning",
        "stonk_pipeline.training.sft:STAGE",
        "stage2_sft_training",
        PipelineConfig.sft_stage,
        {"examples": "sample"},
        "sft_lora",
    ),
    Step(
        "grpo-second",
        "Second GRPO",
        "stonk_pipeline.contracts.forecast.lesson:SECOND",
        "stage3_grpo_from_sft",
        lambda config: config.grpo_stage("second"),
        _DATASET | {"start": "sft"},
        "grpo_lora_2nd",
    ),
    Step(
        "compare",
        "Comparison",
        "stonk_pipeline.contracts.forecast.scores.stage:STAGE",
        "model_comparison",
        PipelineConfig.comparison_stage,
        _DATASET | {"grpo_1st": "grpo-first", "sft": "sft", "grpo_2nd": "grpo-second"},
    ),
)
"""Bars to forecasters: two GRPO runs with fine-tuning on the best answers between them."""

POOL = Step(
    "compare",
    "Pooled comparison",
    "stonk_pipeline.contracts.forecast.scores.folds:STAGE",
    "model_comparison",
    PipelineConfig.comparison_stage,
    {},
)
"""The comparison of a walk-forward: over the windows of all its folds."""

_EXAMPLES = {"examples": "examples"}
DIRECTION = _graph(
    _PREPROCESS,
    Step(
        "examples",
        "Examples",
        "stonk_pipeline.contracts.direction.make.stage:STAGE",
        "examples",
        DirectionConfig.examples_stage,
        _DATASET,
    ),
    Step(
        "stage-one",
        "Stage I",
        "stonk_pipeline.contracts.direction.lesson:ONE",
        "stage1_training",
        lambda config: config.policy_stage("one"),
        _EXAMPLES,
        "direction_lora_1st",
    ),
    Step(
        "gate",
        "Gate to stage II",
        "stonk_pipeline.contracts.direction.scores.stage:GATE",
        "gate",
        lambda config: config.calls_stage("one"),
        _EXAMPLES | {"stage_one": "stage-one"},
    ),
    Step(
        "stage-two",
        "Stage II",
        "stonk_pipeline.contracts.direction.lesson:TWO",
        "stage2_training",
        lambda config: config.policy_stage("two"),
        _EXAMPLES | {"start": "stage-one"},
        "direction_lora_2nd",
    ),
    Step(
        "compare",
        "Comparison",
        "stonk_pipeline.contracts.direction.scores.stage:STAGE",
        "model_comparison",
        lambda config: config.calls_stage("two"),
        _EXAMPLES | {"stage_one": "stage-one", "gate": "gate", "stage_two": "stage-two"},
    ),
)
"""Bars and news to callers of directions: a balanced stage, a gate, and a stage on the market as it is."""


RECORDS = _graph(*(replace(step, needs={}) if step.name == "examples" else step for step in DIRECTION.values()))
del RECORDS["preprocess"]
"""The direction recipe on records, which need no windows to be cut."""


def steps_of(config: AnyConfig) -> Steps:
    """The graph of a run with these settings."""
    if isinstance(config, DirectionConfig):
        return DIRECTION if config.records is None else RECORDS
    return FORECAST
