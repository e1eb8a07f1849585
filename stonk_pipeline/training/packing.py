"""Packs the answers to one prompt behind it into one row, so that a network computes the prompt once for all of them.

A row is the prompt and then its answers. Each answer sees the prompt and itself, and its positions begin after the
prompt, so its log-probabilities are those that it has in a row of its own. (The idea is that of Prefix-Grouper,
arXiv 2506.05433.)
"""

from dataclasses import dataclass
from typing import Any

PADDING = -1
"""Owner of padding; the prompt's tokens have 0 and those of answer i have i + 1."""


@dataclass(frozen=True)
class Cost:
    """What a network multiplies for a row, as far as it depends on the packing."""

    token: float
    """Multiplications for each token: the weights of all layers but the last, which gives the tokens."""
    pair: float
    """Multiplications for each pair of tokens in a row: attention computes all of them and hides some."""

    def of_rows(self, rows: float, length: float) -> float:
        """Multiplications for as many rows of a length."""
        return rows * length * (self.token + self.pair * length)


def answers_in_a_row(cost: Cost, prompt: int, answer: int, group: int) -> int:
    """Chooses how many answers share a row: those for which a network multiplies least.

    Args:
        cost: of the network.
        prompt: tokens of the prompt.
        answer: tokens of an answer.
        group: answers to one prompt.

    Returns:
        1 to `group`; 1 where sharing does not pay.

    >>> cost = Cost(token=106_000_000, pair=34_000)  # SmolLM2-135M
    >>> answers_in_a_row(cost, 250, 115, 8), answers_in_a_row(cost, 20, 4_000, 8)
    (8, 1)
    """
    return min(range(1, group + 1), key=lambda size: cost.of_rows(-(-group // size), prompt + size * answer))


def reach(config: Any) -> float:
    """Counts the tokens that every layer of a model sees: a mask of one's own takes the place of a sliding window.

    Args:
        config: of its text (`get_text_config`).
    """
    limits = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return min((limit for limit in limits if limit), default=float("inf"))


@dataclass(frozen=True)
class Packed:
    """Rows of R prompts with several answers each, padded on both sides to L tokens."""

    ids: Any
    """Tokens, (R, L)."""
    places: Any
    """Position of each token in the text that it belongs to, (R, L)."""
    visible: Any
    """Whether a token (third axis) sees another one (fourth axis), (R, 1, L, L)."""
    kept: int
    """K last places of a row, from the prompt's last token on: those whose logits are needed."""
    source: Any
    """Where the logits of each token of an answer are among the R * K kept ones, (B, C)."""


def pack(prompts: Any, shown: Any, answers: Any, written: Any, most: int) -> Packed:
    """Packs answers behind their prompts.

    Args:
        prompts: tokens, (B, P), padded on the left; equal rows are one prompt.
        shown: which of them are no padding, (B, P) of booleans.
        answers: tokens, (B, C), padded on the right.
        written: which of them are no padding, (B, C) of booleans.
        most: answers in a row.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    margin = int(shown.any(0).int().argmax())
    prompts, shown = prompts[:, margin:], shown[:, margin:]
    group = torch.unique(prompts.masked_fill(~shown, -1), dim=0, return_inverse=True)[1].tolist()
    members: dict[int, list[int]] = {}
    for answer, of in enumerate(group):
        members.setdefault(of, []).append(answer)
    rows = [part[start : start + most] for part in members.values() for start in range(0, len(part), most)]
    lengths = written.sum(-1).tolist()
    device, width = prompts.device, prompts.shape[1]
    ids, owners, places = [], [], []
    begins = torch.zeros(len(lengths), dtype=torch.long)
    row_of = torch.zeros(len(lengths), dtype=torch.long)
    for row, part in enumerate(rows):
        first, before = part[0], 0
        own = [shown[first].long() - 1]
        place = [(shown[first].long().cumsum(0) - 1).clamp(min=0)]
        for number, answer in enumerate(part, 1):
            length = lengths[answer]
            own.append(torch.full((length,), number, device=device))
            place.append(place[0][-1] + 1 + torch.arange(length, device=device))
            begins[answer], row_of[answer] = before, row
            before += length
        ids.append(torch.cat([prompts[first], *(answers[answer, : lengths[answer]] for answer in part)]))
        owners.append(torch.cat(own))
        places.append(torch.cat(place))
    filled = pad_sequence(ids, batch_first=True, padding_value=int(prompts[0, -1]))
    owner = pad_sequence(owners, batch_first=True, padding_value=PADDING)
    kept = filled.shape[1] - width + 1
    steps = torch.arange(answers.shape[1], device=device)
    # The prompt's last token gives the logits of an answer's first one; each token of an answer those of the next.
    source = (row_of.to(device) * kept)[:, None] + torch.where(steps == 0, 0, begins.to(device)[:, None] + steps)
    order = torch.arange(filled.shape[1], device=device)
    same = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    visible = ((order[None, :] <= order[:, None]) & same)[:, None]
    return Packed(filled, pad_sequence(places, batch_first=True), visible, kept, source)
