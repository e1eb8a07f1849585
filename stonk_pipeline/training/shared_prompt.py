"""Computes log-probabilities of answers with a prompt computed once for all answers to it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stonk_pipeline.training.packing import Cost, Packed, answers_in_a_row, pack, reach

TAKES_MASKS = ("sdpa", "eager")
"""Implementations of attention in transformers that take a mask of one's own."""
TOLERANCE = {"torch.float32": 1e-4, "torch.float16": 0.01, "torch.bfloat16": 0.05}
"""Largest mean difference to answers computed apart that rounding makes, in nats a token, by the type of logits."""


@dataclass(frozen=True)
class Rows:
    """Prompts with an answer each, as TRL's trainer has them."""

    ids: Any
    """Tokens, (B, P + C): prompts padded on the left, answers padded on the right."""
    mask: Any
    """1 where there is no padding, (B, P + C)."""
    kept: int
    """C."""

    @property
    def written(self) -> Any:
        """Tells which tokens of the answers are no padding, (B, C) of booleans."""
        return self.mask[:, -self.kept :].bool()

    @property
    def longest(self) -> tuple[int, int]:
        """Counts the tokens of the longest prompt and of the longest answer."""
        lengths = self.mask[:, : -self.kept].sum(-1), self.written.sum(-1)
        prompt, answer = (max(1, int(each.max())) for each in lengths)
        return prompt, answer

    def parts(self, size: int) -> "list[Rows]":
        """Splits them into parts of at most so many rows."""
        pairs = zip(self.ids.split(size), self.mask.split(size), strict=True)
        return [Rows(ids, mask, self.kept) for ids, mask in pairs]

    def siblings(self, most: int) -> "Rows":
        """Returns the first rows that have the prompt of the very first, without the padding that is common to them.

        TRL lets a model with absolute positions (GPT-2) count padding as text.
        """
        prompts, shown = self.ids[:, : -self.kept], self.mask[:, : -self.kept]
        chosen = ((prompts == prompts[0]) & (shown == shown[0])).all(-1).nonzero()[:most, 0]
        columns = slice(int(shown[0].argmax()), None)
        return Rows(self.ids[chosen, columns], self.mask[chosen, columns], self.kept)

    def pack(self, most: int) -> Packed:
        """Packs up to so many answers behind each prompt."""
        split = -self.kept
        return pack(self.ids[:, :split], self.mask[:, :split].bool(), self.ids[:, split:], self.written, most)


@dataclass(frozen=True)
class SharedPrompts:
    """A network that computes a prompt once for several answers."""

    network: Any
    """A causal language model of transformers, with or without adapters."""
    temperature: float
    """That the answers were drawn with."""
    limits: bool
    """Whether it takes `logits_to_keep`."""

    @cached_property
    def cost(self) -> Cost:
        """What it multiplies: for a token by its weights, for a pair of tokens in its attention."""
        ends = (self.network.get_input_embeddings(), self.network.get_output_embeddings())
        tables = {id(layer.weight): layer.weight.numel() for layer in ends if layer is not None}  # one, where tied
        weights = sum(weight.numel() for weight in self.network.parameters()) - sum(tables.values())
        config = self.network.config.get_text_config()
        return Cost(weights, 2 * config.num_hidden_layers * config.hidden_size)

    def fits(self, rows: Rows) -> bool:
        """Tells whether every layer sees the whole of prompt and answer."""
        return sum(rows.longest) <= reach(self.network.config.get_text_config())

    def packed(self, rows: Rows) -> Packed | None:
        """Packs answers behind their prompts; None where it would not be the same, or would not pay."""
        if not self.fits(rows):
            return None
        packed = rows.pack(answers_in_a_row(self.cost, *rows.longest, len(rows.ids)))
        return packed if len(packed.ids) < len(rows.ids) else None

    def logps(self, model: Any, rows: Rows, packed: Packed, *, entropy: bool) -> tuple[Any, Any]:
        """Computes the log-probability of each token of the answers, and the entropy of what could have come there.

        Args:
            model: the network, or what is wrapped around it; gradients flow if they are switched on.
            rows: the answers.
            packed: the same, packed.
            entropy: whether entropies are asked for; no gradient flows through them.

        Returns:
            (log-probabilities, entropies) in nats, (B, C) each, 0 at padding; None for entropies not asked for.
        """
        from trl.trainer.utils import selective_log_softmax, selective_log_softmax_and_entropy

        out = model(
            input_ids=packed.ids,
            attention_mask=self._mask(packed.visible),
            position_ids=packed.places,
            use_cache=False,
            **({"logits_to_keep": packed.kept} if self.limits else {}),
        )
        logits, written = out.logits[:, -packed.kept :].flatten(0, 1), rows.written
        chosen = logits.index_select(0, packed.source[written])[None]
        tokens = rows.ids[:, -rows.kept :][written][None]

        def spread(found: Any) -> Any:
            return found.new_zeros(written.shape).masked_scatter(written, found)

        if not entropy:
            return spread(selective_log_softmax(chosen, tokens, self.temperature)), None
        both = selective_log_softmax_and_entropy(
            chosen, tokens, entropy_requires_grad=False, temperature=self.temperature
        )
        return spread(both[0]), spread(both[1])

    def _mask(self, visible: Any) -> Any:
        import torch

        if self.network.config.get_text_config()._attn_implementation != "eager":
            return visible
        hidden = torch.finfo(torch.float32).min  # it is added to the scores
        return torch.zeros(visible.shape, device=visible.device).masked_fill(~visible, hidden)

    def agrees(self, model: Any, rows: Rows, apart: Any) -> bool:
        """Tells whether answers that share their prompt get the log-probabilities that they have apart.

        Args:
            model: see `logps`; in the same mode, without dropout.
            rows: answers to one prompt, two or more.
            apart: their log-probabilities, each computed with a prompt of its own, (B, C).
        """
        import torch

        config = self.network.config.get_text_config()
        if config._attn_implementation not in TAKES_MASKS:
            return False
        try:
            with torch.no_grad():
                found, _ = self.logps(model, rows, rows.pack(len(rows.ids)), entropy=False)
        except Exception:  # any model's code: one that takes no such mask fails in a way of its own
            return False
        difference = (found - apart)[rows.written].abs().float().mean()
        return bool(difference <= TOLERANCE.get(str(self.network.dtype), 0))
