"""How often the verdict is wrong: simulated evaluations on the generated market, without any language model.

    python benchmarks/verdict_error_rates.py                     # 1,000 evaluations of each kind, some minutes
    python benchmarks/verdict_error_rates.py --evaluations 100

Each evaluation generates another market (12 tickers whose shocks have a correlation of 0.3), takes 400 questions on
about 280 dates as the default recipes do, answers them with a skill that is known, and asks the one rule of
`stonk_pipeline.evaluation.verdict`. Forecasts are of ten days, so that neighbours overlap, and their losses are errors
beside those of the last price:

    noise           random walk; each window has a forecast drawn at random
    one view        random walk; all tickers get the same bet, which changes every 20 days: luck shared by many windows
    zero skill      predictable market; half of the best move, and noise in units of volatility that brings it to 0
    moods           the same with noise of one size, so that the forecast gains in wild months and loses in calm ones
    fewest dates    zero skill, on the fewest dates that get a verdict
    skill 0.10      predictable market; half of the best move, and less noise

Called directions are of the next day, and their losses are wrong sides beside those of the better of the majority and
yesterday's sign, which is chosen with hindsight as the contract does:

    coin            random walk; each side drawn at random
    majority        random walk; always the side that was more frequent on the days before
    one view        random walk; all tickers get the same side, which changes every 20 days
    half yesterday  random walk; yesterday's sign for every other decision, a coin for the rest
    zero skill      predictable market; the best side as often as brings it to 0, a coin for the rest
    moods           the same, with the best side in wild months and a coin in calm ones
    fewest dates    the best side so often that the skill is 0 on the fewest dates that get a verdict, where hindsight
                    helps the baseline most
    skill 0.10      predictable market; the best side more often

All but the last of each are without skill: "evidence of skill" there is an error, at most 5 % by design. The last one
has it.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.contracts.direction.scores.calls import Caller, Cases
from stonk_pipeline.contracts.direction.scores.verdict import losses_of
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.evaluation import metrics
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.evaluation.significance import SPANS
from stonk_pipeline.evaluation.verdict import MIN_BLOCKS, Finding, judge
from stonk_pipeline.market.bars import best_possible, generate
from stonk_pipeline.schema import CLOSE, DATE

HORIZON, TICKERS = 10, 12
"""Days of a forecast; a called direction is of one day."""
WARM_UP, DATES = 100, 281
"""Days before the first decision, and decision dates: a fifth of the 1,400 days that have windows."""
COMPARISON = ComparisonConfig(resamples=1000)
WINDOWS = 400 / DATES
"""Windows a decision date."""
DAILY_SD = 1.2
"""Percent; `MarketConfig.daily_sd`."""
VOLATILITY_DAYS = 20
"""Days from which a forecaster reads the volatility."""
FLAT = ExamplesConfig().flat_percent

MARKETS = {HORIZON: 300, 1: 1000}
"""Days ahead -> markets on which the noise is set: the mean skill is known to 0.002."""

Floats = np.ndarray
Maker = Callable[["Case", np.random.Generator], Losses]
Kind = tuple[str, Maker, int]
"""Kind of market, who answers, and on how many dates."""


class Case:
    """The windows of one simulated evaluation, in percent of the last close."""

    def __init__(self, kind: str, seed: int, rng: np.random.Generator, count: int, horizon: int) -> None:
        days = max(300, WARM_UP + count + horizon)
        market = MarketConfig(kind=kind, tickers=TICKERS, days=days, seed=seed)
        frames = list(generate(market).values())
        closes = np.column_stack([frame[CLOSE].to_numpy() for frame in frames])
        best = np.stack([best_possible(frame, market, horizon) for frame in frames], axis=1)
        dates = frames[0][DATE].dt.strftime("%Y-%m-%d").to_numpy()
        # One window from each of as many pieces of (date, ticker), as `reading.spread` takes them.
        windows = round(WINDOWS * count)
        edges = np.arange(windows + 1) * (count * TICKERS) // windows
        picks = rng.integers(edges[:-1], edges[1:])
        self.rows, self.tickers = WARM_UP + picks // TICKERS, picks % TICKERS
        ahead = self.rows[:, None] + np.arange(1, horizon + 1)
        last = closes[self.rows, self.tickers][:, None]
        self.truth = 100 * closes[ahead, self.tickers[:, None]] / last
        self.best = 100 * best[self.rows, self.tickers] / last
        self.dates = tuple(dates[self.rows].tolist())
        self.ends = tuple(dates[self.rows + horizon].tolist())
        past = self.rows[:, None] - np.arange(VOLATILITY_DAYS + 1)
        moves = np.diff(np.log(closes[past, self.tickers[:, None]]), axis=1)
        self.volatility, self.yesterday = 100 * moves.std(axis=1), -100 * moves[:, 0]
        self.rises = np.diff(closes[: WARM_UP + 1], axis=0) > 0
        """Of the days before the first decision."""

    def errors(self, forecast: Floats) -> Losses:
        """Errors of a forecast of closes beside those of the last price."""
        flat = metrics.mae(np.full_like(self.truth, 100.0), self.truth)
        return Losses(metrics.mae(forecast, self.truth), flat, "persistence", self.dates, self.ends)

    def wrong_sides(self, up: Floats) -> Losses:
        """Wrong sides of calls (whether up) beside those of the better baseline."""
        came = self.truth[:, 0] - 100
        stocks = tuple(map(str, self.tickers))
        known = Cases(came, np.abs(came) >= FLAT, self.yesterday, self.volatility, stocks, self.dates, self.ends)
        return losses_of(Caller("", np.where(up, 0.6, 0.4), came), known)


def paths(moves: Floats, daily: Floats | float = DAILY_SD) -> Floats:
    """Straight paths to these moves on the last day, in units of a random walk's deviation after ten days."""
    size = np.sqrt(HORIZON) * daily * moves
    return 100 + size[:, None] * np.arange(1, HORIZON + 1) / HORIZON


