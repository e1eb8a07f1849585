"""`stonk-tiny`: a language model of a million parameters that knows the form of an answer and cannot forecast.

It is trained from nothing on questions about random walks. Its thinking reads two facts off the question, the distance
of the close from its EMA and the last move, and then expects a move drawn at random, half of it by a day drawn at
random, whatever the facts are; its values go there on that path, with noise around it. So its answers are readable and
its forecasts have no skill: what to make of the facts is what a run has to learn, and whatever skill a run reports was
learned in that run.

Rebuild the committed weights (twenty minutes on two cores):

    python -m stonk_pipeline build-tiny --out stonk_pipeline/assets/stonk-tiny

The fixed phrases of the form, whole numbers up to 199, those with a sign, `.0` to `.9` and these with the comma after
them are single tokens, which makes a question less than half as long. A sign is part of the number's token, so that a
distance and a move have one place each where the model can relate them. All these are *added* tokens: transformers
rebuilds the tokenizer of a `qwen2` model with Qwen2's own pre-tokenizer, which cuts numbers into digits, and added
tokens are what survives that. Any other text is encoded by bytes and pairs.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.optimize import brentq

from stonk_pipeline import forecast
from stonk_pipeline.config import DataConfig, MarketConfig, PreprocessStage, PromptConfig
from stonk_pipeline.dataset import read_split
from stonk_pipeline.pipeline import STEPS
from stonk_pipeline.runs import Progress, execute
from stonk_pipeline.schema import Window

NAME = "stonk-tiny"
DIRECTORY = Path(__file__).parent / "assets" / NAME
VOCABULARY = 400
"""Byte-pair vocabulary before the number tokens."""
NOISE = 0.2
"""Of the walk around the drift, as a share of the volatility: a forecast is smoother than prices are."""
LATEST_HALF = 0.7
"""Latest day by which half of the move is made, as a share of the horizon; the earliest is the first day."""
QUESTION_WEIGHT, THOUGHT_WEIGHT = 0.25, 3.0
"""Of the question's and the thought's loss beside the values' while the tiny model is built: the values are mostly
noise, and to quote a fact wrongly hides from all later training what the forecast should follow from."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NAMES = (
    *("EMA", "MOM", "MACD", "STOCH_K", "STOCH_D", "RSI", "WILLR", "CCI", "ADX", "BBANDS"),
    *("max", "median", "mean", "trend up", "trend down", "trend flat", "lags", "volatility"),
)
"""Of indicators and statistics; a comma before them belongs to the decimal there, where there is one."""
END_OF_THOUGHT = ".</think>\n<answer>["
PHRASES = (
    forecast.SYSTEM,
    "Closes, oldest first: [",
    "]\nIndicators: SMA ",
    *(f"{comma}{name} " for name in NAMES for comma in (", ", "")),
    "\nStatistics: min ",
    " at ",
    " a day, strength ",
    "\nForecast the next ",
    " closes.",
    ", ",
    *forecast.TAGS,
    *(f"{role}\n" for role in ("system", "user", "assistant")),
    "The close is ",
    " from its EMA after a move of ",
    ". I expect ",
    " in ",
    " days, half of it by day ",
    END_OF_THOUGHT,
    "]</answer>",
)
NUMBERS = (
    *(f"{n:02d}" for n in range(100)),
    *(str(n) for n in range(100, 200)),
    *(f"{sign}{n}" for sign in "+-" for n in range(100)),
    *(f".{n}{comma}" for n in range(10) for comma in ("", ", ")),
)
WALKS = (
    *((daily_sd, 10, 10) for daily_sd in (0.006, 0.012, 0.012, 0.02, 0.035)),
    (0.015, 20, 10),
    (0.015, 10, 5),
    (0.015, 15, 15),
)
"""Random walks that the questions come from: (daily standard deviation, window, horizon)."""
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


def unskilled_answer(window: Window, horizon: int, decimals: int, rng: np.random.Generator) -> str:
    """An answer whose forecast knows nothing: a random drift with a part of a random walk's noise around it.

    The drift to the last day has the spread that the window's volatility gives a random walk.
    """
    drift = rng.standard_normal() * np.sqrt(horizon) * window.volatility
    half = int(rng.integers(1, max(1, round(LATEST_HALF * horizon)) + 1))
    walk = np.cumsum(rng.standard_normal(horizon)) * window.volatility
    passed = np.arange(1, horizon + 1) / horizon
    bridge = walk - passed * walk[-1]
    path = window.last + drift * _course(half, horizon) + NOISE * bridge
    values = tuple(float(value) for value in np.maximum(path, 0.1))
    return forecast.answer(_thought(window, values[-1] - window.last, half, horizon, decimals), values, decimals)


