"""Wraps the steps of `stonk_pipeline` and `preprocessing` as Prefect tasks, and runs a Prefect server for them."""

import sys

from stonk_pipeline.runs import interrupt
from tasks.environment import settle

settle()  # before Prefect is imported, which reads its settings then
if sys.argv[:1] == ["-m"]:  # so it is while `python -m flows…` or `python -m tasks…` begins, and at no other time
    interrupt.end_at_once()