def noise(case: Case, rng: np.random.Generator) -> Losses:
    """A small move at random for each window."""
    return case.errors(paths(0.3 * rng.standard_normal(len(case.rows))))


def one_view(case: Case, rng: np.random.Generator) -> Losses:
    """The same move for all tickers, drawn anew every 20 days."""
    views = 0.15 * rng.standard_normal(case.rows.max() // 20 + 1)
    return case.errors(paths(views[case.rows // 20]))


def diluted(share: float) -> Maker:
    """Half of the best possible move, and noise of this size in units of each window's volatility."""

    def make(case: Case, rng: np.random.Generator) -> Losses:
        noise = share * rng.standard_normal(len(case.rows))
        return case.errors(100 + 0.5 * (case.best - 100) + paths(noise, case.volatility) - 100)

    return make


def moody(share: float) -> Maker:
    """The same with noise of one size on all days."""

    def make(case: Case, rng: np.random.Generator) -> Losses:
        noise = share * rng.standard_normal(len(case.rows))
        return case.errors(100 + 0.5 * (case.best - 100) + paths(noise) - 100)

    return make


def coin(case: Case, rng: np.random.Generator) -> Losses:
    """A side at random for each decision."""
    return case.wrong_sides(rng.random(len(case.rows)) < 0.5)


def majority(case: Case, rng: np.random.Generator) -> Losses:
    """Always the side that was more frequent on the days before."""
    return case.wrong_sides(np.full(len(case.rows), case.rises.mean() > 0.5))


def one_side(case: Case, rng: np.random.Generator) -> Losses:
    """The same side for all tickers, drawn anew every 20 days."""
    return case.wrong_sides((rng.random(case.rows.max() // 20 + 1) < 0.5)[case.rows // 20])


def half_yesterday(case: Case, rng: np.random.Generator) -> Losses:
    """Yesterday's sign half of the time, else a coin."""
    known = rng.random(len(case.rows)) < 0.5
    return case.wrong_sides(np.where(known, case.yesterday > 0, rng.random(len(case.rows)) < 0.5))


def knowing(coins: float) -> Maker:
    """The best possible side, but for so many coins among the decisions."""

    def make(case: Case, rng: np.random.Generator) -> Losses:
        known = rng.random(len(case.rows)) >= coins
        return case.wrong_sides(np.where(known, case.best[:, 0] > 100, rng.random(len(case.rows)) < 0.5))

    return make


def knowing_wild(coins: float) -> Maker:
    """The best possible side where the volatility is above what it is on so many of the days, else a coin."""

    def make(case: Case, rng: np.random.Generator) -> Losses:
        wild = case.volatility >= np.quantile(case.volatility, coins)
        return case.wrong_sides(np.where(wild, case.best[:, 0] > 100, rng.random(len(case.rows)) < 0.5))

    return make


def calibrate(family: Callable[[float], Maker], wanted: float, seed: int, horizon: int, count: int = DATES) -> Maker:
    """The member of a family whose mean skill over many markets is the wanted one."""
    rng = np.random.default_rng(seed)
    cases = [Case("predictable", 10**6 + number, rng, count, horizon) for number in range(MARKETS[horizon])]
    low, high = 0.0, 1.0 if horizon == 1 else 2.0
    for _ in range(16):
        middle = (low + high) / 2
        draws = np.random.default_rng(seed)
        reached = np.mean([family(middle)(case, draws).skill() for case in cases])
        low, high = (middle, high) if reached > wanted else (low, middle)
    return family(low)


def fewest(horizon: int) -> int:
    """Fewest decision dates that get a verdict, and some to spare, for a few of them get no window."""
    needed = max(COMPARISON.min_dates, int(MIN_BLOCKS) * SPANS * horizon)
    return needed + max(3, needed // 12)


def forecasts(seed: int) -> dict[str, Kind]:
    """Who forecasts closes."""
    zero = calibrate(diluted, 0.0, seed, HORIZON)
    return {
        "noise": ("random_walk", noise, DATES),
        "one view": ("random_walk", one_view, DATES),
        "zero skill": ("predictable", zero, DATES),
        "moods": ("predictable", calibrate(moody, 0.0, seed, HORIZON), DATES),
        "fewest dates": ("predictable", zero, fewest(HORIZON)),
        "skill 0.10": ("predictable", calibrate(diluted, 0.1, seed, HORIZON), DATES),
    }


def calls(seed: int) -> dict[str, Kind]:
    """Who calls directions."""
    return {
        "coin": ("random_walk", coin, DATES),
        "majority": ("random_walk", majority, DATES),
        "one view": ("random_walk", one_side, DATES),
        "half yesterday": ("random_walk", half_yesterday, DATES),
        "zero skill": ("predictable", calibrate(knowing, 0.0, seed, 1), DATES),
        "moods": ("predictable", calibrate(knowing_wild, 0.0, seed, 1), DATES),
        "fewest dates": ("predictable", calibrate(knowing, 0.0, seed, 1, fewest(1)), fewest(1)),
        "skill 0.10": ("predictable", calibrate(knowing, 0.1, seed, 1), DATES),
    }


def print_rates(what: str, kinds: Mapping[str, Kind], horizon: int, evaluations: int, seed: int) -> None:
    """Prints how often the rule says what of each kind."""
    findings = get_args(get_args(Finding)[0])
    print(f"{evaluations} evaluations of each kind: {TICKERS} tickers, {horizon} days ahead")
    print(f"| {what} | mean skill | {' | '.join(findings)} |\n|{' --- |' * (len(findings) + 2)}")
    for name, (market, make, count) in kinds.items():
        found: Counter[str] = Counter()
        skills = []
        for number in range(evaluations):
            rng = np.random.default_rng([seed, number])
            ruling = judge(make(Case(market, seed * 10**5 + number, rng, count, horizon), rng), COMPARISON, number)
            skills.append(ruling.skill)
            found[ruling.finding] += 1
        shares = " | ".join(f"{found[finding] / evaluations:.1%}" for finding in findings)
        print(f"| {name} | {np.mean(skills):+.3f} | {shares} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["forecasts", "calls"])
    args = parser.parse_args()
    for what, horizon, kinds in (("forecasts", HORIZON, forecasts), ("calls", 1, calls)):
        if args.only not in (None, what):
            continue
        begun = time.monotonic()
        print_rates(what, kinds(args.seed), horizon, args.evaluations, args.seed)
        print(f"{time.monotonic() - begun:.0f} s\n")


if __name__ == "__main__":
    main()
