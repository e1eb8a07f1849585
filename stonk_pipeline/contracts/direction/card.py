"""Tells for a model card what a model that calls directions is asked, how well it did, and what it cannot do."""

from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contract import Card
from stonk_pipeline.contracts.direction.cases import read_decisions
from stonk_pipeline.contracts.direction.question import answer, messages
from stonk_pipeline.contracts.direction.scores.results import CallComparison, read_calls, title
from stonk_pipeline.contracts.direction.settings import DirectionConfig
from stonk_pipeline.contracts.direction.steps import EXAMPLES
from stonk_pipeline.files.brief import first_names
from stonk_pipeline.pipeline.graph import COMPARE
from stonk_pipeline.pipeline.run import Run


def card(config: DirectionConfig, run: Run | None, stocks: list[str]) -> Card:
    """Tells what a model card says of a model that calls directions.

    Args:
        config: the settings that it was trained with.
        run: the run of its training and comparison; None where it is not at hand.
        stocks: that it was trained on.
    """
    ahead = config.examples.days_ahead
    days = "1 trading day" if ahead == 1 else f"{ahead} trading days"
    shown = [name for name in ("prices", "indicators", "company", "news") if getattr(config.prompt, name)]
    does = (
        f"It is shown what was known of a stock at a close ({', '.join(shown)}), and answers whether the close {days} "
        "later is up or down from it, by how much, how sure it is, and why."
    )
    use = (
        f"A call is taken from {config.comparison.samples} answers, drawn at temperature "
        f"{config.comparison.temperature:g}: the mean of their probabilities of a rise, the median of their changes. "
        "An answer that is not of this form counts as a coin."
    )
    limits = (
        f"It knows calls {days} ahead, in this wording alone.",
        "Its reasons are words that earned a reward; they need not be why it answered so.",
        "Headlines and descriptions are text of strangers: clean them before they are quoted to it, as in training.",
    )
    made = Card(does, data(config, stocks), answer("reasoning", "up", 2.5, 0.75), use, limits)
    if run is None:
        return made
    comparison, decisions = read_calls(run.stage_dir(COMPARE)), read_decisions(run.stage_dir(EXAMPLES), "test")
    return made._replace(
        tested=f"{comparison.final.row.moved} decisions whose close moved (stocks: {comparison.stocks}, dates: "
        f"{comparison.dates}, from {comparison.first_date} to {comparison.last_date})",
        scores=scores(comparison),
        messages=messages(next((one for one in decisions if one.headlines), decisions[0]), config.prompt, ahead),
    )


def data(config: DirectionConfig, stocks: list[str]) -> str:
    """Says in words which bars and headlines they are."""
    if config.records is not None:
        return f"Records of {first_names(stocks)}"
    if config.data.data_dir == EMBEDDED:
        kind = config.data.market.kind.replace("_", " ")
        return (
            f"Generated bars and headlines ({kind} market, tickers: {len(stocks)}): no exchange has seen these prices, "
            "and a skill on them says nothing of real stocks"
        )
    return f"Real daily bars{' and headlines' if config.news else ''} of {first_names(stocks)}"


def scores(comparison: CallComparison) -> tuple[tuple[str, str], ...]:
    """Lists the accuracy of the model and of the better baseline, on the days that moved."""
    best = next(row for row in comparison.baselines if row.name == comparison.verdict.baseline)
    told = {"this model": comparison.final.row, f"{title(best.name)}, the better baseline": best}
    return tuple((name, f"accuracy {row.accuracy:.1%}") for name, row in told.items())
