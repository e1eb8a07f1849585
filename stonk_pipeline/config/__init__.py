"""Every setting of the pipeline, typed and checked before anything heavy is loaded.

A recipe (`recipes/*.yaml`) holds only what differs from the defaults here; the resolved settings of a run lie in its
`config.json`. Each stage receives its own small slice (the classes ending in `Stage`), so that a change of one stage's
settings leaves the finished work of the stages before it valid.
"""

from stonk_pipeline.config.base import IsoDate, PositiveInt, Seed, Settings, Share
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
from stonk_pipeline.config.recipes import RECIPES, load_config, make_config, merge, recipe_names
from stonk_pipeline.config.training import (
    GRPOConfig,
    GRPOStage,
    LoraConfig,
    ModelConfig,
    RewardWeights,
    SamplingConfig,
    SamplingStage,
    SFTConfig,
    SFTStage,
)

__all__ = [
    "EMBEDDED",
    "RECIPES",
    "ComparisonConfig",
    "ComparisonStage",
    "DataConfig",
    "GRPOConfig",
    "GRPOStage",
    "IndicatorPeriods",
    "IsoDate",
    "LoraConfig",
    "MarketConfig",
    "ModelConfig",
    "PipelineConfig",
    "PositiveInt",
    "PreprocessStage",
    "PromptConfig",
    "RewardWeights",
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
    "recipe_names",
]
