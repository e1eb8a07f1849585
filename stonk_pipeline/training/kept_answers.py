"""Reads the answers that rejection sampling kept and turns them into tokens for fine-tuning."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stonk_pipeline.errors import StageError
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.sampling.prompts import render, token_ids

TRAINING_DATA = "sft_training_data.csv"
"""End of the name of the file of kept answers; the stocks' name stands before it."""
SHORTER = "make the questions shorter"
Examples = list[dict[str, Any]]
"""Answers to learn, by date; see `read_examples`."""
IGNORED = -100
"""Label of a token without loss, as torch and TRL have it."""


def read_examples(directory: Path) -> Examples:
    """Reads the kept answers, by date: {"date", "prompt": messages, "completion": text, "tokens": of the completion}.

    Raises:
        StageError: there is no such file, or it holds no example.
    """
    paths = sorted(directory.glob(f"*_{TRAINING_DATA}"))
    if not paths:
        raise StageError(f"{directory}: no *_{TRAINING_DATA}; run the sampling stage first")
    with paths[0].open(newline="", encoding="utf-8") as stream:
        rows = [
            {
                "date": row["date"],
                "prompt": json.loads(row["prompt"]),
                "completion": row["completion"],
                "tokens": json.loads(row.get("tokens") or "[]"),
            }
            for row in csv.DictReader(stream)
        ]
    return sorted(rows, key=lambda row: row["date"])


def split_examples(rows: Examples, val_share: float, more: str) -> tuple[Examples, Examples]:
    """Cuts examples at a date: (training, held out); no date is in both.

    Args:
        rows: by date; see `read_examples`.
        val_share: the latest share of them, which is held out.
        more: how a person gets more of them, for the messages.

    Raises:
        StageError: fewer than 20 examples, or too few dates to hold some out.
    """
    if len(rows) < 20:
        raise StageError(f"only {len(rows)} examples, too few to train on; {more}")
    first_held_out = rows[int(len(rows) * (1 - val_share))]["date"]
    train = [row for row in rows if row["date"] < first_held_out]
    held_out = [row for row in rows if row["date"] >= first_held_out]
    if not train:
        raise StageError(f"all examples have one date; {more}")
    return train, held_out


def lessons(chat: Chat, rows: Sequence[dict[str, Any]], limit: int) -> list[dict[str, list[int]]]:
    """Encodes examples as tokens: the prompt's, those of the answer, and the end of its turn.

    Args:
        chat: of the model.
        rows: see `read_examples`.
        limit: `model.max_seq_length`.

    Returns:
        `input_ids` and `labels` of each, as long as each other; the prompt's labels are -100, which takes no loss.

    Raises:
        PromptError: a prompt does not fit beside its answer.
        StageError: the tokenizer spells an answer as another text.
    """
    answers = [chat.taught(row["completion"], row.get("tokens", ())) for row in rows]
    room = max(map(len, answers))
    asked = [row["prompt"] for row in rows]
    prompts = token_ids(chat.tokenizer, render(chat.tokenizer, asked, room=room, limit=limit, shorter=SHORTER))
    return [
        {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
