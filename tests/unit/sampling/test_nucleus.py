"""The nucleus is that of transformers, however the probability is spread."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonk_pipeline.sampling import nucleus
from stonk_pipeline.sampling.nucleus import Nucleus

torch = pytest.importorskip("torch")


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sharpness=st.sampled_from([0.01, 1.0, 5.0]),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    top_p=st.sampled_from([0.1, 0.5, 0.95, 0.999]),
    likeliest=st.sampled_from([4, 16, 256]),
)
def test_the_tokens_that_are_left_are_those_of_transformers(seed, sharpness, temperature, top_p, likeliest):
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    scores = torch.randn(3, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * sharpness
    expected = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, scores))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nucleus, "LIKELIEST", likeliest)
        found = Nucleus(temperature, top_p)(None, scores)
    assert torch.equal(found, expected)


def test_all_tokens_are_left_where_all_are_asked_for():
    scores = torch.randn(2, 5)
    assert torch.equal(Nucleus(2.0, 1.0)(None, scores), scores / 2)


def test_a_token_with_all_of_the_probability_is_left_alone():
    scores = torch.tensor([[0.0, 100.0, 0.0]])
    assert Nucleus(1.0, 0.9)(None, scores).tolist() == [[-torch.inf, 100.0, -torch.inf]]
