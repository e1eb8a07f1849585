"""Trains an adapter with TRL's GRPOTrainer, whatever it is asked and rewarded for, and keeps the best one.

TRL's GRPOTrainer does the training. What is added here: a log of what the policy does (`training_log.csv`), validation
at each checkpoint (`validation.csv`) with the best adapter kept, and checkpoints that are believed only when they are
whole. A `Lesson` brings the questions, how answers are read, the rewards and what checkpoints are validated on.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stonk_pipeline.config.training import ModelConfig, PolicyConfig
from stonk_pipeline.models import load
from stonk_pipeline.models.activations import recomputes_in
from stonk_pipeline.models.layers import layers_as_named
from stonk_pipeline.runs.manifest import CHECKPOINTS, Progress
from stonk_pipeline.sampling.engines import Draws
from stonk_pipeline.training import tracking
from stonk_pipeline.training.checkpoints import (
    last_whole_checkpoint,
    open_state,
    publish_state,
    require_finished,
    restore_adapter,
    seal_checkpoints,
)
from stonk_pipeline.training.lesson import A, Lesson, Marks, Reward, T
from stonk_pipeline.training.telemetry import CsvLog, policy_log
from stonk_pipeline.training.unread import stop_unread
from stonk_pipeline.training.validation import TOP_P, validator


def train(
    model: ModelConfig,
    grpo: PolicyConfig,
    loaded: load.Loaded,
    lesson: Lesson[A, T],
    seed: int,
    out: Path,
    progress: Progress,
    below: Path | None = None,
) -> dict[str, Any]:
    """Trains an adapter with GRPO and keeps the one that does best in validation.

    Args:
        model: settings of the model.
        grpo: settings of the training.
        loaded: the model with its adapter.
        lesson: what it is trained on.
        seed: of the order of questions, of the answers and of dropout.
        out: receives `adapter/`, `training_log.csv`, `validation.csv`; `checkpoints/` while it runs.
        progress: receives each optimizer step.
        below: the adapter that was merged into the model before; the one that is kept holds both.

    Returns:
        Numbers of the run.

    Raises:
        StageError: training was interrupted before its last step, or none of its first answers could be read.
    """

    def save(best: Path) -> None:
        load.save_adapter(loaded, model, best)
        if below is not None:
            load.join_adapters(below, best)

    state = open_state(out)
    log = CsvLog(state / "training_log.csv", lesson.columns)
    marks = Marks(lesson, loaded.chat, grpo.group_size, log)
    draws = Draws(grpo.validation_samples, grpo.temperature, TOP_P, grpo.max_completion_length, seed)
    validate = validator(lesson, loaded, draws, state, save)
    trainer = _trainer(model, grpo, loaded, marks, seed, out)
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    restore = restore_adapter(loaded.model, checkpoint)
    write = policy_log(log, lambda: marks.last, progress, grpo.steps)
    hopeless = stop_unread(log, marks.unread, grpo)
    for callback in (restore, write, hopeless, validate, seal_checkpoints()):  # the seal last: it vouches for the rest
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    require_finished(trainer.state.global_step, grpo.steps)
    publish_state(out)
    return {
        "steps": grpo.steps,
        "backend": loaded.backend,
        "adapted_layers": loaded.adapted_layers,
        **validate.numbers(),
    }


def _trainer(
    model: ModelConfig, grpo: PolicyConfig, loaded: load.Loaded, marks: Marks[A, T], seed: int, out: Path
) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from stonk_pipeline.training.group_trainer import group_trainer

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
        gradient_checkpointing=recomputes_in(loaded.model, grpo.micro_batch * model.max_seq_length),
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
        reward_weights=list(marks.lesson.weights.values()),
        shuffle_dataset=False,
        save_steps=grpo.save_steps,
        save_total_limit=2,
        logging_steps=1,
        **tracking.arguments(),
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        use_cpu=not on_cuda,
        bf16=on_cuda and load.compute_dtype() == _bfloat16(),
        fp16=on_cuda and load.compute_dtype() != _bfloat16(),
        remove_unused_columns=False,
        **(vllm if load.colocates() else {}),
    )
    with layers_as_named(loaded.model) if grpo.beta else nullcontext():  # it copies the adapter as its reference
        trainer = GRPOTrainer if loaded.backend == "unsloth" else group_trainer()
        return trainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=[Reward(name, marks) for name in marks.lesson.weights],
            args=settings,
            train_dataset=Dataset.from_list(marks.lesson.rows(loaded.tokenizer, seed)),
        )


def _bfloat16() -> Any:
    import torch

    return torch.bfloat16
