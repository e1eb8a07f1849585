"""Makes examples of windows, news and company facts: what is known at each decision, and its outcome.

Labels come from the stock's whole clean history, never from the rows that some filter left: the close `days_ahead`
bars after the decision's own bar.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from preprocessing.news import News, known
from stonk_pipeline.config.news import NewsConfig
from stonk_pipeline.contracts.direction.cases import Examples, label, ordered
from stonk_pipeline.contracts.direction.sections import ExamplesConfig
from stonk_pipeline.errors import ConfigError, DataError
from stonk_pipeline.schema import Company, Decision, History, Movement, Target, Window


def movement(history: History, date: str, days_ahead: int, flat_percent: float) -> Movement | None:
    """Computes the price move after a date; None where the history ends before.

    Args:
        history: all clean bars of the stock.
        date: of the decision (ISO).
        days_ahead: bars from its close to the one that is called.
        flat_percent: smaller moves are flat.

    Raises:
        DataError: the stock has no bar on that date.
    """
    row = bisect_left(history.dates, date)
    if row == len(history.dates) or history.dates[row] != date:
        raise DataError(f"{date}: no bar of this day in the stock's history; run preprocessing again")
    if row + days_ahead >= len(history.dates):
        return None
    change = 100.0 * (history.closes[row + days_ahead] / history.closes[row] - 1.0)
    return Movement(history.dates[row + days_ahead], change, label(change, flat_percent))


def decide(
    windows: Sequence[Window],
    targets: Sequence[Target],
    histories: Mapping[str, History],
    news: News,
    companies: Mapping[str, Company],
    *,
    examples: ExamplesConfig,
    clock: NewsConfig,
) -> Examples:
    """Makes the examples of one part of the split.

    Args:
        windows: of the part.
        targets: of the windows; their last days bound the part, and so the labels.
        histories: stock -> its clean bars, all of them.
        news: all headlines; each decision gets those known before its close.
        companies: ticker -> what is known of it; may lack some.
        examples: days ahead and the threshold of flat days.
        clock: when decisions are made, and which news they get.

    Raises:
        ConfigError: a label would lie after its window's target, perhaps in the next part.
    """
    decisions, movements = [], []
    for window, target in zip(windows, targets, strict=True):
        came = movement(histories[window.stock], window.date, examples.days_ahead, examples.flat_percent)
        if came is None or came.end > target.end:
            raise ConfigError(
                f"{window.stock}, {window.date}: {examples.days_ahead} days ahead lie beyond the window's horizon, "
                "which keeps the parts of the split apart; raise data.horizon to days_ahead or more"
            )
        headlines = known(news, window.stock, window.date, clock)
        decisions.append(Decision(window, companies.get(window.stock), headlines))
        movements.append(came)
    return ordered(decisions, movements)
