"""Says how each forecaster of a forecast run is called and drawn in the report."""

from stonk_pipeline.evaluation.headline import LABELS as BASELINES
from stonk_pipeline.report.style import LIGHT

LABELS = {
    "base": "Base model",
    "grpo_1st": "First GRPO",
    "sft": "SFT",
    "grpo_2nd": "Second GRPO",
    **BASELINES,
    "best_possible": "Best possible",
    "hold": "Bought and held",
}
ROLES = {"base": "base", "grpo_1st": "first", "sft": "middle", "grpo_2nd": "last", "best_possible": "best_possible"}
"""Forecaster -> its role in the palette; all baselines share one."""


def label(name: str) -> str:
    """Gives what a person reads for a forecaster's name."""
    return LABELS.get(name, name.replace("_", " "))


def role(name: str) -> str:
    """Gives a forecaster's role in the palette."""
    return ROLES.get(name, "baseline")


def colour(name: str) -> str:
    """Gives a forecaster's colour in the light palette."""
    return LIGHT[role(name)]


def dot(name: str) -> str:
    """Gives the CSS colour of a forecaster's dot in a table, where baselines are grey."""
    return f"var(--{ROLES.get(name, 'muted')})"
