"""The promotion rule by simulation: on the generated market and its random-walk twin, where the truth is known."""

import functools

import numpy as np
import pytest

from stonk_pipeline.config.data import MarketConfig
from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.evaluation.losses import Losses
from stonk_pipeline.market.bars import best_possible, generate
from stonk_pipeline.registry.promotion import decide, trial_level
from stonk_pipeline.schema import CLOSE, DATE

HORIZON = 10
TRIES = 20


class Market:
    """Test windows of a generated market, in percent of their last close."""

    def __init__(self, kind: str, seed: int) -> None:
        config = MarketConfig(kind=kind, tickers=6, days=900, seed=seed)
        rows = np.arange(500, 900 - HORIZON)
        truth, best, self.dates, self.ends, self.stocks = [], [], [], [], []
        for stock, bars in generate(config).items():
            close, days = bars[CLOSE].to_numpy(), bars[DATE].dt.strftime("%Y-%m-%d").to_numpy()
            scale = 100 / close[rows][:, None]
            truth.append(close[rows[:, None] + np.arange(1, HORIZON + 1)] * scale)
            best.append(best_possible(bars, config, HORIZON)[rows] * scale)
            self.dates += days[rows].tolist()
            self.ends += days[rows + HORIZON].tolist()
            self.stocks += [stock] * len(rows)
        self.truth, self.best = np.concatenate(truth), np.concatenate(best)

    def losses(self, forecast: np.ndarray) -> np.ndarray:
        return np.abs(forecast - self.truth).mean(axis=1)

    def skilled(self, share: float) -> np.ndarray:
        """Losses of a forecaster that sees so much of what can be known."""
        return self.losses(100 + share * (self.best - 100))

    def random(self, rng: np.random.Generator, around: float = 0.0) -> np.ndarray:
        """Losses of a forecaster with an opinion on each stock, year by year, that follows from nothing."""
        years = [f"{stock} {date[:4]}" for stock, date in zip(self.stocks, self.dates, strict=True)]
        drift = dict(zip(dict.fromkeys(years), rng.normal(0, 0.005, len(set(years))), strict=True))
        daily = np.array([drift[year] for year in years])[:, None]
        return self.losses(100 + around * (self.best - 100) + daily * np.arange(1, HORIZON + 1))

    def decide(self, challenger: np.ndarray, champion: np.ndarray | None, trial: int = 1):
        flat = self.losses(np.full_like(self.truth, 100.0))
        return decide_over(challenger, champion, flat, self.dates, self.ends, trial=trial, resamples=200)


def decide_over(challenger, champion, baseline, dates, ends, trial=1, resamples=500):
    """Decides with the losses of challenger, champion (or None) and persistence."""
    own, theirs = (
        None if losses is None else Losses(losses, baseline, "persistence", tuple(dates), tuple(ends))
        for losses in (challenger, champion)
    )
    return decide(own, theirs, trial=trial, comparison=ComparisonConfig(resamples=resamples), seed=0)


@functools.cache
def market(kind: str, seed: int) -> Market:
    return Market(kind, seed)


@pytest.mark.parametrize("seed", range(3))
def test_decide_promotes_a_better_challenger(seed):
    where = market("predictable", seed)
    first = where.decide(where.skilled(0.5), None)
    assert first.promote, first.sentence
    later = where.decide(where.skilled(0.9), where.skilled(0.3))
    assert later.promote, later.sentence
    assert later.over_champion.skill > 0.03
    assert later.sentence.startswith("Promoted: on 390 dates")


@pytest.mark.parametrize("seed", range(3))
def test_decide_refuses_a_worse_challenger_though_it_beats_persistence(seed):
    where = market("predictable", seed)
    decision = where.decide(where.skilled(0.3), where.skilled(0.9))
    assert decision.outcome == "refused"
    assert decision.over_persistence.holds(decision.level)
    assert not decision.over_champion.holds(decision.level)
    assert "does not beat the champion beyond luck" in decision.sentence


@pytest.mark.parametrize("seed", range(3))
def test_decide_refuses_one_that_beats_the_champion_but_not_persistence(seed):
    where = market("random_walk", seed)
    bad = where.losses(100 + np.random.default_rng(seed).normal(0, 3, where.truth.shape))
    good = where.losses(100 + np.random.default_rng(seed + 9).normal(0, 0.1, where.truth.shape))
    decision = where.decide(good, bad)
    assert decision.over_champion.holds(decision.level)
    assert decision.outcome == "refused"


