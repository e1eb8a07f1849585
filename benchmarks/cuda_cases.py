"""The cases of `benchmarks/cuda.py`: recipes with few steps, models of random weights, and answers to teach."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from preprocessing import reading
from stonk_pipeline.config.run import RunConfig
from stonk_pipeline.contracts.forecast import question, rejection
from stonk_pipeline.contracts.forecast.unskilled import unskilled_answer
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.training.kept_answers import TRAINING_DATA

FIELDS = (*("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),)
SHAPES: dict[str, tuple[tuple[int, ...], int, int, bool]] = {
    "qwen-0.5b": ((896, 24, 14, 2), 4864, 151936, True),
    "qwen-1.5b": ((1536, 28, 12, 2), 8960, 151936, True),
    "qwen-7b": ((3584, 28, 28, 4), 18944, 152064, False),
}
"""Qwen2.5: `FIELDS`, width of the MLP, vocabulary, whether the embeddings are used again at the end."""


def settings(case: str, options: argparse.Namespace, home: Path) -> RunConfig:
    """The recipe of a case with few steps, and its model."""
    name = case.removesuffix("-peft").removesuffix("-4bit")
    shape = name.removeprefix("direction-")
    recipe = {"tiny": "default", "qwen-0.5b": "qwen-1.5b", "mine": "qwen-1.5b"}.get(name, name)
    model: dict[str, Any] = {"load_in_4bit": True} if "-4bit" in case else {}
    if options.miniature:
        model["load_in_4bit"] = False
    model |= {"backend": "peft"} if case.endswith("-peft") else {}
    if name != "tiny":
        model["name"] = options.model if name == "mine" else str(make(shape, options, home))
    grpo: dict[str, Any] = {"steps": options.steps, "validation_windows": options.validation_windows}
    if options.miniature:
        grpo |= {"prompts_per_step": 2, "group_size": 4, "micro_batch": 4, "max_completion_length": 100}
    sft = {"evaluations": 1} | ({"micro_batch": options.micro_batch} if options.micro_batch else {})
    grpo |= {"micro_batch": options.micro_batch} if options.micro_batch else {}
    every: dict[str, Any] = {"model": model, "models_dir": str(home / "models"), "data": {"market": {"days": 500}}}
    every["warmup"] = "never"
    if name.startswith("direction"):
        return load_config(recipe, every | {"stage_one": grpo | {"epochs": None}})
    return load_config(recipe, every | {"grpo_first": grpo, "sft": sft})


def make(shape: str, options: argparse.Namespace, home: Path) -> Path:
    """Writes a model of random weights, drawn on the card where there is one, with the tokenizer."""
    out = home / "shapes" / shape
    if (out / "tokenizer_config.json").is_file():
        return out
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

    sizes, width, vocabulary, tied = SHAPES[shape]
    if options.miniature:
        sizes, width, vocabulary = (128, 2, 4, 2), 256, 50_000
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = Qwen2Config(
        **dict(zip(FIELDS, sizes, strict=True)),
        intermediate_size=width,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=32_768,
        **ends,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def taught(run: Run, steps: int) -> Path:
    """Writes as many unskilled answers as these steps need, in the form of rejection sampling."""
    import numpy as np

    count = max(24, round(steps * run.config.sft.batch_size / run.config.sft.epochs * 1.2))
    split = reading.read_split(run.stage_dir("preprocess"), "train")
    windows, targets = reading.spread(*split, count, run.config.seed)
    horizon, prompt, chance = len(targets[0].values), run.config.prompt, np.random.default_rng(0)
    out = run.directory / "taught"
    out.mkdir(exist_ok=True)
    with (out / f"{run.config.stock_name}_{TRAINING_DATA}").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.DictWriter(stream, rejection.COLUMNS)
        rows.writeheader()
        for window in windows:
            asked = json.dumps(question.messages(window, prompt, horizon))
            answer = unskilled_answer(window, horizon, prompt, chance)
            rows.writerow({"stock": window.stock, "date": window.date, "prompt": asked, "completion": answer})
    return out
