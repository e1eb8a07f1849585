"""Decides whether stage I has learned enough for stage II, and warns of accuracy too good to be true.

Pure: figures and settings in, checks and a sentence out.
"""

import math
from collections.abc import Sequence

import numpy as np

from stonk_pipeline.contracts.direction.sections import GateConfig
from stonk_pipeline.evaluation.results import Result


class GateFigures(Result):
    """Figures of stage I on the validation part; None where they were not measured."""

    reward: float | None
    """Mean total reward."""
    accuracy: float | None
    balanced_accuracy: float | None = None
    """Mean of the accuracies on rises and on falls."""
    reasoning: float | None
    """Mean of `Quality.reasoning`, 0 to 0.4."""
    loss: float | None = None
    """Mean size of the last losses."""
    loss_spread: float | None = None
    """Their standard deviation."""
    decisions: int = 0
    """Days that moved, which the accuracy rests on."""
    real_data: bool
    """The bars were read, not generated."""


class Check(Result):
    """A condition with its figure, passed or not."""

    name: str
    figure: float | None
    threshold: float
    passed: bool
    sentence: str


class Transition(Result):
    """The decision of the gate, with its checks."""

    checks: tuple[Check, ...]
    passed: bool
    """Every check is passed and nothing looks like a leak."""
    go_on: bool
    """Whether stage II is run: always in mode `report`, in mode `strict` only when passed."""
    alarm: str | None
    """Why the accuracy looks like a leak."""
    sentence: str


def loss_figures(losses: Sequence[float], gate: GateConfig) -> tuple[float | None, float | None]:
    """Computes mean size and standard deviation of the last losses; None where there are fewer than `last_losses`.

    Example:
        >>> loss_figures([5.0, 0.1, -0.1], GateConfig(last_losses=2))
        (0.1, 0.1)
    """
    last = np.asarray(losses[-gate.last_losses :], dtype=np.float64)
    if len(last) < gate.last_losses or not np.isfinite(last).all():
        return None, None
    return float(np.abs(last).mean()), float(last.std())


def leakage_alarm(figures: GateFigures, gate: GateConfig) -> str | None:
    """Says why an accuracy is too good to be true; None where it is not, or the market was generated.

    On days of which 65 % rose, always saying up is right in 65 %: the balanced accuracy has to be too good as well.

    Example:
        >>> seen = GateFigures(
        ...     reward=0.8, accuracy=0.85, balanced_accuracy=0.85, reasoning=0.3, decisions=400, real_data=True
        ... )
        >>> leakage_alarm(seen, GateConfig())[:52]
        'Leakage alarm: 85.0% of 400 real directions were rig'
    """
    accuracy, balanced = figures.accuracy, figures.balanced_accuracy
    if not figures.real_data or accuracy is None or balanced is None:
        return None
    if not min(accuracy, balanced) > gate.plausible_accuracy:
        return None
    return (
        f"Leakage alarm: {accuracy:.1%} of {figures.decisions} real directions were right, and more than "
        f"{gate.plausible_accuracy:.0%} is not plausible for daily data. Look for the future in the prompts: news "
        "after the close, facts of today, a model that has read about these days."
    )


def transition(figures: GateFigures, gate: GateConfig) -> Transition:
    """Compares the figures of stage I with the conditions.

    A figure that was not measured does not pass. A leakage alarm is never a pass, however good the figures.

    Example:
        >>> seen = GateFigures(reward=0.4, accuracy=0.55, reasoning=0.3, loss=0.01, loss_spread=0.01, real_data=True)
        >>> found = transition(seen, GateConfig())
        >>> found.passed, found.go_on, [check.name for check in found.checks if not check.passed]
        (False, True, ['mean reward', 'accuracy'])
    """
    checks = (
        _check("mean reward", figures.reward, gate.min_reward, "above"),
        _check("accuracy", figures.accuracy, gate.min_accuracy, "above"),
        _check("reasoning", figures.reasoning, gate.min_reasoning, "at least"),
        _check("loss", figures.loss, gate.max_loss, "at most"),
        _check("spread of the loss", figures.loss_spread, gate.max_loss_spread, "at most"),
    )
    alarm = leakage_alarm(figures, gate)
    passed = alarm is None and all(check.passed for check in checks)
    go_on = passed or gate.mode == "report"
    return Transition(checks=checks, passed=passed, go_on=go_on, alarm=alarm, sentence=_sentence(checks, alarm, go_on))


def _check(name: str, figure: float | None, threshold: float, relation: str) -> Check:
    if figure is None or not math.isfinite(figure):
        return Check(name=name, figure=None, threshold=threshold, passed=False, sentence=f"{name} was not measured")
    passed = {"above": figure > threshold, "at least": figure >= threshold, "at most": figure <= threshold}[relation]
    verb = "is" if passed else "should be"
    sentence = f"{name} {figure:.3f} {verb} {relation} {threshold:g}"
    return Check(name=name, figure=figure, threshold=threshold, passed=passed, sentence=sentence)


def _sentence(checks: Sequence[Check], alarm: str | None, go_on: bool) -> str:
    failed = [check.sentence for check in checks if not check.passed]
    what = "every condition of stage II is met" if not failed else f"not ready for stage II: {'; '.join(failed)}"
    end = "Stage II is run" if go_on else "Stage II is not run; --gate report goes on"
    return f"{alarm + ' ' if alarm else ''}{what[0].upper()}{what[1:]}. {end}."
