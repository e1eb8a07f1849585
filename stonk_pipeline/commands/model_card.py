"""Writes the model card of an exported model: what it is asked, how well it did on which data, and its limits."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stonk_pipeline.commands.export_source import Source
from stonk_pipeline.config.data import EMBEDDED
from stonk_pipeline.contract import Card
from stonk_pipeline.files.untrusted import shown
from stonk_pipeline.models.locations import EMBEDDED_MODELS, is_fetched
from stonk_pipeline.models.packaged import PACKAGED
from stonk_pipeline.report.frame import flat

CARD = "README.md"
TAG = "stonk-pipeline"
LIBRARIES = ("torch", "transformers", "trl", "peft", "unsloth")
"""Whose versions the card names."""
MOST_CHARACTERS = 200
"""Of a setting's value."""


def write_card(source: Source, card: Card, serve: str, out: Path) -> None:
    """Writes `README.md` into an exported model's directory.

    Args:
        source: the model.
        card: what its contract tells of it.
        serve: the command that serves it.
        out: the directory.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, whose only strangers' text stands in a fence that it cannot close
    )
    config, verdict = source.config, source.verdict
    base = config.model.name if is_fetched(config.model) or config.model.name in EMBEDDED_MODELS else config.model_name
    text = jinja.get_template(f"{Path(__file__).stem}.md.j2").render(
        front=yaml.safe_dump(front_matter(source), sort_keys=False).strip(),
        title=f"{config.model_name}, trained by Stonk Pipeline on {config.stock_name}",
        control=config.control,
        card=card,
        verdict=verdict and verdict.model_dump(),
        untested=source.untested,
        days=source.days,
        serve=serve,
        fence=fence_around(card),
        base=base + (f" at commit {config.model.revision}" if config.model.revision else ""),
        cutoff=config.model.knowledge_cutoff,
        settings=changed_settings(source),
        seed=config.seed,
        commit=source.commit,
        versions={name: source.versions[name] for name in LIBRARIES if name in source.versions},
    )
    (out / CARD).write_text(re.sub(r"\n{3,}", "\n\n", text), encoding="utf-8")


def front_matter(source: Source) -> dict[str, Any]:
    """Builds the card's metadata, as the hub reads it."""
    model = source.config.model
    origin = PACKAGED[model.name].origin if model.name in PACKAGED else model.name
    base = {"base_model": origin, "base_model_relation": "finetune"} if is_fetched(model) else {}
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        **base,
        "tags": [TAG, source.contract.name, "time-series-forecasting"],
    }


def fence_around(card: Card) -> str:
    """Returns a Markdown fence that no text of the card can close."""
    texts = [card.answer, *(message["content"] for message in card.messages or [])]
    runs = [len(run) for text in texts for run in re.findall("`+", text)]
    return "`" * max([3, *(length + 1 for length in runs)])


def changed_settings(source: Source) -> list[tuple[str, str]]:
    """Lists the settings that make the model and its scores and differ from the defaults; places on a disk are named.

    Returns:
        Dotted name and value, in the order of the settings.
    """
    told = (*source.contract.distinguishing, "comparison")
    defaults = source.contract.settings().model_dump(mode="json")
    own = source.config.model_dump(mode="json")
    usual = dict(flat({name: defaults[name] for name in told}))
    return [
        (name, _value(name, value))
        for name, value in flat({name: own[name] for name in told})
        if value != usual.get(name)
    ]


def _value(name: str, value: Any) -> str:
    if name in ("data.data_dir", "model.name", "comparison.chronos") and value not in (None, EMBEDDED):
        value = Path(str(value)).name if Path(str(value)).exists() else value
    text = "none" if value is None else str(value)
    return shown(text.replace("|", "\\|"), MOST_CHARACTERS)


def sampling(config: Any) -> Mapping[str, Any]:
    """Returns what its answers were drawn with in the test, as transformers names it; vLLM reads it too."""
    asked = config.comparison
    return {
        "do_sample": True,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": 0,
        "max_new_tokens": asked.max_tokens,
    }
