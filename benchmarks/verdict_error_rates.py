"""How often the verdict is wrong: simulated evaluations on the generated market, without any language model.

    python benchmarks/verdict_error_rates.py                     # 1,000 evaluations of each kind, some minutes
    python benchmarks/verdict_error_rates.py --evaluations 100

Each evaluation generates another market (12 tickers whose shocks have a correlation of 0.3), takes 400 windows on about
280 dates as the default recipe does (targets of ten days, so that neighbours overlap), makes forecasts whose skill is
known, and asks the rule of `stonk_pipeline.evaluation.verdict` with the intervals of the comparison. The kinds:

    noise           random walk; each window has a forecast drawn at random
    one view        random walk; all tickers get the same bet, which changes every 20 days: luck shared by many windows
    zero skill      predictable market; half of the best move, and noise in units of volatility that brings it to 0
    moods           the same with noise of one size, so that the forecast gains in wild months and loses in calm ones
    fewest dates    zero skill, on the fewest dates that get a verdict
    skill 0.10      predictable market; half of the best move, and less noise

All but the last are without skill: "evidence of skill" there is an error, at most 5 % by design. The last one has it.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.significance import SPANS, cluster, skill_intervals, target_span
from stonk_pipeline.evaluation.verdict import MIN_BLOCKS, decide
from stonk_pipeline.market.bars import best_possible, generate
from stonk_pipeline.schema import CLOSE, DATE

HORIZON, TICKERS = 10, 12
WARM_UP, DATES = 100, 281
"""Days before the first decision, and decision dates: a fifth of the 1,400 days that have windows."""
FEWEST = int(MIN_BLOCKS) * SPANS * HORIZON + 10
"""Decision dates of the smallest evaluation; a few of them get no window."""
WINDOWS = 400 / DATES
"""Windows a decision date."""
DAILY_SD = 1.2
"""Percent; `MarketConfig.daily_sd`."""
VOLATILITY_DAYS = 20
"""Days from which a forecaster reads the volatility."""

MARKETS = 300
"""Markets on which the noise is set: the mean skill is known to 0.002."""

Floats = np.ndarray
Maker = Callable[["Case", np.random.Generator], Floats]


class Case:
    """The windows of one simulated evaluation, in percent of the last close."""

    def __init__(self, kind: str, seed: int, rng: np.random.Generator, count: int = DATES) -> None:
        market = MarketConfig(kind=kind, tickers=TICKERS, days=max(300, WARM_UP + count + HORIZON), seed=seed)
        frames = list(generate(market).values())
        closes = np.column_stack([frame[CLOSE].to_numpy() for frame in frames])
        best = np.stack([best_possible(frame, market, HORIZON) for frame in frames], axis=1)
        dates = frames[0][DATE].dt.strftime("%Y-%m-%d").to_numpy()
        # One window from each of as many pieces of (date, ticker), as `dataset.spread` takes them.
        windows = round(WINDOWS * count)
        edges = np.arange(windows + 1) * (count * TICKERS) // windows
        picks = rng.integers(edges[:-1], edges[1:])
        self.rows, self.tickers = WARM_UP + picks // TICKERS, picks % TICKERS
        ahead = self.rows[:, None] + np.arange(1, HORIZON + 1)
        last = closes[self.rows, self.tickers][:, None]
        self.truth = 100 * closes[ahead, self.tickers[:, None]] / last
        self.best = 100 * best[self.rows, self.tickers] / last
        self.dates = dates[self.rows].tolist()
        self.ends = dates[self.rows + HORIZON].tolist()
        self.flat = np.full_like(self.truth, 100.0)
        past = self.rows[:, None] - np.arange(VOLATILITY_DAYS + 1)
        self.volatility = 100 * np.diff(np.log(closes[past, self.tickers[:, None]]), axis=1).std(axis=1)

    def paths(self, moves: Floats, daily: Floats | float = DAILY_SD) -> Floats:
        """Straight paths to these moves on the last day, in units of a random walk's deviation after ten days."""
        size = np.sqrt(HORIZON) * daily * moves
        return 100 + size[:, None] * np.arange(1, HORIZON + 1) / HORIZON

    def skill(self, forecast: Floats) -> float:
        """Skill over persistence."""
        return float(metrics.skill(metrics.mae(forecast, self.truth), metrics.mae(self.flat, self.truth)))


