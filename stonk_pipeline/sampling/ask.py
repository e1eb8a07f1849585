"""Waits for the accelerator, starts an engine, and samples a model's answers to prompts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stonk_pipeline.config.evaluation import ComparisonConfig
from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.files import locks
from stonk_pipeline.models import load
from stonk_pipeline.models.locations import EMBEDDED_MODELS
from stonk_pipeline.runs.manifest import Progress
from stonk_pipeline.sampling.engines import Draws, choose_engine, open_engine

Prompts = Callable[[Any, int, int], list[str]]
"""(tokenizer, tokens that an answer may take, `model.max_seq_length`) -> prompts."""


def draw(
    model: ModelConfig,
    comparison: ComparisonConfig,
    seed: int,
    prompts: Prompts,
    adapter: Path | None,
    out: Path,
    progress: Progress,
) -> list[list[str]]:
    """Samples a model's answers to prompts, as `draw_each` does for several lots."""
    return draw_each(model, comparison, seed, [prompts], adapter, out, progress)[0]


def draw_each(
    model: ModelConfig,
    comparison: ComparisonConfig,
    seed: int,
    lots: Sequence[Prompts],
    adapter: Path | None,
    out: Path,
    progress: Progress,
) -> list[list[list[str]]]:
    """Samples a model's answers to lots of prompts, with the comparison's engine and sampling settings.

    Each lot begins with the seed, so that its answers do not depend on the other ones.

    Args:
        model: the base model.
        comparison: engine and sampling settings.
        seed: of the answers.
        lots: make the prompts of each lot for the model's tokenizer.
        adapter: adapter directory, or None for the base model.
        out: where a `scratch` directory may be made.
        progress: receives the prompts answered so far.
    """
    # On a CPU an engine start costs more than the answers; on CUDA vLLM is worth it.
    kind = choose_engine(comparison.engine, prefer_vllm=load.cuda())
    engine = open_engine(kind, model, adapter, seed=seed, scratch=out / "scratch", wanted=comparison.engine)
    room = comparison.max_tokens
    draws = Draws(comparison.samples, comparison.temperature, comparison.top_p, room, seed)
    asked = [prompts(engine.tokenizer, room, model.max_seq_length) for prompts in lots]
    total, answers, done = sum(map(len, asked)), [], 0
    for prompts in asked:
        answers.append(engine.sample(prompts, draws, _after(progress, done, total)))
        done += len(prompts)
    return answers


def _after(progress: Progress, before: int, total: int) -> Progress:
    """Reports the progress of one lot as that of all."""

    def report(done: int, of_lot: int, note: str) -> None:
        progress(before + done, total, note)

    return report


@contextmanager
def alone(purpose: str, wait_minutes: float, model: ModelConfig) -> Iterator[Path]:
    """Waits for this process's accelerators and holds them; gives a directory that is removed afterwards.

    A model of the package on a CPU takes a share of it: it is asked beside a training, and beside others of its kind.

    Args:
        purpose: what others read who wait for the same accelerator.
        wait_minutes: longest wait.
        model: that is asked.

    Raises:
        BusyError: another process computed there all the time.
    """
    devices, wait = locks.accelerators(None), 60 * wait_minutes
    small = devices == [locks.CPU] and Path(model.name).name in EMBEDDED_MODELS  # the last part of a merged one's
    with TemporaryDirectory() as scratch, ExitStack() as stack:
        if small:
            stack.enter_context(locks.cpu_share(purpose, wait=wait, say=locks.on_stderr))
        else:
            stack.enter_context(locks.accelerator(devices, purpose, wait=wait, say=locks.on_stderr))
        yield Path(scratch)


def part(progress: Progress, place: int, parts: int, role: str) -> Progress:
    """Turns the progress of one of several models into a part of the whole."""

    def report(done: int, total: int, note: str) -> None:
        progress(place * total + done, parts * total, f"{role}: {done} of {total} {note}")

    return report
