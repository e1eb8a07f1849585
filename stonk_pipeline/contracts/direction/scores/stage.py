"""Runs the evaluation of directions: the gate after stage I, the comparison at the end, the test of an adapter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from preprocessing.reading import spread_rows
from stonk_pipeline.contracts.direction.cases import Examples, read_examples
from stonk_pipeline.contracts.direction.page.pictures import write_pictures
from stonk_pipeline.contracts.direction.question import SHORTER, messages, read_all
from stonk_pipeline.contracts.direction.scores.answers import write_answers
from stonk_pipeline.contracts.direction.scores.gate import transition
from stonk_pipeline.contracts.direction.scores.results import (
    EVALUATION,
    MODELS,
    TRANSITION,
    CallComparison,
    GateRecord,
    read_transition,
    write_calls,
)
from stonk_pipeline.contracts.direction.scores.scores import Answers, compare_calls, judge_gate
from stonk_pipeline.contracts.direction.scores.summary import LOG, summary
from stonk_pipeline.contracts.direction.settings import CallsStage
from stonk_pipeline.errors import StageError
from stonk_pipeline.files.untrusted import finite, read_table, reason
from stonk_pipeline.models.load import ADAPTER
from stonk_pipeline.runs.manifest import Progress, Stage, write_atomic
from stonk_pipeline.sampling.ask import alone, draw, part
from stonk_pipeline.sampling.prompts import render

TRAINING_LOG = "training_log.csv"
PICTURES = "pictures"


def run_gate(config: CallsStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Compares stage I with the conditions of stage II, on the validation part.

    Args:
        config: settings, with the rewards of stage I.
        inputs: `examples`, and `stage_one`, a training stage.
        out: receives `transition.json`, `evaluation.json` and `calls/stage_one.parquet`.
        progress: receives the decisions answered so far.

    Returns:
        What the gate says, and its figures.

    Raises:
        StageError: an input is missing or damaged, or no day of the part moved.
    """
    examples = some(config, inputs["examples"], "val")
    losses = read_log(inputs["stage_one"])["loss"].astype(float).tolist()
    answers = ask(config, "stage_one", inputs["stage_one"] / ADAPTER, examples, out, progress)
    return finish_gate(judge_gate(examples, answers, losses, config, "stage_one"), config, out)


def finish_gate(record: GateRecord, config: CallsStage, out: Path) -> dict[str, Any]:
    """Writes `transition.json` and `evaluation.json`; returns the numbers of the stage."""
    found = transition(record.figures, config.gate)
    write_atomic(out / TRANSITION, found.model_dump_json(indent=2))
    write_atomic(out / EVALUATION, record.model_dump_json(indent=2))
    return {"passed": found.passed, "go_on": found.go_on, "alarm": found.alarm, "says": found.sentence} | (
        record.figures.model_dump(exclude={"real_data"})
    )