def noise(case: Case, rng: np.random.Generator) -> Floats:
    """A small move at random for each window."""
    return case.paths(0.3 * rng.standard_normal(len(case.rows)))


def one_view(case: Case, rng: np.random.Generator) -> Floats:
    """The same move for all tickers, drawn anew every 20 days."""
    views = 0.15 * rng.standard_normal(case.rows.max() // 20 + 1)
    return case.paths(views[case.rows // 20])


def diluted(share: float, *, scaled: bool = True) -> Maker:
    """Half of the best possible move, and noise of this size, in units of each window's volatility or of all days'."""

    def make(case: Case, rng: np.random.Generator) -> Floats:
        noise = share * rng.standard_normal(len(case.rows))
        return 100 + 0.5 * (case.best - 100) + case.paths(noise, case.volatility if scaled else DAILY_SD) - 100

    return make


def calibrate(wanted: float, seed: int, *, scaled: bool = True) -> Maker:
    """`diluted` with the noise that brings it to a skill, over many markets at once."""
    rng = np.random.default_rng(seed)
    cases = [Case("predictable", 10**6 + number, rng) for number in range(MARKETS)]
    low, high = 0.0, 2.0
    for _ in range(16):
        middle = (low + high) / 2
        draws = np.random.default_rng(seed)
        reached = np.mean([case.skill(diluted(middle, scaled=scaled)(case, draws)) for case in cases])
        low, high = (middle, high) if reached > wanted else (low, middle)
    return diluted(low, scaled=scaled)


def evaluate(case: Case, forecast: Floats, config: ComparisonConfig, seed: int) -> str:
    """The verdict on a forecast, by the comparison's rule."""
    clusters = cluster(case.dates)
    span = target_span(case.dates, case.ends)
    losses = clusters.sums(metrics.mae(forecast, case.truth)[:, None])
    reference = clusters.sums(metrics.mae(case.flat, case.truth)[:, None])
    low, high = skill_intervals(
        losses, reference, span=span, resamples=config.resamples, confidence=config.confidence, seed=seed
    )
    dates = len(clusters.dates)
    return decide(float(low[0]), float(high[0]), dates, dates / (SPANS * span), config.min_dates)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = ComparisonConfig(resamples=1000)
    begun = time.monotonic()
    zero = calibrate(0.0, args.seed)
    kinds: dict[str, tuple[str, Maker, int]] = {
        "noise": ("random_walk", noise, DATES),
        "one view": ("random_walk", one_view, DATES),
        "zero skill": ("predictable", zero, DATES),
        "moods": ("predictable", calibrate(0.0, args.seed, scaled=False), DATES),
        "fewest dates": ("predictable", zero, FEWEST),
        "skill 0.10": ("predictable", calibrate(0.1, args.seed), DATES),
    }
    print(f"{args.evaluations} evaluations of each kind: {TICKERS} tickers, {HORIZON} days ahead")
    print("| forecasts | mean skill | evidence of skill | no evidence | worse than persistence | too little data |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (market, make, count) in kinds.items():
        found: Counter[str] = Counter()
        skills = []
        for number in range(args.evaluations):
            rng = np.random.default_rng([args.seed, number])
            case = Case(market, args.seed * 10**5 + number, rng, count)
            forecast = make(case, rng)
            skills.append(case.skill(forecast))
            found[evaluate(case, forecast, config, number)] += 1
        findings = ("evidence of skill", "no evidence of skill", "worse than persistence", "too little data to tell")
        shares = " | ".join(f"{found[finding] / args.evaluations:.1%}" for finding in findings)
        print(f"| {name} | {np.mean(skills):+.3f} | {shares} |", flush=True)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
