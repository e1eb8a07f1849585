"""How often the interval of a part of the windows holds its true skill: simulated, without a language model.

    python benchmarks/group_intervals.py                     # 400 evaluations of each kind, some 15 minutes
    python benchmarks/group_intervals.py --evaluations 50

Each evaluation is one of `verdict_error_rates.py`: a generated market of 12 tickers, 400 questions on about 280 dates,
ten days ahead, answered with a skill that is known. Here only a part of the windows is scored, with its own interval of
95 %: those decided on the first dates, in blocks of 30 as the comparison counts them (a quarter of a year has two),
those of one ticker, and the third with the middle volatility. A kind's true skill on a part is that over all
evaluations together.
"""

import argparse
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from verdict_error_rates import COMPARISON, DATES, HORIZON, Case, Kind, forecasts

from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.significance import SPANS

BLOCKS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0)
KINDS = ("noise", "zero skill", "moods", "skill 0.10")
PART_NAMES = (*(f"{blocks:g} blocks" for blocks in BLOCKS), "one ticker", "a third by volatility")


class Scored(NamedTuple):
    """One part of one evaluation."""

    own: float
    """Sum of the losses."""
    baseline: float
    low: float
    high: float
    blocks: float


def parts(case: Case, losses: Losses) -> dict[str, Losses]:
    """Picks the parts of an evaluation, each with its own losses."""
    day = case.rows - case.rows.min()
    found = {f"{blocks:g} blocks": np.flatnonzero(day < round(blocks * SPANS * HORIZON)) for blocks in BLOCKS}
    found["one ticker"] = np.flatnonzero(case.tickers == 0)
    order = np.argsort(np.argsort(case.volatility, kind="stable"), kind="stable")
    found["a third by volatility"] = np.flatnonzero(3 * order // len(order) == 1)
    return {name: losses.take(rows.tolist()) for name, rows in found.items()}


def evaluate(kind: Kind, seed: int, number: int) -> dict[str, Scored]:
    """Scores the parts of one evaluation."""
    market, make, count = kind
    rng = np.random.default_rng([seed, number])
    case = Case(market, seed * 10**5 + number, rng, count, HORIZON)
    out = {}
    for name, losses in parts(case, make(case, rng)).items():
        low, high = losses.interval(COMPARISON, number)
        sums = float(losses.own.sum()), float(losses.baseline.sum())
        out[name] = Scored(*sums, float(low), float(high), losses.clusters.blocks)
    return out


def print_coverage(kinds: Mapping[str, Kind], evaluations: int, seed: int) -> None:
    """Prints the share of intervals that hold the true skill, and how wide they are, a row a part."""
    print(f"{evaluations} evaluations of each kind, nominal {COMPARISON.confidence:.0%}; share held (median width)")
    print(f"| part | its blocks | {' | '.join(kinds)} |\n|{' --- |' * (len(kinds) + 2)}")
    found = {name: [evaluate(kind, seed, number) for number in range(evaluations)] for name, kind in kinds.items()}
    for part in PART_NAMES:
        cells, blocks = [], []
        for scored in ([evaluation[part] for evaluation in of] for of in found.values()):
            truth = 1 - sum(each.own for each in scored) / sum(each.baseline for each in scored)
            held = np.mean([each.low <= truth <= each.high for each in scored])
            cells.append(f"{held:.1%} ({np.median([each.high - each.low for each in scored]):.2f})")
            blocks += [each.blocks for each in scored]
        print(f"| {part} | {np.median(blocks):.1f} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begun = time.monotonic()
    kinds = forecasts(args.seed)
    print_coverage({name: kinds[name] for name in KINDS}, args.evaluations, args.seed)
    print(f"{time.monotonic() - begun:.0f} s, {DATES} dates")


if __name__ == "__main__":
    main()