@lru_cache
def _course(half: int, horizon: int) -> np.ndarray:
    """(horizon,) share of a move that is made by each day: an exponential approach, one half of it by day `half`."""
    days = np.arange(1, horizon + 1)

    def share(rate: float, day: Any) -> Any:
        return day / horizon if abs(rate) < 1e-6 else np.expm1(-rate * day) / np.expm1(-rate * horizon)

    rate = brentq(lambda rate: share(rate, half) - 0.5, -20.0 / horizon, 40.0 / horizon)
    return np.asarray(share(rate, days))


def _thought(window: Window, move: float, half: int, horizon: int, decimals: int) -> str:
    # Distances are taken between the numbers as shown, so that the answer follows from the question.
    ema, last, before = (round(value, decimals) for value in (window.indicators["ema"], *window.context[:-3:-1]))
    gap, step, expected = (f"{value:+.{decimals}f}" for value in (last - ema, last - before, move))
    return (
        f"The close is {gap} from its EMA after a move of {step}. "
        f"I expect {expected} in {horizon} days, half of it by day {half}."
    )


def build(groups: list[tuple[int, list[Window]]], out: Path, *, steps: int, seed: int, progress: Progress) -> float:
    """Trains tokenizer and model from nothing and saves them.

    Args:
        groups: (horizon, windows of random walks); drawn from in equal parts.
        out: directory to write.
        steps: optimizer steps of 64 conversations.
        seed: of weights, answers and order.
        progress: receives each step.

    Returns:
        The last training loss: the weighted sum of nats a token of values, thought and question.
    """
    rng = np.random.default_rng(seed)
    texts = _conversations(groups, rng)
    tokenizer = _train_tokenizer([next(texts) for _ in range(4000)])
    model, loss = _train_model(tokenizer, texts, steps, seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    model.to(dtype=_torch().bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss


def rebuild(out: Path, *, steps: int, seed: int, progress: Progress) -> float:
    """Generates the random walks, cuts them into windows of several shapes, and builds the model from them."""
    stage = STEPS["preprocess"].load()
    groups = []
    with TemporaryDirectory() as scratch:
        for number, (daily_sd, window, horizon) in enumerate(WALKS):
            market = MarketConfig(kind="random_walk", tickers=10, days=1200, daily_sd=daily_sd, seed=1000 + number)
            data = DataConfig(market=market, window=window, horizon=horizon, split_ratio=5.0)
            directory = Path(scratch) / str(number)
            execute(stage, PreprocessStage(data=data, seed=seed), {}, directory)
            groups.append((horizon, read_split(directory, "full")[0]))
    return build(groups, out, steps=steps, seed=seed, progress=progress)


def _conversations(groups: list[tuple[int, list[Window]]], rng: np.random.Generator) -> Iterator[list[dict[str, str]]]:
    while True:
        horizon, windows = groups[rng.integers(len(groups))]
        window = windows[rng.integers(len(windows))]
        decimals = 1 if rng.random() < 0.9 else 2
        asked = forecast.messages(window, PromptConfig(decimals=decimals), horizon)
        yield [*asked, {"role": "assistant", "content": unskilled_answer(window, horizon, decimals, rng)}]


def _train_tokenizer(conversations: list[list[dict[str, str]]]) -> Any:
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    blank = Qwen2Tokenizer()
    texts = [message["content"] for conversation in conversations for message in conversation]
    tokenizer = blank.train_new_from_iterator([*texts, "system user assistant"], VOCABULARY - len(SPECIAL))
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:]), "pad_token": SPECIAL[0]})
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (*PHRASES, *NUMBERS)])
    tokenizer.eos_token = SPECIAL[2]
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _train_model(
    tokenizer: Any, texts: Iterator[list[dict[str, str]]], steps: int, seed: int, progress: Progress
) -> Any:
    torch = _torch()
    from transformers import Qwen2Config, Qwen2ForCausalLM, get_cosine_schedule_with_warmup

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPE,
    )
    model = Qwen2ForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 50, steps)
    loss = torch.tensor(0.0)
    for step in range(steps):
        for _ in range(4):  # 16 at a time stay in a core's cache: three times as fast as 64 at once
            loss = _loss(model, _batch(tokenizer, [next(texts) for _ in range(16)]))
            (loss / 4).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(step + 1, steps, f"loss {loss.item():.3f}")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, loss.item()


def _loss(model: Any, batch: dict[str, Any]) -> Any:
    """Cross-entropy of values, thought and question, weighted: copying numbers is learned sooner with all three."""
    torch = _torch()
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch["input_ids"][:, 1:], reduction="none")
    parts = batch["parts"][:, 1:]
    question, thought, values = (losses[parts == part].mean() for part in (1, 2, 3))
    return values + THOUGHT_WEIGHT * thought + QUESTION_WEIGHT * question


def _batch(tokenizer: Any, conversations: list[list[dict[str, str]]]) -> dict[str, Any]:
    """Right-padded ids, and which part each belongs to: 0 padding, 1 question, 2 thought, 3 values."""
    torch = _torch()
    rows, end_of_thought = [], tokenizer.convert_tokens_to_ids(END_OF_THOUGHT)
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
