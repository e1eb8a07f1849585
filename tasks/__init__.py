"""Prefect tasks: thin wrappers around the stages of `stonk_pipeline` and `preprocessing`."""

from tasks.environment import settle

settle()  # before Prefect is imported, which reads its settings then
