"""The comparison stage: the same test windows for every model, answers read, scored and written down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline import dataset, forecast
from stonk_pipeline.config import ComparisonStage
from stonk_pipeline.evaluation.baselines import all_baselines
from stonk_pipeline.evaluation.compare import compare, without_read
from stonk_pipeline.evaluation.results import Comparison, write_comparison
from stonk_pipeline.report import write_pictures
from stonk_pipeline.runs import Progress, Stage
from stonk_pipeline.sampling.engines import Draws, choose_engine, open_engine
from stonk_pipeline.sampling.prompts import questions
from stonk_pipeline.schema import Forecast, Target, Unreadable, Window
from stonk_pipeline.training import models

ROLES = {"base": None, "grpo_1st": "grpo_1st", "sft": "sft", "grpo_2nd": "grpo_2nd"}
"""Model -> name of the input that holds its adapter."""


def run(config: ComparisonStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Compares base, first GRPO, SFT and second GRPO model with baselines and the best possible forecast.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; `grpo_1st`, `sft`, `grpo_2nd`: training stages (those that exist).
        out: receives `comparison.{json,csv}`, `verdict.json`, `windows.csv` and `forecasts/{model}.parquet`.
        progress: receives the windows answered so far, over all models.

    Returns:
        Numbers of the run: verdict and each model's skill.
    """
    windows, targets = dataset.read_split(inputs["dataset"], "test")
    windows, targets = dataset.spread(windows, targets, config.comparison.windows, config.seed)
    roles = {role: name for role, name in ROLES.items() if name is None or name in inputs}
    answers: dict[str, list[list[Forecast | Unreadable]]] = {}
    for place, (role, name) in enumerate(roles.items()):
        adapter = inputs[name] / models.ADAPTER if name else None
        texts = ask(config, windows, len(targets[0].values), adapter, out, _part(progress, place, len(roles), role))
        answers[role] = forecast.read_all(texts, windows, len(targets[0].values))
        _write_forecasts(out / "forecasts" / f"{role}.parquet", windows, texts, answers[role])
    _write_windows(out / "windows.parquet", windows, targets)
    histories, horizon = dataset.read_histories(inputs["dataset"]), len(targets[0].values)
    train = dataset.read_split(inputs["dataset"], "train")
    others = all_baselines(windows, horizon, train, histories, config.seed)
    best_possible = dataset.read_best_possible(inputs["dataset"])
    ahead = [dataset.dates_ahead(window, histories[window.stock], horizon) for window in windows]

    def compare_some(places: list[int]) -> Comparison:
        return compare(
            [windows[place] for place in places],
            [targets[place] for place in places],
            {role: [given[place] for place in places] for role, given in answers.items()},
            {name: values[places] for name, values in others.items()},
            best_possible,
            config.comparison,
            config.seed,
            config.prompt.decimals,
            ahead=[ahead[place] for place in places],
        )

    comparison = compare_some(list(range(len(windows))))
    if config.model.knowledge_cutoff is not None:
        comparison = without_read(comparison, config.model.knowledge_cutoff, windows, compare_some)
    write_comparison(comparison, out)
    write_pictures(comparison, out)
    return {"verdict": comparison.verdict.finding, "windows": len(windows)} | {
        f"skill_{row.name}": row.skill for row in comparison.rows
    }


def ask(
    config: ComparisonStage, windows: list[Window], horizon: int, adapter: Path | None, out: Path, progress: Progress
) -> list[list[str]]:
    """A model's answers to every window, with the comparison's engine and sampling settings.

    Args:
        config: settings.
        windows: what to ask about.
        horizon: closes to forecast.
        adapter: adapter directory, or None for the base model.
        out: where a `scratch` directory may be made.
        progress: receives the windows answered so far.
    """
    comparison = config.comparison
    # On a CPU an engine start costs more than the answers; on CUDA vLLM is worth it.
    kind = choose_engine(comparison.engine, prefer_vllm=models.cuda())
    engine = open_engine(kind, config.model, adapter, seed=config.seed, scratch=out / "scratch")
    room, limit = comparison.max_tokens, config.model.max_seq_length
    prompts = questions(engine.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)
    draws = Draws(comparison.samples, comparison.temperature, comparison.top_p, room, config.seed)
    return engine.sample(prompts, draws, progress)


def _part(progress: Progress, place: int, parts: int, role: str) -> Progress:
    def report(done: int, total: int, note: str) -> None:
        progress(place * total + done, parts * total, f"{role}: {done} of {total} {note}")

    return report


def _write_forecasts(
    path: Path, windows: list[Window], texts: list[list[str]], answers: list[list[Forecast | Unreadable]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "stock": window.stock,
            "date": window.date,
            "sample": sample,
            "completion": text,
            "reason": answer.reason if isinstance(answer, Unreadable) else None,
            "values": list(answer.values) if isinstance(answer, Forecast) else None,
        }
        for window, of_texts, of_answers in zip(windows, texts, answers, strict=True)
        for sample, (text, answer) in enumerate(zip(of_texts, of_answers, strict=True))
    ]
    schema = pa.schema(
        [
            ("stock", pa.string()),
            ("date", pa.string()),
            ("sample", pa.int64()),
            ("completion", pa.string()),
            ("reason", pa.string()),
            ("values", pa.list_(pa.float64())),
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def _write_windows(path: Path, windows: list[Window], targets: list[Target]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "stock": window.stock,
            "date": window.date,
            "context": list(window.context),
            "target": list(target.values),
            "price_offset": window.price_offset,
            "price_unit": window.price_unit,
        }
        for window, target in zip(windows, targets, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


STAGE = Stage("model_comparison", ComparisonStage, run)
