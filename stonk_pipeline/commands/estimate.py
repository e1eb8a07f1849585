"""Estimates how long each step of a run takes, as a dry run does, and prints it as JSON.

    python -m stonk_pipeline.commands.estimate RUN_DIR

A run with a table in the terminal starts this once its data are made; it reads no weights and holds no accelerator.
"""

import json
import os
import sys
from pathlib import Path

from stonk_pipeline.commands.plan import CPU_FLOPS, GPU_FLOPS
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.files import locks
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs import child

NICE = 10
"""How far a stage goes before it where both want the processor."""


def step_seconds(run: Run) -> dict[str, float]:
    """Estimates the seconds of each step of a run, or of each of its folds; the data of the first have to be there.

    Returns:
        Step -> seconds, imports and engine starts included; empty where the contract estimates nothing.
    """
    from stonk_pipeline.models.load import load_tokenizer
    from stonk_pipeline.models.locations import outline_location
    from stonk_pipeline.models.trial import outline

    one = (run.folds or [run])[0]
    directory = outline_location(one.config.model)
    plan = one.contract.plan(one, load_tokenizer(str(directory)))
    parameters = sum(parameter.numel() for parameter in outline(directory).parameters())
    on_gpu = locks.accelerators(one.config.cuda_devices) != [locks.CPU]
    speed = GPU_FLOPS if on_gpu else CPU_FLOPS
    return {
        step: operations * parameters / speed + one.graph[step].start_seconds
        for step, (_, operations) in plan.work.items()
    }


def main() -> int:
    """Prints the estimate of the run that the first argument names."""
    child.die_with_parent()
    os.nice(NICE)
    sys.stdout.write(json.dumps(step_seconds(open_run(Path(sys.argv[1])))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
