"""In which numbers a model computes while it is trained on a CPU."""

import pytest
import torch

from stonk_pipeline.config.training import LoraConfig, ModelConfig
from stonk_pipeline.models.load import load_for_training


@pytest.mark.parametrize(("can", "asked", "rounds"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_training_multiplies_in_bfloat16_where_that_is_fast(monkeypatch, can, asked, rounds):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(can))
    loaded = load_for_training(ModelConfig(backend="peft", cpu_bfloat16=bool(asked)), LoraConfig(rank=2), 0)
    ids = torch.arange(100, 140)[None]
    trained = loaded.model(input_ids=ids, labels=ids)
    with torch.no_grad():
        asked_only = loaded.model(input_ids=ids)
    assert trained.logits.dtype == asked_only.logits.dtype == torch.float32
    assert torch.equal(trained.logits, asked_only.logits) is not rounds
    assert torch.allclose(trained.logits, asked_only.logits, atol=0.3)
    trained.loss.backward()
    adapters = [each for each in loaded.model.parameters() if each.requires_grad]
    assert {each.grad.dtype for each in adapters} == {torch.float32}
    assert any(each.grad.abs().sum() > 0 for each in adapters)
