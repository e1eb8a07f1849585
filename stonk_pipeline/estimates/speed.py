"""Measures for about a second how fast this machine trains and asks a model of given sizes, without its weights.

A few layers of the model's own shape are built, with adapters and numbers that mean nothing: how long they take does
not depend on the numbers. Hooks take the time of each layer, forward and backward, and the rest (embedding, the logits
of the vocabulary, the loss, drawing) by itself: the whole model takes the rest, and so many times a layer's time.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.estimates.shape import Shape, shape_of

LAYERS = 3
"""That are built; more say no more, and have to be waited for."""
PIECE = 3e10
"""Arithmetic of one measured pass on a CPU: a second or less on two cores."""
ON_CARD = 100.0
"""Times as much on a card."""
LEAST = 32
"""Tokens of a measured text, at the least."""
ENOUGH = 0.4
"""Seconds after which a pass is not measured once more."""
WORDS = 6
"""Tokens that are drawn to time one."""
LARGE = 1 << 26
"""Numbers of a matrix (an embedding) that is filled with one number, since to draw them would take seconds."""


class Split(NamedTuple):
    """Seconds of a pass through some layers."""

    layer: float
    """Of one layer."""
    rest: float
    """Of all that is no layer."""

    def of(self, layers: int) -> float:
        """Returns the seconds of a model of so many layers."""
        return self.rest + layers * self.layer


class Mark(NamedTuple):
    """A moment."""

    clock: float
    processor: float
    """Seconds that this process has computed, all threads together."""


class Probe:
    """A few layers of a model with adapters, in memory, to be timed.

    Args:
        directory: of the model's settings.
        lora: the adapter.
        model: settings of the model.
    """

    def __init__(self, directory: Path, lora: LoraConfig, model: ModelConfig) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from stonk_pipeline.models import load
        from stonk_pipeline.models.layers import put_adapters
        from stonk_pipeline.models.precision import train_in_bfloat16

        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        self.dtype, self.device = load.compute_dtype(), "cuda" if load.cuda() else "cpu"
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, dtype=self.dtype)
        self.shape: Shape = shape_of(network)
        self.layers = min(LAYERS, self.shape.layers)
        text = network.config.get_text_config()
        stack = _shortened(network, self.layers)
        text.num_hidden_layers = self.layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[: self.layers]
        self.per_layer = sum(parameter.numel() for parameter in stack[0].parameters())
        self.network = put_adapters(network, lora, model.name).to_empty(device=self.device)
        _fill(self.network)
        self.network.generation_config.eos_token_id = None
        self.network.config.use_cache = True
        train_in_bfloat16(self.network, model)
        self._watch(stack)

    @property
    def bytes(self) -> int:
        """Counts its memory."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.network.parameters())

    def _watch(self, stack: Any) -> None:
        """Marks the times at which each layer begins and ends, and at which the gradient comes to each."""
        self._forward: list[Mark] = []
        self._backward: list[Mark] = []
        self._within = 0

        def begin(module: Any, args: Any, kwargs: Any) -> None:
            self._within += 1
            self._forward.append(self._now())

        def end(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            self._within -= 1
            self._forward.append(self._now())
            hidden = output[0] if isinstance(output, tuple) else output
            if hidden.requires_grad:
                hidden.register_hook(lambda gradient: self._backward.append(self._now()))

        for layer in stack:
            layer.register_forward_pre_hook(begin, with_kwargs=True)
            layer.register_forward_hook(end, with_kwargs=True)

    def _now(self) -> "Mark":
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        return Mark(time.perf_counter(), time.process_time())

    def _between(self, begin: "Mark", end: "Mark") -> float:
        """Seconds: on a CPU those that this process had of it, so that others who compute are left out.

        With several threads a process has more seconds than have gone by; then those that have gone by count.
        """
        gone = end.clock - begin.clock
        return gone if self.device == "cuda" else min(gone, end.processor - begin.processor)

    def activations(self, tokens: int) -> float:
        """Counts the bytes that a layer keeps of a token for its backward pass, where nothing is computed again."""
        import torch

        own = {parameter.untyped_storage().data_ptr() for parameter in self.network.parameters()}
        kept: dict[int, int] = {}

        def pack(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if self._within and storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        self.network.train()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), self._autocast():
            out = self.network(
                input_ids=self._ids(1, tokens), use_cache=False
            )  # kept alive, so that no place is used twice
        del out
        return sum(kept.values()) / (tokens * self.layers)

    def learn(self, rows: int, length: float, answer: float, *, recomputes: bool = False) -> float:
        """Estimates the seconds of a forward and backward pass.

        Args:
            rows: texts of the pass.
            length: tokens of each text.
            answer: those at its end that are learned.
            recomputes: whether the backward pass computes activations again.
        """
        self.recomputes = recomputes
        return self._whole(rows, length, answer, backward=True)

    def read(self, rows: int, length: float, answer: float = 1) -> float:
        """Estimates the seconds of a forward pass, with the logits of an answer at its end."""
        return self._whole(rows, length, answer, backward=False)

    def _whole(self, rows: int, length: float, answer: float, *, backward: bool) -> float:
        """Measures fewer texts, or shorter ones, where these would take long."""
        length, answer = max(round(length), 2), max(round(answer), 1)
        head = self.shape.vocabulary * self.shape.width
        room = PIECE * (ON_CARD if self.device == "cuda" else 1)
        one = (4 if backward else 2) * (self.layers * self.per_layer * length + head * answer)
        some = min(rows, max(1, int(room // one)))
        tokens = min(length, max(LEAST, round(length * min(1.0, room / (some * one)))))
        taught = max(1, round(answer * tokens / length))
        found = self._timed(lambda: self._pass(some, tokens, taught, backward=backward))
        return found.of(self.shape.layers) * rows * length / (some * tokens)

    def _pass(self, rows: int, tokens: int, answer: int, *, backward: bool) -> Split:
        import torch
        from trl.trainer.utils import selective_log_softmax_and_entropy

        self.network.train(backward)
        toggled = backward and self.recomputes
        if toggled:
            self.network.enable_input_require_grads()
            self.network.gradient_checkpointing_enable({"use_reentrant": False})
        ids = self._ids(rows, tokens)
        self._forward.clear()
        self._backward.clear()
        begin = self._now()
        with nullcontext() if backward else torch.no_grad(), self._autocast():
            more = {"logits_to_keep": answer + 1} if self._keeps() else {}
            logits = self.network(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **more).logits
            logits = logits[:, -answer - 1 : -1].float()
            said, _ = selective_log_softmax_and_entropy(logits, ids[:, -answer:], entropy_requires_grad=False)
        if backward:
            (-said.mean()).backward()
        seconds = self._between(begin, self._now())
        if toggled:
            self.network.gradient_checkpointing_disable()
            self.network.disable_input_require_grads()
        self.network.zero_grad(set_to_none=True)
        return self._parts(seconds)

    def _parts(self, seconds: float) -> Split:
        """Splits a pass by its marks."""
        layers = self.layers
        begun, ended = self._forward[0 : 2 * layers : 2], self._forward[1 : 2 * layers : 2]
        layer = statistics.mean(map(self._between, begun, ended))
        marks = self._backward[:layers]
        if len(marks) > 1:
            layer += self._between(marks[0], marks[-1]) / (len(marks) - 1)
        return Split(layer, max(seconds - layers * layer, 0.0))

    def write(self, rows: int, length: float) -> float:
        """Estimates the seconds in which each of so many answers grows by a token.

        Args:
            rows: answers that are drawn side by side.
            length: tokens of prompt and answer until then.
        """
        import torch

        from stonk_pipeline.sampling.engines import _cache, read_once

        self.network.eval()
        batch = {"input_ids": self._ids(1, max(round(length), 2))}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])

        def some() -> Split:
            with torch.inference_mode(), _cache(self.network):
                given = read_once(self.network, batch, rows)
                self._forward.clear()
                self.network.generate(
                    **given, max_new_tokens=WORDS, do_sample=True, top_k=0, temperature=1.0, pad_token_id=0
                )
            marks = self._forward
            each = 2 * self.layers
            begins = marks[::each]  # of the first layer, once for each token
            layer = statistics.median(map(self._between, marks[each::2], marks[each + 1 :: 2]))
            token = statistics.median(map(self._between, begins[1:-1], begins[2:]))
            return Split(layer, max(token - self.layers * layer, 0.0))

        return self._timed(some).of(self.shape.layers)

    def _timed(self, measure: Callable[[], Split]) -> Split:
        """Measures until it took long enough, once to warm up, and takes the fastest: others only slow it down."""
        begun, found = time.perf_counter(), [measure()]
        while len(found) < 3 or time.perf_counter() - begun < ENOUGH:
            found.append(measure())
            if time.perf_counter() - begun > 3 * ENOUGH:
                break
        return min(found[1:] or found, key=lambda split: split.of(self.shape.layers))

    def _ids(self, rows: int, tokens: int) -> Any:
        import torch

        return torch.randint(0, self.shape.vocabulary, (rows, tokens), device=self.device)

    def _keeps(self) -> bool:
        from inspect import signature

        return "logits_to_keep" in signature(self.network.get_base_model().forward).parameters

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        import torch

        with torch.autocast("cuda", self.dtype) if self.device == "cuda" else nullcontext():
            yield


def _shortened(network: Any, layers: int) -> Any:
    """Leaves the first layers of a network, whatever the model calls their list."""
    from torch.nn import ModuleList

    count = network.config.get_text_config().num_hidden_layers
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, ModuleList) and len(child) == count:
                setattr(module, name, child[:layers])
                return getattr(module, name)
    raise LookupError(f"{type(network).__name__} has no list of {count} layers")


def _fill(network: Any) -> None:
    """Gives every number a value that is neither NaN nor so small that processors take long for it."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() > LARGE or parameter.ndim < 2:
                parameter.fill_(0.02)
            else:
                parameter.uniform_(-0.02, 0.02)
        for buffer in network.buffers():
            buffer.fill_(1)
