"""A GRPO step of this project beside one of TRL's own trainer: the same model, questions, rewards and settings.

    .venv/bin/python benchmarks/training.py                                   # stonk-tiny, and Llamas of random weights
    .venv/bin/python benchmarks/training.py --models 30M --prompts 400 --groups 8

Both sides are measured in one process by turns, each turn a few optimizer steps of which the first is left out. A step
draws the answers, scores and learns them. Ratio: seconds of ours by those of TRL; below 1 ours is faster. Answers have
`--answer` tokens, as random weights never end them. `--threads` of the processor.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SIZES = {"2M": (128, 4, 2), "30M": (512, 8, 8), "150M": (768, 24, 12)}
"""Width, layers and heads of a Llama with a vocabulary of 8,192."""
VOCABULARY = 8_192


class Case(NamedTuple):
    """What a step is measured with."""

    model: str
    prompt: int
    """Tokens of a question."""
    group: int
    """Answers to it."""
    questions: int
    """In a step."""
    micro_batch: int


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The default step of stonk-tiny, and the others."""
    for model in options.models:
        for prompt in (106,) if model == "stonk-tiny" else options.prompts:
            for group in options.groups:
                questions = 16 if model == "stonk-tiny" else max(1, 16 // group)
                yield Case(model, prompt, group, questions, min(questions * group, max(16, group)))


def network_of(model: str) -> Any:
    """A model with adapters; the same numbers each time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from stonk_pipeline.config.training import LoraConfig, ModelConfig
    from stonk_pipeline.models.layers import put_adapters
    from stonk_pipeline.models.load import load_base

    torch.manual_seed(0)
    if model == "stonk-tiny":
        network = load_base(ModelConfig())[0]
    else:
        width, layers, heads = SIZES[model]
        network = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=width,
                intermediate_size=round(width * 8 / 3),
                num_hidden_layers=layers,
                num_attention_heads=heads,
                max_position_embeddings=4096,
            )
        )
    network.generation_config.eos_token_id = None
    return put_adapters(network, LoraConfig(rank=16), model)


def trainer_of(cls: type[Any], case: Case, options: argparse.Namespace, out: Path) -> Any:
    """A trainer of TRL, or ours, in the same settings."""
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast, PrinterCallback
    from trl import GRPOConfig

    from stonk_pipeline.config.training import ModelConfig
    from stonk_pipeline.models.locations import base_location

    tokenizer = PreTrainedTokenizerFast.from_pretrained(base_location(ModelConfig()))
    word = tokenizer.convert_ids_to_tokens(400)
    rows = [
        {"prompt": tokenizer.decode([300 + place] + [400] * (case.prompt - 1)), "word": word} for place in range(64)
    ]
    micro = case.micro_batch
    settings = GRPOConfig(
        output_dir=str(out),
        max_steps=options.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=case.questions * case.group // micro,
        num_generations=case.group,
        max_completion_length=options.answer,
        generation_kwargs={"min_new_tokens": options.answer},
        temperature=1.0,
        top_k=0,
        loss_type="dr_grpo",
        scale_rewards="none",
        learning_rate=1e-4,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=True,
        bf16=False,
    )
    trainer = cls(
        model=network_of(case.model),
        processing_class=tokenizer,
        reward_funcs=[variety],
        args=settings,
        train_dataset=Dataset.from_list(rows),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def variety(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """A reward that differs among answers."""
    return [len(set(ids)) / len(ids) for ids in completion_ids]


def steps_of(trainer: Any) -> list[float]:
    """Seconds of each step of a turn but the first."""
    from transformers import TrainerCallback

    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    trainer.remove_callback(clock)
    return [end - begin for begin, end in zip(marks[2::2], marks[3::2], strict=True)]


def main() -> None:
    """Prints a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["stonk-tiny", "30M", "150M"])
    parser.add_argument("--prompts", nargs="+", type=int, default=[100, 400, 1600])
    parser.add_argument("--groups", nargs="+", type=int, default=[8])
    parser.add_argument("--answer", type=int, default=36)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch
    from trl import GRPOTrainer

    from stonk_pipeline.training.group_trainer import group_trainer

    torch.set_num_threads(options.threads)
    print("| model | prompt | group | questions | TRL, s a step | ours, s a step | ratio: median (least to most) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in cases(options):
        with tempfile.TemporaryDirectory() as out:
            sides = [trainer_of(cls, case, options, Path(out)) for cls in (GRPOTrainer, group_trainer())]
            turns = [[statistics.median(steps_of(side)) for side in sides] for _ in range(options.turns)]
        theirs, ours = (statistics.median(side) for side in zip(*turns, strict=True))
        ratios = sorted(mine / other for other, mine in turns)
        told = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        row = (case.model, case.prompt, case.group, case.questions, f"{theirs:.2f}", f"{ours:.2f}", told)
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
