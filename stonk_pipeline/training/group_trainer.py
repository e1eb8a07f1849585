"""TRL's GRPO trainer, with a prompt computed once for all answers to it: when they are drawn, and when they train.

TRL computes the prompt anew for each answer. Losses and gradients are the same but for the order in which numbers are
added up. Not every model can be computed so: that comes out when the first answers are computed in both ways, and then
TRL's own way is taken.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from stonk_pipeline.sampling.engines import read_once
from stonk_pipeline.training.shared_prompt import Rows, SharedPrompts

TRIED = 4
"""Answers that are computed in both ways."""


@cache
def group_trainer() -> type[Any]:
    """Returns the class of the trainer; a function, since it imports TRL."""
    import torch
    from trl import GRPOTrainer
    from trl.trainer.utils import split_tensor_dict

    class GroupTrainer(GRPOTrainer):
        """A GRPOTrainer that computes a prompt once; see the module."""

        shares: bool | None = None
        """Whether it does; None as long as it was not tried."""
        _buffered_inputs: Any

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            if not self.model.training:
                return super()._prepare_inputs(generation_batch)
            parts = self.args.steps_per_generation
            if self._step % (parts * self.num_iterations) == 0 or self._buffered_inputs is None:
                drawn = self._generate_and_score_completions(generation_batch)
                self._buffered_inputs = split_tensor_dict(drawn, parts)  # TRL shuffles, which parts the groups
            return self._buffered_inputs[self._step % parts]

        def _generate_single_turn(
            self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, **more: Any
        ) -> Any:
            distinct = prompt_ids[::num_generations]
            grouped = prompt_ids == [ids for ids in distinct for _ in range(num_generations)]
            if grouped and not (self.use_vllm or self.use_transformers_continuous_batching or images):
                return self._draw(distinct, num_generations), None
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, num_generations, **more)

        def _draw(self, prompts: list[list[int]], each: int) -> list[list[int]]:
            from trl.models import unwrap_model_for_generation

            batch = self.processing_class.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
            batch = batch.to(self.accelerator.device)
            with (
                unwrap_model_for_generation(
                    self.model_wrapped, self.accelerator, generation_kwargs=self.generation_kwargs
                ) as network,
                torch.no_grad(),
            ):
                ids = network.generate(**read_once(network, batch, each), generation_config=self.generation_config)
            drawn = ids[:, batch["input_ids"].shape[1] :].tolist()
            return [_cut(answer, self.eos_token_ids) for answer in drawn]

        def _get_per_token_logps_and_entropies(
            self,
            model: Any,
            input_ids: Any,
            attention_mask: Any,
            logits_to_keep: int,
            batch_size: int | None = None,
            compute_entropy: bool = False,
            compute_aux_loss: bool = False,
            **more: Any,
        ) -> Any:
            plain = super()._get_per_token_logps_and_entropies
            asked = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss, **more}
            rows = Rows(input_ids, attention_mask, logits_to_keep)
            other = compute_aux_loss or any(value is not None for value in more.values())
            shared = None if other else self._sharing(model, rows, plain)
            if shared is None:
                return plain(model, input_ids, attention_mask, logits_to_keep, batch_size=batch_size, **asked)
            found = []
            for part in rows.parts(batch_size or len(input_ids)):
                if packed := shared.packed(part):
                    found.append(shared.logps(model, part, packed, entropy=compute_entropy))
                else:
                    found.append(plain(model, part.ids, part.mask, part.kept, **asked)[:2])
            logps, entropies = zip(*found, strict=True)
            return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

        def _sharing(self, model: Any, rows: Rows, plain: Callable[..., Any]) -> SharedPrompts | None:
            network = self.accelerator.unwrap_model(model)
            shared = SharedPrompts(network, self.temperature, "logits_to_keep" in self.model_kwarg_keys)
            some = rows.siblings(TRIED)
            if self.shares is None and len(some.ids) > 1 and shared.fits(some):
                training = network.training
                network.eval()  # dropout would make a difference
                with torch.no_grad():
                    apart = plain(model, some.ids, some.mask, some.kept)[0]
                self.shares = shared.agrees(model, some, apart)
                network.train(training)
                if not self.shares:
                    logging.getLogger(__name__).info("the prompt is computed for each answer: the model needs that")
            return shared if self.shares else None

    return GroupTrainer


def _cut(ids: list[int], ends: list[int]) -> list[int]:
    """Cuts an answer after the first token that ends it."""
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[: stop + 1]
