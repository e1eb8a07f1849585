"""Fine-tunes a model on examples of answers, as on those that rejection sampling kept.

The prompt is worded and templated as everywhere else; the answer follows it word for word, and the loss lies on the
answer and its end alone. The examples with the latest dates are held out; a held-out loss that keeps growing ends the
training, and the stage says so.
"""

import copy
import math
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from stonk_pipeline.config.training import SFTConfig, SFTStage
from stonk_pipeline.models import load
from stonk_pipeline.models.activations import recomputes_in
from stonk_pipeline.runs.manifest import CHECKPOINTS, Progress, Stage
from stonk_pipeline.training import tracking
from stonk_pipeline.training.checkpoints import (
    last_whole_checkpoint,
    open_state,
    publish_state,
    require_finished,
    seal_checkpoints,
    step_of,
)
from stonk_pipeline.training.kept_answers import IGNORED, Examples, lessons, read_examples, split_examples
from stonk_pipeline.training.telemetry import CsvLog

MORE = "raise sampling.windows or sampling.samples, or lower sampling.min_skill"
"""What to do about too few examples."""
COLUMNS = ("step", "loss", "val_loss", "perplexity", "val_perplexity", "learning_rate", "tokens_per_second")


def run(config: SFTStage, inputs: Mapping[str, Path], out: Path, progress: Progress) -> dict[str, Any]:
    """Fine-tunes the base model on kept answers, and keeps the adapter with the lowest held-out loss.

    Args:
        config: settings.
        inputs: `examples`: output of the sampling stage; optional `start`: a training stage whose adapter to continue.
        out: receives `adapter/` and `training_log.csv`; `checkpoints/` while it runs.
        progress: receives each logged step.

    Returns:
        Numbers of the run; see `fine_tune`.

    Raises:
        PromptError: a prompt does not fit beside its answer.
        StageError: too few examples, answers that the tokenizer cannot spell, or training was interrupted.
    """
    parts = split_examples(read_examples(inputs["examples"]), config.sft.val_share, MORE)
    start = inputs["start"] / load.ADAPTER if "start" in inputs else None
    loaded = load.load_for_training(config.model, config.lora, config.seed, start=start)
    return fine_tune(config, loaded, parts, out, progress)


