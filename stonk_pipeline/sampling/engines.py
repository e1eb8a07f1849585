"""Samples answers with vLLM, or with transformers where vLLM is missing or not worth starting."""

import importlib.util
import logging
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stonk_pipeline.config.training import ModelConfig
from stonk_pipeline.errors import EngineError, StartError, UnknownModelError
from stonk_pipeline.models import load
from stonk_pipeline.models.adapters import read_adapter
from stonk_pipeline.models.chat import Chat
from stonk_pipeline.models.generation import end_tokens, end_tokens_of
from stonk_pipeline.models.locations import base_location, of_adapter
from stonk_pipeline.runs.manifest import Progress
from stonk_pipeline.sampling.known import UNKNOWN, in_its_place, require_answer, require_known, takes_adapters, unknown
from stonk_pipeline.sampling.nucleus import Nucleus
from stonk_pipeline.sampling.prompts import token_ids

Answers = list[list[str]]
"""For each prompt, its answers."""
Drawn = list[list[list[int]]]
"""For each prompt, the tokens of its answers, their end included where it was drawn."""
TOKENS_AT_ONCE = 40_000
"""Prompt and answer tokens in one batch of the transformers engine on a CPU; up to eight times as many on CUDA."""


@dataclass(frozen=True)
class Draws:
    """Sampling settings: how many answers, their length, temperature and seed."""

    n: int
    """Answers to each prompt."""
    temperature: float
    """0 gives the most likely answer."""
    top_p: float
    """Share of the distribution that tokens are drawn from."""
    max_tokens: int
    """Of an answer."""
    seed: int


def _read(chat: Chat, drawn: Drawn) -> Answers:
    return [[chat.read(ids) for ids in of_one] for of_one in drawn]


