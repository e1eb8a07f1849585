"""Chooses the answers that rejection sampling keeps, by their error and for balance over stocks and dates.

An answer is judged by its error beside the one that persistence could be *expected* to make on its window, which the
volatility tells on the day of the forecast. The error that persistence did make would be the wrong measure: where
little happened nothing beats it, so only windows with a large move would be kept, and a model would learn from them
that every move is large and only its sign is to be found (`docs/rewards.md`). No window gives more than a few answers;
and the set is balanced over stocks, periods and volatility, down to what the scarcest cell can give.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stonk_pipeline.schema import Forecast, Target, Unreadable, Window

PERIODS = 4
"""Parts of the calendar that the set is balanced over."""
VOLATILITY_BANDS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sampled answer with its scores."""

    window: int
    """Index of its window."""
    sample: int
    completion: str
    values: tuple[float, ...] | None
    skill: float
    """See `window_skill`; 0 where it cannot be read."""
    reason: str
    """Why it was rejected; empty if it was kept."""


def window_skill(answer: Forecast | Unreadable, window: Window, target: Target) -> float:
    """Computes an answer's skill, 1 - MAE / expected MAE of persistence; at least -10, 0 if unreadable.

    A random walk with the window's daily volatility is expected to be volatility * sqrt(2 k / pi) away after k days
    (mean of the half-normal distribution); the mean of that over the days is the expected error. So how much is kept of
    a window does not depend on how far it happened to move.
    """
    if isinstance(answer, Unreadable):
        return 0.0
    days = len(target.values)
    error = sum(abs(a - b) for a, b in zip(answer.values, target.values, strict=True)) / days
    expected = window.volatility * sum(math.sqrt(2 * day / math.pi) for day in range(1, days + 1)) / days
    return max(-10.0, 1 - error / expected)


def judge(
    windows: Sequence[Window],
    targets: Sequence[Target],
    texts: Sequence[Sequence[str]],
    answers: Sequence[Sequence[Forecast | Unreadable]],
    *,
    min_skill: float,
    keep_per_window: int,
    chance: random.Random | None = None,
) -> list[Candidate]:
    """Scores every answer on its own window.

    Kept are the `keep_per_window` best of those with a skill of at least `min_skill`, each forecast once; or, with
    `chance`, as many of the readable ones, drawn from it.

    Returns:
        All candidates, windows in order; rejected ones carry the reason: a parser's reason, `below the margin`,
        `duplicate` or `not among the best`.
    """
    judged = []
    for index, (window, target) in enumerate(zip(windows, targets, strict=True)):
        skills = [window_skill(answer, window, target) for answer in answers[index]]
        order = sorted(range(len(skills)), key=lambda sample: -skills[sample])
        if chance is not None:
            chance.shuffle(order)
        seen: set[tuple[float, ...]] = set()
        kept: dict[int, str] = {}
        for sample in order:
            least = min_skill if chance is None else -math.inf
            kept[sample] = _reason(answers[index][sample], skills[sample], seen, least, keep_per_window)
        judged += [
            Candidate(index, sample, text, _values(answers[index][sample]), skills[sample], kept[sample])
            for sample, text in enumerate(texts[index])
        ]
    return judged


def _reason(
    answer: Forecast | Unreadable, skill: float, seen: set[tuple[float, ...]], min_skill: float, keep: int
) -> str:
    if isinstance(answer, Unreadable):
        return answer.reason
    if skill < min_skill:
        return "below the margin"
    if answer.values in seen:
        return "duplicate"
    if len(seen) >= keep:
        return "not among the best"
    seen.add(answer.values)
    return ""


def _values(answer: Forecast | Unreadable) -> tuple[float, ...] | None:
    return answer.values if isinstance(answer, Forecast) else None


def cells(windows: Sequence[Window]) -> list[tuple[str, int, int]]:
    """Assigns each window to the cell it is balanced in: (stock, period, volatility band).

    Periods cut the windows' dates into equal parts, bands cut each stock's windows by relative volatility.
    """
    by_date = sorted(range(len(windows)), key=lambda i: (windows[i].date, windows[i].stock))
    period = {i: PERIODS * rank // len(windows) for rank, i in enumerate(by_date)}
    by_stock: dict[str, list[int]] = defaultdict(list)
    for i, window in enumerate(windows):
        by_stock[window.stock].append(i)
    band: dict[int, int] = {}
    for members in by_stock.values():
        members.sort(key=lambda i: windows[i].volatility)
        band |= {i: VOLATILITY_BANDS * rank // len(members) for rank, i in enumerate(members)}
    return [(window.stock, period[i], band[i]) for i, window in enumerate(windows)]


def balance(windows: Sequence[Window], judged: Sequence[Candidate], *, max_examples: int, seed: int) -> list[Candidate]:
    """Evens the kept answers out over cells of stock, period and volatility.

    No cell keeps more than twice the median of the cells that keep any, and all together no more than `max_examples`;
    the rest is rejected as `surplus of its cell`. Which ones is drawn, and not the lowest skills: the highest would be
    those of windows in which little happened.

    Returns:
        All candidates in their order, with the reasons of the newly rejected.
    """
    of_window, chance = cells(windows), random.Random(seed)
    groups: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for place, candidate in enumerate(judged):
        if not candidate.reason:
            groups[of_window[candidate.window]].append(place)
    if not groups:
        return list(judged)
    sizes = sorted(len(places) for places in groups.values())
    cap = 2 * sizes[len(sizes) // 2]
    # One of each cell first, then a second of each, and so on: what is left over was the surplus.
    ranked = sorted(
        (rank, chance.random(), place)
        for places in groups.values()
        for rank, place in enumerate(chance.sample(places, min(cap, len(places))))
    )
    kept = {place for *_, place in ranked[:max_examples]}
    return [
        c if c.reason or place in kept else replace(c, reason="surplus of its cell") for place, c in enumerate(judged)
    ]
