"""Implements commands of all contracts: options, dry runs, the model registry, merging, retraining, reports."""
