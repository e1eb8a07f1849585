"""GRPO on forecasts. One function for both GRPO stages: the second starts from the SFT adapter.

TRL's GRPOTrainer does the training. What is added here: rewards in the contract's terms, a log of what the policy does
(`training_log.csv`), validation at each checkpoint (`validation.csv`) with the best adapter kept, and checkpoints that
are believed only when they are whole.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonk_pipeline import dataset, forecast
from stonk_pipeline.config import GRPOStage
from stonk_pipeline.rewards.forecast import ALL, COMPONENTS, RANDOM, Outcome
from stonk_pipeline.runs import CHECKPOINTS, Progress, Stage
from stonk_pipeline.sampling.prompts import questions
from stonk_pipeline.schema import Target, Window
from stonk_pipeline.training import models
from stonk_pipeline.training.checkpoints import (
    last_whole_checkpoint,
    open_state,
    publish_state,
    require_finished,
    restore_adapter,
    seal_checkpoints,
)
from stonk_pipeline.training.telemetry import RewardBook, grpo_log
from stonk_pipeline.training.validation import validator as make_validator


class ComponentReward:
    """One reward component in TRL's form; a class and not a closure, so that it can be pickled."""

    def __init__(self, name: str, horizon: int) -> None:
        self.name = name
        self.horizon = horizon
        self.__name__ = name

    def __call__(self, completions: list[list[dict[str, str]]], **columns: Any) -> list[float]:
        """Scores each completion against the outcome in its row."""
        scores = []
        for row, completion in enumerate(completions):
            answer = forecast.parse(
                completion[0]["content"], self.horizon, lowest=columns["lowest"][row], highest=columns["highest"][row]
            )
            truth = Outcome(
                columns["last"][row], tuple(columns["target"][row]), columns["volatility"][row], columns["cost"][row]
            )
            scores.append(ALL[self.name](answer, truth))
        return scores


def run(config: GRPOStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Trains an adapter with GRPO and keeps the one that does best on validation windows.

    Args:
        config: settings.
        inputs: `dataset`: preprocessing output; optional `start`: a training stage whose adapter to continue.
        out: receives `adapter/`, `training_log.csv`, `validation.csv`; `checkpoints/` while it runs.
        progress: receives each optimizer step.

    Returns:
        Numbers of the run: steps, best step, skill on validation windows before and after.

    Raises:
        PromptError: a prompt does not fit.
        StageError: training was interrupted before its last step.
    """
    grpo = config.grpo
    windows, targets = dataset.read_split(inputs["dataset"], "train")
    windows, targets = dataset.spread(windows, targets, grpo.steps * grpo.prompts_per_step, config.seed)
    start = inputs["start"] / models.ADAPTER if "start" in inputs else None
    use_vllm = models.cuda()
    loaded = models.load_for_training(config.model, config.lora, config.seed, start=start, fast_inference=use_vllm)
    horizon = len(targets[0].values)
    asked = [forecast.messages(window, config.prompt, horizon) for window in windows]
    room, limit = grpo.max_completion_length, config.model.max_seq_length
    questions(loaded.tokenizer, windows, config.prompt, horizon, room=room, limit=limit)

    state = open_state(out)
    book = RewardBook(grpo.group_size, horizon, config.prompt.decimals)
    log = grpo_log(state / "training_log.csv", book, progress, grpo.steps)
    validator = make_validator(config, inputs["dataset"], loaded, state)
    trainer = _trainer(config, loaded, _rows(windows, targets, asked, config), horizon, book, out, use_vllm)
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    restore = restore_adapter(loaded.model, checkpoint)
    for callback in (restore, log, validator, seal_checkpoints()):  # the seal last: what it vouches for is complete
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    require_finished(trainer.state.global_step, grpo.steps)
    publish_state(out)
    return {"steps": grpo.steps, "windows": len(windows), "backend": loaded.backend, **validator.numbers()}


def _rows(
    windows: list[Window], targets: list[Target], asked: list[forecast.Messages], config: GRPOStage
) -> list[dict[str, Any]]:
    """Dataset rows in random order; the prompt column is all that the model sees."""
    rows = []
    for window, target, question in zip(windows, targets, asked, strict=True):
        price = window.last + window.price_offset / window.price_unit
        rows.append(
            {
                "prompt": question,
                "target": list(target.values),
                "last": window.last,
                "volatility": window.volatility,
                "lowest": forecast.lowest_value(window),
                "highest": forecast.highest_value(window),
                "cost": config.grpo.cost_bps / 1e4 * price,
            }
        )
    random.Random(config.seed).shuffle(rows)
    return rows


def _trainer(
    config: GRPOStage,
    loaded: models.Loaded,
    rows: list[dict[str, Any]],
    horizon: int,
    book: RewardBook,
    out: Path,
    use_vllm: bool,
) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    grpo, on_cuda = config.grpo, models.cuda()
    answers = grpo.prompts_per_step * grpo.group_size
    every = grpo.rewards.model_dump()
    weights = {name: every[name] for name in COMPONENTS}
    if grpo.random_reward:
        weights[RANDOM] = grpo.random_reward
    vllm = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": config.model.gpu_memory_utilization,
        "vllm_max_model_length": config.model.max_seq_length,
    }
    settings = GRPOConfig(
        output_dir=str(out / CHECKPOINTS),
        max_steps=grpo.steps,
        per_device_train_batch_size=grpo.micro_batch,
        gradient_accumulation_steps=answers // grpo.micro_batch,
        num_generations=grpo.group_size,
        max_completion_length=grpo.max_completion_length,
        learning_rate=grpo.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=grpo.warmup_steps,
        max_grad_norm=grpo.max_grad_norm,
        optim="adamw_torch",
        gradient_checkpointing=models.saves_memory(loaded),
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
        reward_weights=[*weights.values(), 0.0],
        shuffle_dataset=False,
        save_steps=grpo.save_steps,
        save_total_limit=2,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=not on_cuda,
        bf16=on_cuda and models.compute_dtype() == _bfloat16(),
        fp16=on_cuda and models.compute_dtype() != _bfloat16(),
        remove_unused_columns=False,
        **(vllm if use_vllm else {}),
    )
    rewards = [ComponentReward(name, horizon) for name in weights]
    return GRPOTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        reward_funcs=[*rewards, book],
        args=settings,
        train_dataset=Dataset.from_list(rows),
    )


def _bfloat16() -> Any:
    import torch

    return torch.bfloat16


FIRST = Stage("stage1_grpo_training", GRPOStage, run)
SECOND = Stage("stage3_grpo_from_sft", GRPOStage, run)