def fine_tune(
    config: SFTStage, loaded: load.Loaded, parts: tuple[Examples, Examples], out: Path, progress: Progress
) -> dict[str, Any]:
    """Fine-tunes an adapter on examples of answers, and keeps it as it was where the held-out loss was lowest.

    Args:
        config: settings.
        loaded: the model with its adapter.
        parts: (training examples, those held out), each as `kept_answers.read_examples` gives them.
        out: receives `adapter/` and `training_log.csv`; `checkpoints/` while it runs.
        progress: receives each logged step.

    Returns:
        Numbers of the run: examples, steps, losses in nats a token, whether it was stopped early and why.

    Raises:
        PromptError: a prompt does not fit beside its answer.
        StageError: answers that the tokenizer cannot spell, or training was interrupted.
    """
    sft = config.sft
    train, held_out = (lessons(loaded.chat, rows, config.model.max_seq_length) for rows in parts)
    steps = optimizer_steps(sft, len(train))
    state = open_state(out)
    watch = _watch(CsvLog(state / "training_log.csv", COLUMNS), sft, loaded, config, state, progress, steps)
    trainer = _trainer(config, loaded, train, held_out, steps, out)
    for callback in (watch, seal_checkpoints()):
        trainer.add_callback(callback)
    checkpoint = last_whole_checkpoint(out / CHECKPOINTS)
    if checkpoint and watch.had_stopped(checkpoint):
        reached = step_of(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        reached = trainer.state.global_step
    if not watch.stopped:
        require_finished(reached, steps)
    publish_state(out)
    return {
        "examples": len(train),
        "held_out": len(held_out),
        "steps": reached,
        "stopped_early": watch.stopped,
        "backend": loaded.backend,
        "adapted_layers": loaded.adapted_layers,
        **watch.numbers(),
    }


def optimizer_steps(sft: SFTConfig, examples: int) -> int:
    """Returns the optimizer steps of a fine-tuning on so many examples."""
    return max(1, math.ceil(sft.epochs * examples / sft.batch_size))


def diverged(losses: list[float], share: float) -> str:
    """Says why a training should stop: its last two held-out losses are above the best one by a share; else nothing.

    Args:
        losses: held-out losses in order, nats a token.
        share: `SFTConfig.divergence`.
    """
    limit = min(losses, default=0.0) * (1 + share)
    if len(losses) < 3 or min(losses[-2:]) <= limit:
        return ""
    return f"held-out loss {losses[-1]:.3f} is over {share:.0%} above its best; training stopped"


def _trainer(
    config: SFTStage,
    loaded: load.Loaded,
    train: list[dict[str, list[int]]],
    held_out: list[dict[str, list[int]]],
    steps: int,
    out: Path,
) -> Any:
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq
    from trl import SFTConfig as TrlSFTConfig
    from trl import SFTTrainer

    sft, on_cuda = config.sft, load.cuda()
    every = max(1, math.ceil(steps / sft.evaluations))
    half = on_cuda and str(load.compute_dtype()).removeprefix("torch.")
    settings = TrlSFTConfig(
        output_dir=str(out / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=min(sft.micro_batch, sft.batch_size),
        per_device_eval_batch_size=sft.micro_batch,
        gradient_accumulation_steps=max(1, sft.batch_size // sft.micro_batch),
        learning_rate=sft.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=sft.warmup_steps,
        weight_decay=sft.weight_decay,
        optim="adamw_torch",
        gradient_checkpointing=recomputes_in(loaded.model, sft.micro_batch * config.model.max_seq_length),
        max_length=config.model.max_seq_length,
        packing=False,
        eval_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        logging_steps=max(1, every // 5),
        **tracking.arguments(),
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=not on_cuda,
        bf16=half == "bfloat16",
        fp16=half == "float16",
        include_num_input_tokens_seen="non_padding",
    )
    trainer = SFTTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        args=settings,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(held_out),
    )
    # Rows of tokens come with another collator in each of TRL and Unsloth. Padded on the right: Unsloth's kernels look
    # at no mask in training, and what stands before the first token would be read.
    right = copy.deepcopy(loaded.tokenizer)
    right.padding_side = "right"
    trainer.data_collator = DataCollatorForSeq2Seq(right, label_pad_token_id=IGNORED)
    return trainer


def _watch(
    log: CsvLog, sft: SFTConfig, loaded: load.Loaded, config: SFTStage, out: Path, progress: Progress, steps: int
) -> Any:
    """A trainer callback: logs losses, keeps the best adapter, and stops a run whose held-out loss diverges."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        stopped = ""

        def had_stopped(self, checkpoint: Path) -> bool:
            """Whether the training that wrote this checkpoint was ended by its held-out loss there."""
            log.start(step_of(checkpoint))
            self.stopped = diverged(self._held_out(), sft.divergence)
            return bool(self.stopped)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.start(state.global_step)
            self.clock, self.tokens = time.monotonic(), state.num_input_tokens_seen

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
        ) -> None:
            if not logs or "loss" not in logs:
                return
            now, tokens = time.monotonic(), state.num_input_tokens_seen
            speed = (tokens - self.tokens) / max(now - self.clock, 1e-9)
            self.clock, self.tokens = now, tokens
            loss = float(logs["loss"])
            row = {"loss": loss, "perplexity": math.exp(min(loss, 50)), "learning_rate": float(logs["learning_rate"])}
            log.add({"step": state.global_step, **row, "tokens_per_second": speed})
            progress(state.global_step, steps, f"loss {loss:.3f}")

        def on_evaluate(
            self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
        ) -> None:
            loss = float((metrics or {})["eval_loss"])
            before = self._held_out()
            log.add({"step": state.global_step, "val_loss": loss, "val_perplexity": math.exp(min(loss, 50))})
            self.clock, self.tokens = time.monotonic(), state.num_input_tokens_seen
            if loss < min(before, default=math.inf):
                load.save_adapter(loaded, config.model, out / load.ADAPTER)
            self.stopped = diverged([*before, loss], sft.divergence)
            if self.stopped:
                progress(state.global_step, steps, self.stopped)
                control.should_training_stop = True

        def _held_out(self) -> list[float]:
            return [float(row["val_loss"]) for row in log.rows if row.get("val_loss")]

        def numbers(self) -> dict[str, Any]:
            """Losses in nats a token."""
            losses = [float(row["loss"]) for row in log.rows if row.get("loss")]
            speeds = [float(row["tokens_per_second"]) for row in log.rows if row.get("tokens_per_second")]
            best = min(self._held_out())
            return {
                "train_loss": losses[-1] if losses else None,
                "val_loss": best,
                "val_perplexity": round(math.exp(best), 4),
                "tokens_per_second": round(median(speeds)) if speeds else 0,
            }

    return Watch()


STAGE = Stage("stage2_sft_training", SFTStage, run)
