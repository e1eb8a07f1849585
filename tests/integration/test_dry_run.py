"""`--dry-run --measure`: one step of each kind is done with the tiny model, and what it took is scaled to the run."""

import re

from stonk_pipeline.commands.plan import look
from stonk_pipeline.contracts.recipes import load_config

SAME = {"validation_windows": 8, "validation_samples": 2}
"""Answers of a validation, so that those of sampling and comparison are of the same kind and are not tried again."""


def test_measure_times_a_step_of_each_kind_and_scales_it(tmp_path, monkeypatch):
    monkeypatch.setenv("STONK_LOCKS", str(tmp_path))  # tests beside this one hold the accelerator
    changes = {
        "grpo_first": SAME | {"steps": 6, "save_steps": 6},
        "grpo_second": SAME | {"steps": 12, "save_steps": 12},
        "sampling": {"windows": 8, "samples": 2},
        "comparison": {"windows": 4, "samples": 2},
    }
    said = []
    outlook = look(load_config("tests/tiny.yaml", changes), measure=True, say=said.append)
    assert outlook.measured
    assert said == [
        "1/3 trying a step of GRPO as in grpo-first",
        "2/3 trying a batch of answers with transformers as in grpo-first",
        "3/3 trying a step of fine-tuning as in sft",
    ]
    assert list(outlook.seconds) == list(outlook.run.graph)
    taken = outlook.seconds
    assert 0 < taken["grpo-second"] - taken["grpo-first"] < taken["grpo-second"]  # twice the steps, one start each
    for step, spec in outlook.run.graph.items():
        if spec.loads_model:
            (name,) = outlook.needs[step]
            assert name == "measured"
            assert 0.2e9 < outlook.needs[step][name] < 4e9
        else:
            assert re.match("indicators", outlook.plan.work[step].what)
            assert not outlook.needs[step]
