"""Tells for a model card what a forecasting model is asked, how well it did, and what it cannot do."""

from preprocessing import reading
from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contract import Card
from stonk_pipeline.contracts.forecast.page.looks import label
from stonk_pipeline.contracts.forecast.question import answer, messages
from stonk_pipeline.contracts.forecast.scores.results import Comparison, read_comparison
from stonk_pipeline.contracts.forecast.scores.rows import Row
from stonk_pipeline.contracts.forecast.scores.verdict import best_row
from stonk_pipeline.contracts.forecast.settings import PipelineConfig
from stonk_pipeline.evaluation.results import TOO_FEW
from stonk_pipeline.files.brief import first_names
from stonk_pipeline.pipeline.graph import COMPARE, PREPROCESS
from stonk_pipeline.pipeline.run import Run

SCALES = {
    "rebased": "Closes are divided by the last one shown and multiplied by 100, so that the last one is 100. An answer "
    "times the last price, divided by 100, is a price again.",
    "standard": "Closes are standardised by mean and deviation of the stock's training part (`scales` in its "
    "`dataset.json`); an answer is a price again after the way back.",
    "raw": "Closes and answers are prices.",
}


def card(config: PipelineConfig, run: Run | None, stocks: list[str]) -> Card:
    """Tells what a model card says of a forecasting model.

    Args:
        config: the settings that it was trained with.
        run: the run of its training and comparison; None where it is not at hand.
        stocks: that it was trained on.
    """
    horizon, decimals = config.data.horizon, config.prompt.decimals
    bar = "week" if config.data.bars == "weekly" else "trading day"
    shown = [name for name in ("indicators", "statistics") if getattr(config.prompt, name)]
    does = (
        f"It is shown {config.data.window} closes of a stock{', with ' + ' and '.join(shown) if shown else ''}, and "
        f"answers with the closes of the next {horizon} {bar}s. {SCALES[config.data.normalisation]}"
    )
    use = (
        f"A forecast is the median of {config.comparison.samples} answers, drawn at temperature "
        f"{config.comparison.temperature:g}; single answers vary more. An answer that is not of this form, or has not "
        f"{horizon} numbers, counts as the last close repeated."
    )
    limits = (
        f"It knows windows of {config.data.window} closes and {horizon} {bar}s ahead, in this wording alone.",
        "The spread of its answers is no calibrated interval.",
    )
    values = (100.0,) * horizon
    made = Card(does, data(config, stocks), answer("reasoning", values, decimals), use, limits)
    if run is None:
        return made
    window = reading.read_split(run.stage_dir(PREPROCESS.name), "test")[0][0]
    comparison = read_comparison(run.stage_dir(COMPARE))
    final = comparison.row(comparison.verdict.model)
    return made._replace(
        tested=f"{final.windows} windows (stocks: {final.stocks}, dates of decision: {final.dates}, from "
        f"{comparison.first_date} to {comparison.last_date})",
        scores=scores(comparison, final),
        messages=messages(window, config.prompt, horizon),
        answer=answer("reasoning", (window.last,) * horizon, decimals),
    )


def data(config: PipelineConfig, stocks: list[str]) -> str:
    """Says in words which bars they are."""
    if config.data.data_dir == EMBEDDED:
        kind = config.data.market.kind.replace("_", " ")
        return (
            f"Generated bars ({kind} market, tickers: {len(stocks)}): no exchange has seen these prices, and a skill "
            "on them says nothing of real stocks"
        )
    return f"Real {config.data.bars} bars of {first_names(stocks)}"


def scores(comparison: Comparison, final: Row) -> tuple[tuple[str, str], ...]:
    """Lists skill over persistence: the model's, the best baseline's (chosen with hindsight) and the best possible."""
    best = best_row(comparison.rows)
    told = [("this model", final), (f"{label(best.name)}, the best numeric baseline", best)]
    told += [
        ("the best possible forecast, known as the market is generated", row)
        for row in comparison.rows
        if row.kind == "best possible"
    ]
    return tuple((name, f"skill {row.skill:+.1%} ({_between(row)})") for name, row in told)


def _between(row: Row) -> str:
    if row.skill_low is None or row.skill_high is None:
        return TOO_FEW
    return f"{row.skill_low:+.1%} to {row.skill_high:+.1%}"
