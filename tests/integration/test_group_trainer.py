"""A prompt that is computed once for its answers teaches what TRL's own trainer teaches, for every family of models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.models.load import Loaded, load_for_training
from stonk_pipeline.training.group_trainer import group_trainer
from tests.families import FAMILIES, Family, build

PADDING = 3
APART = {"mixtral", "gpt-oss"}
"""TRL balances their experts by what the prompts do, too."""
WINDOWS = {"mistral-base", "gemma2", "gemma3"}
"""Those that see 16 tokens back."""
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
Batch = dict[str, Any]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], Path]:
    made: dict[str, Path] = {}

    def path(family: Family) -> Path:
        if family.name not in made:
            made[family.name] = build(family, tmp_path_factory.mktemp("families") / family.name)
        return made[family.name]

    return path


def with_adapter(path: Path) -> Loaded:
    """A model with an adapter of random numbers, and without dropout."""
    import torch

    loaded = load_for_training(ModelConfig(name=str(path), backend="peft", max_seq_length=600), LoraConfig(rank=2), 0)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    for module in loaded.model.modules():
        for name in ("p", "dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return loaded


def trainer_of(loaded: Loaded, out: Path, **settings: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig

    usual = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3, "num_generations": 4, "beta": 0.1}
    shared = {"output_dir": str(out), "report_to": "none", "use_cpu": True, "bf16": False, "seed": 5}
    shared |= {"gradient_checkpointing": False}
    args = GRPOConfig(**shared, **{**usual, "max_completion_length": 10, "disable_tqdm": True, **settings})
    rows = [{"prompt": "one two three"}, {"prompt": "two"}, {"prompt": "three four five six seven"}]
    return group_trainer()(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        reward_funcs=[variety],
        args=args,
        train_dataset=Dataset.from_list(rows * 2),
    )


def variety(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [len(set(ids)) + ids[0] / 1000 for ids in completion_ids]


def batch(prompt: int, answer: int, *, padded: bool) -> Batch:
    """Three prompts with four answers each, of random tokens and unequal lengths."""
    import torch

    some = torch.Generator().manual_seed(0)
    prompts, shown = torch.randint(5, 300, (3, prompt), generator=some), torch.ones(3, prompt, dtype=torch.long)
    shown[1, : PADDING * padded] = 0
    answers, written = torch.randint(5, 300, (12, answer), generator=some), torch.ones(12, answer, dtype=torch.long)
    for row, length in enumerate(torch.randint(1, answer + 1, (12,), generator=some).tolist()):
        written[row, length:] = 0
    return {
        "prompt_ids": prompts.repeat_interleave(4, 0),
        "prompt_mask": shown.repeat_interleave(4, 0),
        "completion_ids": answers,
        "completion_mask": written,
        "advantages": torch.randn(12, generator=some),
        "num_items_in_batch": written.sum(),
        "ref_per_token_logps": -5 * torch.rand(12, answer, generator=some),
    }


def taught(trainer: Any, inputs: Batch) -> tuple[float, dict[str, Any]]:
    """The loss of a batch, and the gradients."""
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    slopes = {name: weight.grad.clone() for name, weight in trainer.model.named_parameters() if weight.grad is not None}
    return loss.item(), slopes


@each_family
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_losses_and_gradients_are_those_of_trl(
    model_of: Callable[[Family], Path], tmp_path: Path, family: Family, attention: str
) -> None:
    loaded = with_adapter(model_of(family))
    if loaded.model.config._attn_implementation == "sdpa":
        loaded.model.set_attn_implementation(attention)
    elif attention == "sdpa":
        pytest.skip("this family computes its attention in one way only")
    trainer = trainer_of(loaded, tmp_path)
    # GPT-2 counts padding as text in TRL's trainer, so that nothing can be compared there.
    inputs = batch(*((6, 8) if family.name in WINDOWS else (30, 12)), padded=family.name != "gpt2")
    found = [taught(trainer, inputs)]
    assert trainer.shares is (None if family.name in APART else True)
    trainer.shares = False
    loss, slopes = taught(trainer, inputs)
    assert found[0][0] == pytest.approx(loss, rel=1e-5)
    for name, slope in slopes.items():
        assert (found[0][1][name] - slope).norm() <= 1e-5 * slope.norm(), name


def test_where_a_window_hides_a_part_of_the_prompt_each_answer_is_computed_with_its_own(
    model_of: Callable[[Family], Path], tmp_path: Path
) -> None:
    family = next(family for family in FAMILIES if family.name == "mistral-base")
    trainer = trainer_of(with_adapter(model_of(family)), tmp_path)
    assert trainer.model.config.sliding_window == 16
    long, short = batch(12, 8, padded=True), batch(6, 8, padded=True)
    first = taught(trainer, long)
    assert trainer.shares is None, "nothing is known from answers that the window cuts"
    taught(trainer, short)
    assert trainer.shares
    again = taught(trainer, long)
    trainer.shares = False
    expected = taught(trainer, long)
    assert first[0] == again[0] == expected[0]
    assert all((again[1][name] == slope).all() for name, slope in expected[1].items())


def test_a_model_that_takes_no_mask_is_trained_as_trl_does(
    model_of: Callable[[Family], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = with_adapter(model_of(FAMILIES[0]))
    trainer = trainer_of(loaded, tmp_path)
    plain = loaded.model.forward

    def without_masks(attention_mask: Any = None, position_ids: Any = None, **named: Any) -> Any:
        if attention_mask.dim() == 4:  # as a model with linear attention: only padding is hidden
            attention_mask = attention_mask[:, 0, -1].long() * 0 + 1
        return plain(attention_mask=attention_mask, **named)

    monkeypatch.setattr(loaded.model, "forward", without_masks)
    inputs = batch(30, 12, padded=True)
    loss, _ = taught(trainer, inputs)
    assert trainer.shares is False
    monkeypatch.setattr(loaded.model, "forward", plain)
    assert taught(trainer, inputs)[0] == loss


@pytest.mark.parametrize("micro", [2, 4, 6, 12])
def test_a_step_is_the_same_in_every_micro_batch_and_the_same_as_trl(
    model_of: Callable[[Family], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro: int
) -> None:
    from trl import GRPOTrainer

    def trained(cls: type[Any]) -> dict[str, Any]:
        settings = {"per_device_train_batch_size": micro, "gradient_accumulation_steps": 12 // micro, "max_steps": 1}
        settings |= {"optim": "sgd", "learning_rate": 1.0}  # moves by the gradient itself
        monkeypatch.setattr("tests.integration.test_group_trainer.group_trainer", lambda: cls)
        trainer = trainer_of(with_adapter(model_of(FAMILIES[0])), tmp_path, **settings)
        before = adapter_of(trainer)
        trainer.train()
        assert getattr(trainer, "shares", True)
        return {name: weight - before[name] for name, weight in adapter_of(trainer).items()}

    ours, theirs = trained(group_trainer()), trained(GRPOTrainer)
    assert any(change.norm() for change in theirs.values())
    for name, change in theirs.items():
        assert (ours[name] - change).norm() <= 1e-4 * change.norm(), name


def adapter_of(trainer: Any) -> dict[str, Any]:
    weights = trainer.model.named_parameters()
    return {name: weight.detach().clone() for name, weight in weights if weight.requires_grad}
