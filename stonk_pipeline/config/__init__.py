"""Every setting of the pipeline, typed and checked before anything heavy is loaded.

A recipe (`recipes/*.yaml`) holds only what differs from the defaults here; the resolved settings of a run lie in its
`config.json`. Each stage receives its own small slice (the classes ending in `Stage`), so that a change of one stage's
settings leaves the finished work of the stages before it valid.
"""

from stonk_pipeline.config.base import IsoDate, PositiveInt, Seed, Settings, Share
from stonk_pipeline.config.calls import CallPolicyConfig, CallPolicyStage, CallsStage, DirectionConfig, ExamplesStage
from stonk_pipeline.config.data import (
    EMBEDDED,
    DataConfig,
    IndicatorPeriods,
    MarketConfig,
    PreprocessStage,
    PromptConfig,
)
from stonk_pipeline.config.evaluation import ComparisonConfig, ComparisonStage
from stonk_pipeline.config.pipeline import PipelineConfig
from stonk_pipeline.config.recipes import (
    RECIPES,
    AnyConfig,
    load_config,
    make_config,
    merge,
    of_forecasts,
    recipe_names,
)
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import (
    GRPOConfig,
    GRPOStage,
    LoraConfig,
    ModelConfig,
    PolicyConfig,
    RewardWeights,
    SamplingConfig,
    SamplingStage,
    SFTConfig,
    SFTStage,
)

__all__ = [
    "EMBEDDED",
    "RECIPES",
    "AnyConfig",
    "CallPolicyConfig",
    "CallPolicyStage",
    "CallsStage",
    "ComparisonConfig",
    "ComparisonStage",
    "DataConfig",
    "DirectionConfig",
    "ExamplesStage",
    "GRPOConfig",
    "GRPOStage",
    "IndicatorPeriods",
    "IsoDate",
    "LoraConfig",
    "MarketConfig",
    "ModelConfig",
    "PipelineConfig",
    "PolicyConfig",
    "PositiveInt",
    "PreprocessStage",
    "PromptConfig",
    "RewardWeights",
    "RunConfig",
    "SFTConfig",
    "SFTStage",
    "SamplingConfig",
    "SamplingStage",
    "Seed",
    "Settings",
    "Share",
    "load_config",
    "make_config",
    "merge",
    "of_forecasts",
    "recipe_names",
]
