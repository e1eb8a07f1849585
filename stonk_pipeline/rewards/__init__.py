"""Rewards: one pure, picklable function each, from an answer and an outcome to a number between -1 and 1."""

from stonk_pipeline.rewards.forecast import COMPONENTS, direction, form, skill, trading

__all__ = ["COMPONENTS", "direction", "form", "skill", "trading"]
