"""Refuses a run whose weights, adapters and optimizer exceed the memory of this machine; warns where an estimate does.

Refusals go by a lower bound, for which the headers of the model's files are enough: no torch and no data are needed.
All else is an estimate, and no estimate stops a run.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.config.training import ModelConfig, PolicyConfig
from stonk_pipeline.contract import Contract
from stonk_pipeline.errors import CapacityError
from stonk_pipeline.estimates.memory import GB, Place, held, least
from stonk_pipeline.estimates.shape import Weights, weights_of
from stonk_pipeline.models.locations import base_directory
from stonk_pipeline.runs.machine import Memory, memory_of, on_card
from stonk_pipeline.training.effort import TRAINER, Drawing, Part, Teaching, Work

ANYWAY = "beyond_memory"
"""The setting that lets a run begin all the same."""
Needed = Callable[[Work], float]
"""Bytes that a step needs."""


def place_of(config: RunConfig, memory: Memory | None) -> Place:
    """Tells where a run computes, and with which memory."""
    on_gpu = on_card(config.cuda_devices)
    vllm, unsloth = (importlib.util.find_spec(name) is not None for name in ("vllm", "unsloth"))
    card = memory.total if memory is not None and on_gpu else None
    backend = config.model.backend
    return Place(on_gpu, vllm, card, shares=backend != "unsloth" and not (backend == "auto" and on_gpu and unsloth))


def require_room(config: RunConfig, contract: Contract, parameters: int | None = None) -> list[str]:
    """Checks that a run can fit, before anything is trained or loaded.

    Args:
        config: its settings.
        contract: of the run.
        parameters: of the model, where its weights are not on this machine yet.

    Returns:
        What to warn of: the refusal, where the settings say that it shall go on all the same. Nothing where the memory
        of the machine, or the size of the model, cannot be known.

    Raises:
        CapacityError: some step needs more than there is; names settings and values that would fit.
    """
    memory = memory_of(config.cuda_devices)
    weights = weights_of(base_directory(config.model)) if memory is not None else None
    if weights is None and parameters is not None:
        weights = Weights(parameters, 0)
    if memory is None or weights is None:
        return []
    said = refusal(config, contract, weights, memory)
    if said and config.beyond_memory == "refuse":
        raise CapacityError(f"{said}. To begin all the same: --set {ANYWAY}=warn")
    return [said] if said else []


def refusal(config: RunConfig, contract: Contract, weights: Weights, memory: Memory) -> str:
    """Says which step cannot fit and what would; empty if all can."""
    place, model = place_of(config, memory), config.model
    graph = contract.steps(config)
    ranks = {
        name: contract.lora(config).rank if step.publishes else None for name, step in graph.items() if step.loads_model
    }
    needed = {name: least(weights, model, place, rank=rank) for name, rank in ranks.items()}
    step = max(needed, key=lambda name: needed[name])
    room = memory.total + memory.swap
    if needed[step] <= room:
        return ""
    parts = held(weights, model, place, rank=ranks[step])
    told = ", ".join(f"{name} {size / GB:.1f}" for name, size in parts.items() if size >= 0.05 * GB)
    swap = f" and {memory.swap / GB:.1f} GB of swap" if memory.swap else ""
    return (
        f"{step} needs at least {needed[step] / GB:.1f} GB for {model.name} ({told}"
        f"{', vLLM in its share of the card' if place.on_gpu and place.vllm else ''}), and {memory.place} has "
        f"{memory.total / GB:.1f} GB{swap}: {'; or '.join(_remedies(config, weights, memory, ranks, place))}"
    )


def _remedies(
    config: RunConfig, weights: Weights, memory: Memory, ranks: Mapping[str, int | None], place: Place
) -> Iterator[str]:
    """Settings that would fit, each by itself."""
    model, room = config.model, memory.total + memory.swap

    def fits(changed: ModelConfig) -> bool:
        return all(least(weights, changed, place, rank=rank) <= room for rank in ranks.values())

    for share in (0.5, 0.6, 0.7, 0.8, 0.9) if place.on_gpu and place.vllm else ():
        changed = model.model_copy(update={"gpu_memory_utilization": share})
        if share > model.gpu_memory_utilization and fits(changed):
            yield f"set model.gpu_memory_utilization to {share}"
            break
    if place.on_gpu and not model.load_in_4bit and fits(model.model_copy(update={"load_in_4bit": True})):
        yield "set model.load_in_4bit to true"
    most = most_parameters(weights, config, memory, ranks, place)
    yield f"choose a model of at most {most / 1e6:,.0f} million parameters"


def most_parameters(
    weights: Weights, config: RunConfig, memory: Memory, ranks: Mapping[str, int | None], place: Place
) -> float:
    """Parameters of the largest model of the same proportions that leaves a fifth of the memory for all else."""
    largest = max(least(weights, config.model, place, rank=rank) for rank in ranks.values())
    return weights.parameters * 0.8 * memory.total / largest


def warnings(work: Mapping[str, Work], needed: Needed, memory: Memory | None) -> list[str]:
    """Says which steps will probably not fit, and which settings would.

    Args:
        work: what each step does.
        needed: bytes that such work needs, by the estimate.
        memory: of the machine; None where it cannot be known.
    """
    if memory is None:
        return []
    said: dict[str, list[str]] = {}
    for step, does in work.items():
        if needed(does) > memory.total:
            said.setdefault(_smaller(does, needed, memory.total), []).append(step)
    return [
        f"{', '.join(steps)} will probably not fit: about "
        f"{max(needed(work[step]) for step in steps) / GB:.1f} GB, and {memory.place} has {memory.total / GB:.1f} GB; "
        f"{remedy}"
        for remedy, steps in said.items()
    ]


def _smaller(work: Work, needed: Needed, room: float) -> str:
    """The mildest change of settings with which a step fits: fewer answers at once, then shorter ones."""
    for changes, changed in _changes(work):
        if needed(changed) <= room:
            return "set " + " and ".join(f"{name} to {value}" for name, value in changes.items())
    return "choose a smaller model, or a machine with more memory"


def _changes(work: Work) -> Iterator[tuple[dict[str, int], Work]]:
    """Settings and the work with them, the mildest first."""
    teaching = work.teaching
    if teaching is None:
        return
    for micro in (size for size in range(teaching.micro_batch - 1, 0, -1) if teaching.per_step % size == 0):
        yield {f"{teaching.setting}.micro_batch": micro}, _with(work, {"micro_batch": micro})
    if not isinstance(teaching.settings, PolicyConfig):
        return
    grpo = teaching.settings
    for prompts in (size for size in range(grpo.prompts_per_step - 1, 0, -1)):
        changed = {"prompts_per_step": prompts, "micro_batch": math.gcd(grpo.micro_batch, prompts * grpo.group_size)}
        changed["micro_batch"] = min(changed["micro_batch"], grpo.group_size)
        if prompts * grpo.group_size % changed["micro_batch"] == 0:
            yield {f"{teaching.setting}.{name}": value for name, value in changed.items()}, _with(work, changed)


def _with(work: Work, changed: dict[str, int]) -> Work:
    """The work with other settings of its training."""

    def part(old: Part) -> Part:
        if isinstance(old, Teaching):
            return replace(old, settings=old.settings.model_copy(update=changed))
        if isinstance(old, Drawing) and old.engine == TRAINER:
            return replace(old, prompts=changed.get("prompts_per_step", old.prompts))
        return old

    return replace(work, parts=tuple(map(part, work.parts)))
