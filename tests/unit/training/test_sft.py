"""When supervised fine-tuning stops by itself."""

import pytest

from stonk_pipeline.training.sft import diverged


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 1.2], [1.0, 1.2, 1.05], [1.0, 1.05, 1.3], [1.2, 1.1, 1.0]])
def test_diverged_waits_for_two_bad_measurements_in_a_row(losses):
    assert diverged(losses, 0.1) == ""


def test_diverged_says_what_the_loss_did():
    assert diverged([1.0, 0.9, 1.0, 1.1], 0.1) == ("held-out loss 1.100 is over 10% above its best; training stopped")