def _silent(done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""


class Engine(Protocol):
    """Interface of the two engines: samples answers from one model."""

    name: str
    tokenizer: Any
    chat: Chat

    def draw(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Drawn:
        """Samples answers to each prompt, as tokens. The same seed gives the same answers."""
        ...

    def sample(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Answers:
        """Samples answers to each prompt, as text."""
        ...


def choose_engine(wanted: str, *, prefer_vllm: bool) -> str:
    """Chooses `vllm` or `transformers`, from the setting and what is installed.

    Args:
        wanted: the setting, `auto` included.
        prefer_vllm: what `auto` takes where both are there.

    Raises:
        EngineError: vLLM is asked for and not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if wanted == "vllm" and not installed:
        raise EngineError("engine is 'vllm', but vLLM is not installed; install it, or set it to 'transformers'")
    if wanted == "auto":
        return "vllm" if installed and prefer_vllm else "transformers"
    return wanted


def open_engine(
    kind: str, model: ModelConfig, adapter: Path | None, *, seed: int, scratch: Path, wanted: str | None = None
) -> Engine:
    """Starts an engine on the base model with an adapter.

    Args:
        kind: `vllm` or `transformers`.
        model: which base model.
        adapter: adapter directory, or None for the base model itself.
        seed: of the engine.
        scratch: where merged weights may be written; the caller removes it.
        wanted: the setting; with `auto`, transformers takes a model that vLLM has no code for.

    Raises:
        EngineError: vLLM cannot run the model, and is asked for.
    """
    if kind == "vllm":
        try:
            return VllmEngine(model, adapter, seed=seed, scratch=scratch)
        except UnknownModelError as error:
            if wanted != "auto":
                raise
            logging.getLogger(__name__).warning("%s", in_its_place(error))
    return TransformersEngine(*load.load_merged(model, adapter))


class TransformersEngine:
    """Samples with `generate` of transformers, in batches of similar length."""

    name = "transformers"

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.chat = Chat.of(tokenizer, end_tokens(network.generation_config))

    def sample(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Answers:
        """See `Engine.sample`."""
        return _read(self.chat, self.draw(prompts, draws, progress))

    def draw(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Drawn:
        """See `Engine.draw`."""
        import torch

        answers: Drawn = [[] for _ in prompts]
        asked = token_ids(self.tokenizer, prompts)
        lengths = [len(ids) for ids in asked]
        order = sorted(range(len(prompts)), key=lambda index: lengths[index])
        size = max(1, _tokens_at_once(self.network) // (draws.n * (max(lengths, default=1) + draws.max_tokens)))
        choice: dict[str, Any] = {"do_sample": False}
        if draws.temperature > 0:
            nucleus = Nucleus(draws.temperature, draws.top_p)
            choice = {"do_sample": True, "top_k": 0, "logits_processor": [nucleus]}
        training = self.network.training
        self.network.eval()
        with torch.random.fork_rng(), torch.inference_mode(), _cache(self.network):
            torch.manual_seed(draws.seed)
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                batch = self.tokenizer.pad(
                    {"input_ids": [asked[row] for row in rows]},
                    padding_side="left",  # Unsloth's trainers set the tokenizer to the right on CUDA
                    return_tensors="pt",
                )
                batch = batch.to(self.network.device)
                ids = self.network.generate(
                    **read_once(self.network, batch, draws.n),
                    max_new_tokens=draws.max_tokens,
                    pad_token_id=self.tokenizer.pad_token_id,
                    **choice,
                )
                drawn = [self.chat.cut(each) for each in ids[:, batch["input_ids"].shape[1] :].tolist()]
                for position, row in enumerate(rows):
                    answers[row] = drawn[position * draws.n : (position + 1) * draws.n]
                progress(min(start + size, len(order)), len(order), "windows answered")
        self.network.train(training)
        return answers


def _tokens_at_once(network: Any) -> int:
    """Prompt and answer tokens in one batch."""
    if network.device.type != "cuda":
        return TOKENS_AT_ONCE
    import torch

    card = torch.cuda.get_device_properties(network.device).total_memory
    memory = int(card * torch.cuda.get_per_process_memory_fraction(network.device))
    return batch_tokens(memory, kept_bytes(network.config.get_text_config(), load.compute_dtype().itemsize))


def batch_tokens(memory: int, kept: int) -> int:
    """Tokens whose keys and values fill a sixth of a card's memory, but no more than eight times as many as on a CPU.

    A sixth, as they are copied while they grow, and weights, vLLM and a training's own state lie beside them. By the
    size of the card and not by what is free, so that the same seed gives the same answers.

    Args:
        memory: of the card, in bytes.
        kept: see `kept_bytes`.
    """
    return min(8 * TOKENS_AT_ONCE, memory // (6 * kept))


def kept_bytes(config: Any, itemsize: int) -> int:
    """Bytes of the keys and values of one token, by a model's settings; rather too many where they say little."""
    heads, width = (getattr(config, name, None) for name in ("num_attention_heads", "head_dim"))
    shared = getattr(config, "num_key_value_heads", None) or heads
    size = config.hidden_size
    if isinstance(heads, int) and isinstance(shared, int):
        size = shared * (width if isinstance(width, int) else config.hidden_size // heads)
    return int(2 * config.num_hidden_layers * size * itemsize)


def read_once(network: Any, batch: dict[str, Any], n: int) -> dict[str, Any]:
    """What `generate` needs for `n` answers to each prompt; the prompt itself is computed once and not `n` times.

    Args:
        network: a causal language model.
        batch: `input_ids` and `attention_mask`, (B, T) each, padded on the left.
        n: answers to each prompt.

    Returns:
        Both, (B * n, T), the answers to one prompt one after the other, and `past_key_values` of all tokens but the
        last. Without the last where a model remembers in another way than by keys and values (LFM2, Qwen3-Next):
        `generate` then reads each prompt `n` times.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionCacheLayerMixin

    ids, mask = batch["input_ids"], batch["attention_mask"]
    repeated = {"input_ids": ids.repeat_interleave(n, 0), "attention_mask": mask.repeat_interleave(n, 0)}
    cache = DynamicCache(config=network.config)
    if any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers):  # cannot be repeated
        return repeated
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    network(
        input_ids=ids[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=places[:, :-1],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    cache.batch_repeat_interleave(n)
    return repeated | {"past_key_values": cache}


def _cache(network: Any) -> Any:
    """Gradient checkpointing switches the cache off; generation needs it."""
    disable = getattr(network, "disable_gradient_checkpointing_for_generation", None)
    return disable() if callable(disable) else nullcontext()


class VllmEngine:
    """Samples with vLLM in this process: with the adapter on CUDA, else with merged weights."""

    name = "vllm"

    def __init__(self, model: ModelConfig, adapter: Path | None, *, seed: int, scratch: Path) -> None:
        # In one process the engine dies with it, and no grandchild holds the accelerator.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        options: dict[str, Any] = {"gpu_memory_utilization": model.gpu_memory_utilization}
        model = of_adapter(model, adapter)
        location = base_location(model)
        require_known(Path(location), model.name)
        on_cuda = load.cuda()
        as_adapter = adapter is not None and on_cuda and takes_adapters(location)
        if adapter is not None and as_adapter:
            rank = read_adapter(adapter, Path(location), model.name).rank
            options |= {"enable_lora": True, "max_lora_rank": max(8, 1 << (rank - 1).bit_length()), "max_loras": 1}
        elif adapter is not None:
            load.save_merged(model, adapter, scratch / "merged")
            location = str(scratch / "merged")
        if not on_cuda:
            options |= {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 256}
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        self._lora = LoRARequest("policy", 1, str(adapter)) if as_adapter else None
        try:
            self._llm = LLM(
                model=location,
                max_model_len=model.max_seq_length,
                seed=seed,
                enable_prefix_caching=True,
                trust_remote_code=False,
                disable_log_stats=True,
                **options,
            )
            require_answer(self._llm, model.name)
        except UNKNOWN as error:
            raise UnknownModelError(unknown(model.name, error)) from error
        except (RuntimeError, OSError) as error:  # a port or a device that another process had a moment ago
            raise StartError(f"vLLM did not start: {error}") from error
        self.tokenizer = load.load_tokenizer(location)
        self.chat = Chat.of(self.tokenizer, end_tokens_of(location))

    def sample(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Answers:
        """See `Engine.sample`."""
        return _read(self.chat, self.draw(prompts, draws, progress))

    def draw(self, prompts: list[str], draws: Draws, progress: Progress = _silent) -> Drawn:
        """See `Engine.draw`."""
        import torch
        from vllm import SamplingParams, TokensPrompt

        seeded = load.cuda()  # a generator of its own for each request does not work on a CPU (vLLM 0.30)
        torch.manual_seed(draws.seed)  # there the engine draws from this process's generator
        answers: Drawn = []
        asked = [TokensPrompt(prompt_token_ids=ids) for ids in token_ids(self.tokenizer, prompts)]
        for start in range(0, len(prompts), 256):
            part = asked[start : start + 256]
            parameters = [
                SamplingParams(
                    n=draws.n,
                    temperature=draws.temperature,
                    top_p=draws.top_p,
                    max_tokens=draws.max_tokens,
                    stop_token_ids=list(self.chat.ends),
                    detokenize=False,
                    seed=draws.seed + start + row if seeded else None,
                )
                for row in range(len(part))
            ]
            outputs = self._llm.generate(part, parameters, use_tqdm=False, lora_request=self._lora)
            answers += [[self.chat.cut(choice.token_ids) for choice in output.outputs] for output in outputs]
            progress(len(answers), len(prompts), "windows answered")
        return answers
