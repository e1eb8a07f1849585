"""Defines the Prefect flows, one file each."""

import tasks  # noqa: F401  # sets Prefect's environment, before a flow imports Prefect
