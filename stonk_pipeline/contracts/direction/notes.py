"""Words the numbers of steps that only direction runs have, for a person."""

from collections.abc import Mapping
from typing import Any


def examples(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Words the numbers of the examples: those of stage I, of stage II, and of the test.

    >>> sides = {"up": 100, "down": 100, "flat": 0}
    >>> examples({"examples": {"balanced": sides, "natural": sides | {"flat": 9}, "test": sides}})
    ('200 / 209 / 200 examples', 'stage I / stage II / test')
    """
    counts = [sum(numbers["examples"][name].values()) for name in ("balanced", "natural", "test")]
    return (" / ".join(f"{count:,}" for count in counts) + " examples", "stage I / stage II / test")


def gate(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Words the numbers of the gate to stage II.

    >>> gate({"passed": False, "go_on": True, "reward": 0.588, "accuracy": 0.517})
    ('not passed, stage II runs', 'reward 0.59', 'accuracy 52%')
    """
    passed = "passed" if numbers["passed"] else "not passed"
    goes_on = "stage II runs" if numbers["go_on"] else "no stage II"
    return (f"{passed}, {goes_on}", f"reward {numbers['reward']:.2f}", f"accuracy {numbers['accuracy']:.0%}")