@pytest.mark.parametrize(("kind", "champion"), [("random_walk", None), ("predictable", 0.6)])
def test_decide_refuses_the_luckiest_of_many_tries(kind, champion):
    promoted, ahead, best = 0, 0, []
    for seed in range(4):
        where, rng = market(kind, seed), np.random.default_rng([seed, 1])
        reigning = None if champion is None else where.skilled(champion)
        margins = []
        for trial in range(1, TRIES + 1):
            decision = where.decide(where.random(rng, champion or 0.0), reigning, trial)
            promoted += decision.promote
            margins.append(decision.over_champion or decision.over_persistence)
        ahead += sum(margin.skill > 0 for margin in margins)
        best.append(min(margin.p_value for margin in margins))
    assert promoted == 0
    assert ahead >= 8  # whoever goes by the bare numbers has a new champion in every market
    assert min(best) < 0.1  # and a try that looks like one in ten by itself is found among twenty


def test_decide_lets_luck_through_as_often_as_it_says_and_no_more():
    # Pure chance against persistence, as losses: overlapping by a horizon, one window a date.
    rng, count = np.random.default_rng(5), 260
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-01-01") + count + HORIZON).astype(str).tolist()
    flat, p_values = np.full(count, 2.0), []
    for _ in range(240):
        noise = np.convolve(rng.normal(0, 0.2, count + HORIZON - 1), np.ones(HORIZON) / HORIZON, mode="valid")
        decision = decide_over(flat + noise, None, flat, days[:count], days[HORIZON:], resamples=100)
        assert decision.promote == decision.over_persistence.holds(trial_level(1, 0.95))
        p_values.append(decision.over_persistence.p_value)
    rows = np.array(p_values).reshape(-1, 6)
    assert (rows <= trial_level(1, 0.95)).mean() < 0.03  # 0.0125
    levels = np.array([trial_level(trial, 0.95) for trial in range(1, 7)])
    assert (rows <= levels).any(axis=1).mean() < 0.08  # alpha is 0.025; 40 rows
    assert (rows <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_trial_levels_add_up_to_no_more_than_alpha():
    levels = [trial_level(trial, 0.95) for trial in range(1, 10_000)]
    assert sum(levels) == pytest.approx(0.025, rel=1e-3)
    assert sum(levels) < 0.025
    assert levels == sorted(levels, reverse=True)


def test_decide_demands_more_of_a_later_trial():
    where = market("predictable", 0)
    rng = np.random.default_rng(1)
    reigning = where.skilled(0.5)
    barely = next(
        losses
        for share in np.arange(0.52, 1.0, 0.01)
        for losses in [where.losses(100 + share * (where.best - 100) + rng.normal(0, 0.3, where.truth.shape))]
        if where.decide(losses, reigning).promote
    )
    decision = where.decide(barely, reigning, trial=40)
    assert decision.outcome == "refused"
    assert decision.over_champion.low > 0


def test_decide_asks_for_enough_data():
    where = market("predictable", 0)
    few = [place for place, date in enumerate(where.dates) if date < sorted(set(where.dates))[60]]
    take = np.array(few)
    flat = where.losses(np.full_like(where.truth, 100.0))[take]
    dates, ends = [where.dates[i] for i in few], [where.ends[i] for i in few]
    decision = decide_over(where.skilled(1.0)[take], None, flat, dates, ends, resamples=200)
    assert decision.outcome == "too little data"
    assert decision.over_persistence is None
    nothing = decide(None, None, trial=1, comparison=ComparisonConfig(), seed=0)
    assert nothing.outcome == "too little data"
    assert nothing.dates == 0


def crowded(seed: int, on_crowded: float, on_quiet: float) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Losses of two rivals whose windows lie mostly on a few crowded dates, as where records name many stocks a day."""
    rng = np.random.default_rng(seed)
    days = [str(day) for day in np.datetime64("2019-01-01") + np.arange(400)]
    counts = np.where(rng.random(len(days)) < 0.1, 50, 1)
    gain = np.repeat(np.where(counts > 1, on_crowded, on_quiet), counts)
    rival = 1.0 + rng.random(len(gain)) / 10
    dates = np.repeat(days, counts).tolist()
    return rival - gain - rng.normal(0, 0.05, len(gain)), rival, dates, dates


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("on_crowded", "on_quiet"), [(0.15, -0.3), (-0.15, 0.3), (0.1, 0.1), (0.0, 0.0), (0.02, -0.1)])
def test_interval_and_p_value_agree_on_who_is_ahead(seed, on_crowded, on_quiet):
    own, rival, dates, ends = crowded(seed, on_crowded, on_quiet)
    margin = decide_over(own, None, rival, dates, ends).over_persistence
    assert (margin.p_value < 0.5) == (margin.skill > 0)
    if margin.low > 0:
        assert margin.p_value < 0.05
    if margin.high < 0:
        assert margin.p_value > 0.95


def test_decide_promotes_who_is_ahead_where_most_windows_are():
    own, rival, dates, ends = crowded(0, 0.15, -0.3)
    made = decide_over(own, None, rival, dates, ends)
    assert made.outcome == "promoted"


def test_decide_refuses_a_copy_of_the_champion():
    where = market("predictable", 0)
    decision = where.decide(where.skilled(0.8), where.skilled(0.8))
    assert decision.outcome == "refused"
    assert decision.over_champion.p_value == 1.0
