"""Builds terminal tables of forecasts and of their scores."""

from rich.table import Table

from stonk_pipeline.contracts.forecast.live.score import Record
from stonk_pipeline.contracts.forecast.live.words import bands_in_words
from stonk_pipeline.records.forward_log import LogEntry

SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)


def forecast_table(entry: LogEntry) -> Table:
    """Builds a table of the quantiles of each coming close."""
    late = ", late: its first session had closed" if entry.late else ""
    table = Table(
        title=f"{entry.stock} from {entry.last_close:.2f} on {entry.last_bar}, by {entry.model}, "
        f"{entry.answers} answers ({entry.readable:.0%} readable){late}",
        caption=bands_in_words(entry),
    )
    table.add_column("session")
    for level in SHOWN:
        table.add_column("median" if level == 0.5 else f"{level:.0%}", justify="right")
    table.add_column("median move", justify="right")
    rows = {level: entry.quantiles[entry.levels.index(level)] for level in SHOWN}
    for day, date in enumerate(entry.targets):
        move = rows[0.5][day] / entry.last_close - 1
        table.add_row(date, *(f"{rows[level][day]:.2f}" for level in SHOWN), f"{move:+.2%}")
    return table


def records_table(found: list[Record]) -> Table:
    """Builds a table of each model's mean scores."""
    table = Table(
        title="errors in percent of the last close; late forecasts do not count",
        caption="skill: over persistence; CRPS skill: over a random walk with volatility",
    )
    for heading in (
        "model",
        "counts",
        "forecasts",
        "days",
        "MAE",
        "persistence",
        "skill",
        "CRPS",
        "CRPS skill",
        "within",
    ):
        table.add_column(heading, justify="left" if heading in ("model", "counts", "within") else "right")
    for record in sorted(found, key=lambda record: (record.late, record.model)):
        table.add_row(
            record.model,
            "no, late" if record.late else "yes",
            str(record.forecasts),
            str(record.days),
            f"{record.mae:.3f}",
            f"{record.mae_persistence:.3f}",
            f"{record.skill:+.3f}",
            f"{record.crps:.3f}",
            "" if record.crps_skill is None else f"{record.crps_skill:+.3f}",
            ", ".join(f"{float(name):.0%}: {share:.0%}" for name, share in record.coverage.items()),
        )
    return table
