"""Estimates how long each step of a run takes, as a dry run does, and prints it as JSON.

    python -m stonk_pipeline.commands.estimate RUN_DIR

A run with a table in the terminal starts this once its data are made. It reads no weights, builds a few layers to time
them, and holds no accelerator.
"""

import json
import os
import sys
from pathlib import Path

from stonk_pipeline.commands.plan import estimated
from stonk_pipeline.contracts.runs import open_run
from stonk_pipeline.estimates.survey import survey, text_length
from stonk_pipeline.models.locations import outline_location
from stonk_pipeline.pipeline.run import Run
from stonk_pipeline.runs import child

NICE = 10
"""How far a stage goes before it where both want the processor."""


def step_seconds(run: Run) -> dict[str, float]:
    """Estimates the seconds of each step of a run, or of each of its folds; the data of the first have to be there.

    Returns:
        Step -> seconds, imports and engine starts included; empty where nothing can be measured.
    """
    from stonk_pipeline.models.load import load_tokenizer

    one = (run.folds or [run])[0]
    plan = one.contract.plan(one, load_tokenizer(str(outline_location(one.config.model))))
    found = survey(one.config, one.contract.lora(one.config), text_length(plan))
    return estimated(one, plan, found)[0]


def main() -> int:
    """Prints the estimate of the run that the first argument names."""
    child.die_with_parent()
    os.nice(NICE)
    sys.stdout.write(json.dumps(step_seconds(open_run(Path(sys.argv[1])))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
