"""Builds the embedded tiny models from nothing: random-walk windows, a tokenizer, and their training.

The fixed phrases of a form and its numbers are *added* tokens: transformers rebuilds the tokenizer of a `qwen2` model
with Qwen2's own pre-tokenizer, which cuts numbers into digits, and added tokens are what survives that. Any other text
is encoded by bytes and pairs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from preprocessing.dataset import STAGE
from preprocessing.reading import read_split
from stonk_pipeline.config.data import DataConfig, MarketConfig, PreprocessStage
from stonk_pipeline.runs.manifest import Progress, execute
from stonk_pipeline.schema import Window
from stonk_pipeline.text.form import Messages

VOCABULARY = 400
"""Byte-pair vocabulary before the added tokens."""
QUESTION_WEIGHT, THOUGHT_WEIGHT = 0.25, 3.0
"""Of the question's and the thought's loss beside the values' while a tiny model is built: the values are mostly
noise, and to quote a fact wrongly hides from all later training what the answer should follow from."""
BATCH = 64
"""Conversations of an optimizer step."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ROLES = tuple(f"{role}\n" for role in ("system", "user", "assistant"))
INDICATORS = ("EMA", "MOM", "MACD", "STOCH_K", "STOCH_D", "RSI", "WILLR", "CCI", "ADX", "BBANDS")
"""As a question names them after the first one."""
NUMBERS = (
    *(f"{n:02d}" for n in range(100)),
    *(str(n) for n in range(100, 200)),
    *(f"{sign}{n}" for sign in "+-" for n in range(100)),
    *(f".{n}{comma}" for n in range(10) for comma in ("", ", ")),
)
SHAPE = {
    "hidden_size": 160,
    "intermediate_size": 448,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Tokens(NamedTuple):
    """The phrases of a contract's questions and answers that become tokens of their own."""

    added: tuple[str, ...]
    """Phrases and numbers."""
    end_of_thought: str
    """The one of them with which a thought ends; the values follow."""


def walk_windows(walks: Sequence[tuple[float, int, int]], seed: int) -> list[list[Window]]:
    """Generates random walks and cuts them into windows.

    Args:
        walks: (daily standard deviation, window, horizon) of each.
        seed: of the preprocessing stage.

    Returns:
        The windows of each walk.
    """
    groups = []
    with TemporaryDirectory() as scratch:
        for number, (daily_sd, window, horizon) in enumerate(walks):
            market = MarketConfig(kind="random_walk", tickers=10, days=1200, daily_sd=daily_sd, seed=1000 + number)
            data = DataConfig(market=market, window=window, horizon=horizon, split_ratio=5.0)
            directory = Path(scratch) / str(number)
            execute(STAGE, PreprocessStage(data=data, seed=seed), {}, directory)
            groups.append(read_split(directory, "full")[0])
    return groups


def build(
    conversations: Iterator[Messages],
    tokens: Tokens,
    out: Path,
    *,
    steps: int,
    seed: int,
    progress: Progress,
    start: Path | None = None,
) -> float:
    """Trains tokenizer and model from nothing, or trains an earlier model further, and saves them.

    Args:
        conversations: questions with their answers, without an end.
        tokens: of the contract.
        out: directory to write.
        steps: optimizer steps of 64 conversations.
        seed: of the weights.
        progress: receives each step.
        start: directory of a model to go on from; tokens that it lacks are added.

    Returns:
        The last training loss: the weighted sum of nats a token of values, thought and question.
    """
    out.mkdir(parents=True, exist_ok=True)  # where it cannot be made, nothing is trained
    if start is None:
        tokenizer = train_tokenizer([next(conversations) for _ in range(4000)], tokens)
        model = _new_model(tokenizer, seed)
    else:
        tokenizer, model = _load(start, tokens, seed)
    loss = _train(model, tokenizer, conversations, tokens, steps, progress)
    model.to("cpu", dtype=_torch().bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss


def train_tokenizer(conversations: list[Messages], tokens: Tokens) -> Any:
    """Trains a `qwen2` tokenizer on conversations, with the contract's tokens added."""
    from transformers import Qwen2Tokenizer

    blank = Qwen2Tokenizer()
    texts = [message["content"] for conversation in conversations for message in conversation]
    tokenizer = blank.train_new_from_iterator([*texts, "system user assistant"], VOCABULARY - len(SPECIAL))
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:]), "pad_token": SPECIAL[0]})
    _add(tokenizer, tokens)
    tokenizer.eos_token = SPECIAL[2]
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _add(tokenizer: Any, tokens: Tokens) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in tokens.added])


def _load(directory: Path, tokens: Tokens, seed: int) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(directory)
    for how in ("is_local", "local_files_only"):  # it was loaded, which is nothing to save
        tokenizer.init_kwargs.pop(how, None)
    model = Qwen2ForCausalLM.from_pretrained(directory, dtype="float32")
    _add(tokenizer, tokens)
    _torch().manual_seed(seed)
    model.resize_token_embeddings(len(tokenizer))
    return tokenizer, model


def _new_model(tokenizer: Any, seed: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    _torch().manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _train(
    model: Any, tokenizer: Any, conversations: Iterator[Messages], tokens: Tokens, steps: int, progress: Progress
) -> float:
    """Trains a model in place; returns its last loss."""
    torch = _torch()
    from transformers import get_cosine_schedule_with_warmup

    device = "cuda" if torch.cuda.is_available() else "cpu"
    passes = 1 if device == "cuda" else 4  # 16 at a time stay in a core's cache: three times as fast as 64 at once
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 50, steps)
    end_of_thought = tokenizer.convert_tokens_to_ids(tokens.end_of_thought)
    loss = torch.tensor(0.0)
    for step in range(steps):
        for _ in range(passes):
            batch = _batch(tokenizer, end_of_thought, [next(conversations) for _ in range(BATCH // passes)])
            loss = _loss(model, {name: values.to(device) for name, values in batch.items()})
            (loss / passes).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(step + 1, steps, f"loss {loss.item():.3f}")
    return float(loss.item())


def _loss(model: Any, batch: dict[str, Any]) -> Any:
    """Cross-entropy of values, thought and question, weighted: copying numbers is learned sooner with all three."""
    torch = _torch()
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch["input_ids"][:, 1:], reduction="none")
    parts = batch["parts"][:, 1:]
    question, thought, values = (losses[parts == part].mean() for part in (1, 2, 3))
    return values + THOUGHT_WEIGHT * thought + QUESTION_WEIGHT * question


def _batch(tokenizer: Any, end_of_thought: int, conversations: list[Messages]) -> dict[str, Any]:
    """Right-padded ids, and which part each belongs to: 0 padding, 1 question, 2 thought, 3 values."""
    torch = _torch()
    rows = []
    for conversation in conversations:
        asked = tokenizer.apply_chat_template(conversation[:-1], add_generation_prompt=True, tokenize=False)
        whole = asked + conversation[-1]["content"] + SPECIAL[2]
        start = len(tokenizer(asked)["input_ids"])
        ids = tokenizer(whole)["input_ids"]
        thought = ids.index(end_of_thought) + 1 - start
        rows.append((ids, [1] * start + [2] * thought + [3] * (len(ids) - start - thought)))
    length = max(len(ids) for ids, _ in rows)
    pad = tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in rows]),
        "parts": torch.tensor([parts + [0] * (length - len(parts)) for _, parts in rows]),
    }


def _torch() -> Any:
    import torch

    return torch
