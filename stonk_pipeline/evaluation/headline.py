"""Words a verdict in one line: its finding, and what the best numeric baseline says about it."""

from typing import Literal

Addition = Literal["adds to it", "no evidence that it adds to it", "is worse than it", "too little data to tell"]
Tone = Literal["good", "bad", "none"]
LABELS = {
    "persistence": "Persistence",
    "random_walk": "Random walk with volatility",
    "drift": "Drift so far",
    "mean_return": "Mean training return",
    "exp_smoothing": "Exponential smoothing",
    "theta": "Theta",
    "ridge": "Ridge regression",
    "boosted_trees": "Boosted trees",
    "chronos": "Chronos",
}
"""Numeric baseline -> what a person reads for it."""


def tone(finding: str) -> Tone:
    """Says how a verdict's finding colours its box: `good`, `bad` or `none`."""
    if finding == "evidence of skill":
        return "good"
    return "bad" if finding == "worse than the baseline" else "none"


def headline(finding: str, best: str | None = None, addition: Addition | None = None) -> tuple[str, Tone]:
    """Words the finding together with the best numeric baseline; green only if the model adds to that.

    Args:
        finding: of the verdict.
        best: name of that baseline, if there is one besides the verdict's own.
        addition: what the model adds to it.

    >>> headline("evidence of skill", "ridge", "is worse than it")
    ('evidence of skill, but worse than ridge regression', 'bad')
    """
    if finding != "evidence of skill" or best is None or best == "persistence":
        return finding, tone(finding)
    name = LABELS.get(best, best.replace("_", " "))
    name = name[0].lower() + name[1:]
    if addition == "adds to it":
        return f"{finding}, beyond {name}", "good"
    if addition == "is worse than it":
        return f"{finding}, but worse than {name}", "bad"
    return f"{finding}, no more than {name} has", "none"
