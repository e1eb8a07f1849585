"""Builds terminal tables of registered models and their comparisons."""

from typing import Any

from rich.table import Table

from stonk_pipeline.pipeline.notes import counted
from stonk_pipeline.registry.entries import Entry
from stonk_pipeline.registry.store import Registry


def models_table(registry: Registry, key: str) -> Table:
    """Builds a table of the models of a key, oldest first."""
    tried = counted(registry.trials_since_promotion(key), "comparison")
    table = Table(title=f"{key}: {tried} since the last promotion by test")
    for heading in ("model", "registered", "trained to", "seen to", "stocks", "skill", "verdict", "state"):
        table.add_column(heading, justify="right" if heading in ("stocks", "skill") else "left")
    line = registry.champions(key).line
    for entry in registry.entries(key):
        verdict = entry.verdict
        table.add_row(
            entry.id,
            entry.registered[:16].replace("T", " "),
            entry.train_last,
            entry.seen_until,
            str(len(entry.stocks)),
            f"{verdict.skill:+.3f}" if verdict else "",
            verdict.headline[0] if verdict else "not compared",
            _state(entry, line),
        )
    return table


def _state(entry: Entry, line: tuple[str, ...]) -> str:
    if line and entry.id == line[-1]:
        return "champion"
    if entry.pruned is not None:
        return "pruned"
    return "champion before" if entry.id in line else ""


def entry_table(registry: Registry, entry: Entry) -> Table:
    """Builds a table of one model, and how it became champion."""
    table = Table(title=f"model {entry.id}", show_header=False)
    facts = {
        "key": entry.key,
        "state": _state(entry, registry.champions(entry.key).line) or "challenger",
        "registered": entry.registered,
        "run": f"{entry.run} ({entry.step})",
        "base model": entry.base_model,
        "adapter": str(registry.entry_dir(entry) / "adapter"),
        "data digest": entry.data_digest,
        "stocks": ", ".join(entry.stocks[:12]) + (" …" if len(entry.stocks) > 12 else ""),
        "trained on": f"{entry.train_first} to {entry.train_last}",
        "seen until": entry.seen_until,
        "verdict": entry.verdict.sentence if entry.verdict else "not compared",
        "seed": str(entry.seed),
        "code": entry.git_commit or "unknown",
        "versions": ", ".join(f"{name} {version}" for name, version in entry.versions.items()),
    }
    for name, value in facts.items():
        table.add_row(name, value)
    for change in registry.champions(entry.key).history:
        if change.model == entry.id:
            table.add_row("champion", f"{change.stamp[:16]} by {change.how}: {change.reason}")
    return table


def trials_table(trials: list[dict[str, Any]]) -> Table:
    """Builds a table of comparisons, oldest first."""
    table = Table(title="comparisons")
    for heading in ("when", "challenger", "champion", "trial", "p allowed", "p persistence", "p champion", "outcome"):
        table.add_column(heading)
    for trial in trials:
        decision = trial["decision"]
        margins = [decision["over_persistence"], decision["over_champion"]]
        table.add_row(
            trial["stamp"][:16].replace("T", " "),
            trial["challenger"],
            trial["champion"] or "none",
            str(decision["trial"]),
            f"{decision['level']:.2g}",
            *("" if margin is None else f"{margin['p_value']:.2g}" for margin in margins),
            decision["outcome"],
        )
    return table