def run_comparison(config: CallsStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Compares the base model and those of both stages with the majority class and yesterday's sign.

    Args:
        config: settings, with the rewards that are reported.
        inputs: `examples`; `stage_one` and perhaps `stage_two`, training stages; `gate`, which may be missing.
        out: receives `calls/{model}.parquet` and the files of `finish`.
        progress: receives the decisions answered so far, over all models.

    Returns:
        Numbers of the run: verdict, and each model's accuracy and reward.

    Raises:
        StageError: an input is missing or damaged, or no day of the part moved.
    """
    examples = some(config, inputs["examples"], "test")
    gate = read_transition(inputs["gate"]) if "gate" in inputs else None
    roles = [role for role in MODELS if role == "base" or role in inputs]
    logs = {role: read_log(inputs[role]) for role in roles if role in inputs}
    answers = {}
    for place, role in enumerate(roles):
        adapter = inputs[role] / ADAPTER if role in inputs else None
        answers[role] = ask(config, role, adapter, examples, out, part(progress, place, len(roles), role))
    share = informative_share(inputs["examples"])
    comparison = compare_calls(examples, answers, config, gate=gate, informative_share=share)
    return finish(comparison, out, logs)


def evaluate_calls(
    config: CallsStage,
    examples_dir: Path,
    adapter: Path | None,
    out: Path,
    progress: Progress,
    *,
    name: str | None = None,
    wait_minutes: float = 0.0,
) -> CallComparison:
    """Tests a saved adapter, or the base model, on the test decisions of a run; outside of a stage.

    Args:
        config: settings, with the rewards that are reported.
        examples_dir: output of the examples stage.
        adapter: adapter directory, or None for the base model.
        out: receives `calls/{name}.parquet` and the files of `finish`; made where it is missing.
        progress: receives the decisions answered so far.
        name: of the model in files and pictures; not given: of the adapter's directory, or `base`.
        wait_minutes: longest wait for an accelerator that another process holds.

    Raises:
        StageError: there are no examples or no adapter, or no day of the part moved.
        BusyError: another process computed on the accelerator all the time.
    """
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        raise StageError(f"{adapter}: no adapter here (adapter_config.json); give the folder that holds it")
    examples, called = some(config, examples_dir, "test"), name or name_of(adapter)
    out.mkdir(parents=True, exist_ok=True)
    with alone("test", wait_minutes, config.model) as scratch:
        answers = ask(config, called, adapter, examples, out, progress, scratch)
    share = informative_share(examples_dir)
    comparison = compare_calls(examples, {called: answers}, config, informative_share=share)
    finish(comparison, out, {})
    return comparison


def finish(comparison: CallComparison, out: Path, logs: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Writes a comparison's files: those of `write_calls`, `test_results.log`, and the pictures.

    Args:
        comparison: the numbers.
        out: directory of the stage.
        logs: model -> `training_log.csv` of its training.

    Returns:
        Numbers of the stage.
    """
    write_calls(comparison, out)
    write_atomic(out / LOG, summary(comparison))
    write_pictures(comparison, logs, out / PICTURES)
    numbers: dict[str, Any] = {"verdict": comparison.verdict.finding, "alarm": comparison.alarm}
    numbers |= {"decisions": comparison.rows[0].decisions, "moved": comparison.rows[0].moved}
    numbers |= {f"accuracy_{row.name}": row.accuracy for row in comparison.rows}
    return numbers | {f"reward_{model.name}": model.reward for model in comparison.models}


def ask(
    config: CallsStage,
    model: str,
    adapter: Path | None,
    examples: Examples,
    out: Path,
    progress: Progress,
    scratch: Path | None = None,
) -> Answers:
    """Samples a model's answers to every decision, parses them, and writes `calls/{model}.parquet`.

    Args:
        config: settings.
        model: its name.
        adapter: adapter directory, or None for the base model.
        examples: what to ask about; what came is not shown.
        out: directory of the stage.
        progress: receives the decisions answered so far.
        scratch: where merged weights may be written; not given: in `out`.
    """

    def prompts(tokenizer: Any, room: int, limit: int) -> list[str]:
        asked = [messages(decision, config.prompt, config.days_ahead) for decision in examples.decisions]
        return render(tokenizer, asked, room=room, limit=limit, shorter=SHORTER)

    texts = draw(config.model, config.comparison, config.seed, prompts, adapter, scratch or out, progress)
    answers = read_all(texts)
    write_answers(out, model, examples, texts, answers)
    return answers


def some(config: CallsStage, directory: Path, name: str) -> Examples:
    """Selects `comparison.windows` examples of a set, spread evenly over dates and stocks.

    Raises:
        StageError: the set is missing or damaged.
    """
    examples = read_examples(directory, name)
    stocks = [decision.window.stock for decision in examples.decisions]
    return examples.take(spread_rows(stocks, config.comparison.windows, config.seed))


def read_log(directory: Path) -> pd.DataFrame:
    """Reads the log of a training stage, one row a step.

    Raises:
        StageError: it is missing or damaged.
    """
    path = directory / TRAINING_LOG
    try:
        return pd.read_csv(path)
    except FileNotFoundError as error:
        raise StageError(f"{path}: missing; run the training again") from error
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        raise StageError(f"{path}: damaged ({reason(error)}); run the training again") from error


REMEDY = "run the preprocessing stage again"


def informative_share(directory: Path) -> float | None:
    """Reads the share of generated headlines that tell of the next day; None for real ones."""
    path = directory / "examples.json"
    share = read_table(path, StageError, REMEDY).get("informative_share") if path.is_file() else None
    if share is not None and finite(share) is None:
        raise StageError(f"{path}: informative_share is no number; {REMEDY}")
    return finite(share)


def name_of(adapter: Path | None) -> str:
    """Names a model in files: after its adapter's directory, or the stage's that holds it.

    Example:
        >>> name_of(Path("results/A/stage1_training/adapter")), name_of(Path("models/tiny/A/direction_lora_2nd"))
        ('stage1_training', 'direction_lora_2nd')
    """
    if adapter is None:
        return MODELS[0]
    path = adapter.resolve()
    return path.parent.name if path.name == ADAPTER else path.name


GATE = Stage("gate", CallsStage, run_gate)
STAGE = Stage("model_comparison", CallsStage, run_comparison)
