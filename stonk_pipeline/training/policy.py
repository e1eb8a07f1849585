"""Trains an adapter with TRL's GRPOTrainer, whatever it is asked and rewarded for, and keeps the best one.

TRL's GRPOTrainer does the training. What is added here: a log of what the policy does (`training_log.csv`), validation
at each checkpoint (`validation.csv`) with the best adapter kept, and checkpoints that are believed only when they are
whole. A `Lesson` brings the questions, the rewards and the validation.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stonk_pipeline.config.training import ModelConfig, PolicyConfig
from stonk_pipeline.models import load
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.layers import layers_as_named
from stonk_pipeline.runs.manifest import CHECKPOINTS, Progress
from stonk_pipeline.training.checkpoints import (
    last_whole_checkpoint,
    open_state,
    publish_state,
    require_finished,
    restore_adapter,
    seal_checkpoints,
)
from stonk_pipeline.training.telemetry import Book, policy_log
from stonk_pipeline.training.unread import stop_unread

Reward = Callable[..., list[float]]
"""TRL's form: completions and the columns of their rows in, a number for each out; has a `__name__`."""


class Reading:
    """A reward function that receives answers as the contracts read them, not as the trainer decodes them.

    The trainer leaves special tokens out (`<think>` is one in some vocabularies) and does not know what the chat
    template begins of an answer. A class and not a closure, so that it can be pickled.
    """

    def __init__(self, reward: Reward, chat: Chat) -> None:
        self.reward, self.chat = reward, chat
        self.__name__ = reward.__name__

    def __call__(self, completions: Any, completion_ids: list[list[int]], **columns: Any) -> list[float]:
        """Decodes each answer from its tokens and returns its reward."""
        texts = [[{"role": "assistant", "content": self.chat.read(ids)}] for ids in completion_ids]
        return self.reward(completions=texts, **columns)


@dataclass(frozen=True)
class Lesson:
    """The questions, rewards and validation that GRPO trains with."""

    rows: Sequence[dict[str, Any]]
    """In the order of training: `prompt` is all that the model sees, the other columns are for the rewards."""
    rewards: Sequence[Reward]
    weights: Sequence[float]
    """Of the rewards, in step."""
    book: Book
    """Notes what the rewards say of a step; a reward of weight 0."""
    validator: Callable[[load.Loaded, Path], Any]
    """Makes the callback that validates checkpoints, from the loaded model and the directory for its files."""


def train(
    model: ModelConfig,
    grpo: PolicyConfig,
    loaded: load.Loaded,
    lesson: Lesson,
    seed: int,
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Trains an adapter with GRPO and keeps the one that does best in validation.

    Args:
        model: settings of the model.
        grpo: settings of the training.
        loaded: the model with its adapter.
        lesson: questions, rewards, validation.
        seed: of the answers and of dropout.
        out: receives `adapter/`, `training_log.csv`, `validation.csv`; `checkpoints/` while it runs.
        progress: receives each optimizer step.

    Returns:
        Numbers of the run.

    Raises:
        StageError: training was interrupted before its last step, or none of its first answers could be read.
    """
    state = open_state(out)
    log = policy_log(state / "training_log.csv", lesson.book, progress, grpo.steps)
    validator = lesson.validator(loaded, state)
    trainer = _trainer(model, grpo, loaded, lesson, seed, out)
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    restore = restore_adapter(loaded.model, checkpoint)
    hopeless = stop_unread(log, lesson.book, grpo)
    for callback in (restore, log, hopeless, validator, seal_checkpoints()):  # the seal last: it vouches for the rest
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    require_finished(trainer.state.global_step, grpo.steps)
    publish_state(out)
    return {
        "steps": grpo.steps,
        "backend": loaded.backend,
        "adapted_layers": loaded.adapted_layers,
        **validator.numbers(),
    }


def _trainer(model: ModelConfig, grpo: PolicyConfig, loaded: load.Loaded, lesson: Lesson, seed: int, out: Path) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    on_cuda = load.cuda()
    answers = grpo.prompts_per_step * grpo.group_size
    vllm = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": model.gpu_memory_utilization,
        "vllm_max_model_length": model.max_seq_length,
    }
    settings = GRPOConfig(
        output_dir=str(out / CHECKPOINTS),
        max_steps=grpo.steps,
        per_device_train_batch_size=grpo.micro_batch,
        gradient_accumulation_steps=answers // grpo.micro_batch,
        num_generations=grpo.group_size,
        max_completion_length=grpo.max_completion_length,
        learning_rate=grpo.learning_rate,
        lr_scheduler_type="constant_with_warmup" if grpo.schedule == "constant" else grpo.schedule,
        warmup_steps=grpo.warmup_steps,
        max_grad_norm=grpo.max_grad_norm,
        optim="adamw_torch",
        gradient_checkpointing=load.saves_memory(loaded),
        temperature=grpo.temperature,
        top_p=1.0,  # truncated sampling biases the importance ratio
        top_k=0,
        beta=grpo.beta,
        loss_type=grpo.loss_type,
        scale_rewards=grpo.scale_rewards,
        epsilon=0.2,
        epsilon_high=grpo.epsilon_high,
        num_iterations=1,
        mask_truncated_completions=False,  # an answer that runs on must cost something
        reward_weights=[*lesson.weights, 0.0],
        shuffle_dataset=False,
        save_steps=grpo.save_steps,
        save_total_limit=2,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        use_cpu=not on_cuda,
        bf16=on_cuda and load.compute_dtype() == _bfloat16(),
        fp16=on_cuda and load.compute_dtype() != _bfloat16(),
        remove_unused_columns=False,
        **(vllm if load.colocates() else {}),
    )
    rewards: list[Reward] = [*lesson.rewards, lesson.book]
    with layers_as_named(loaded.model) if grpo.beta else nullcontext():  # it copies the adapter as its reference
        return GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=[Reading(reward, loaded.chat) for reward in rewards],
            args=settings,
            train_dataset=Dataset.from_list(list(lesson.rows)),
        )


def _bfloat16() -> Any:
    import torch

    return torch.bfloat16
