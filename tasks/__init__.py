"""Prefect tasks: thin wrappers around the stages of `stonk_pipeline` and `preprocessing`."""
