"""The DAGs, one file each."""

import sys

import tasks  # noqa: F401  # sets Prefect's environment, before a flow imports Prefect
from stonk_pipeline import interrupt

if sys.argv[:1] == ["-m"]:  # so it is while `python -m flows…` imports this, and when nobody else does
    interrupt.end_at_once()
